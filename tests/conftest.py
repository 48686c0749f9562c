"""What all tests share: how Hypothesis searches, and the servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.seaweed import Seaweed

# Chosen with pytest's --hypothesis-profile.
# How fast examples are drawn says how busy the machine is, not whether the code is right.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("dev", deadline=None, max_examples=200)
settings.register_profile(
    "deep",
    deadline=None,
    max_examples=20_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Seaweed]:
    """A real S3 server, one for the whole run: take `Seaweed.prefix` for a place of your own."""
    with Seaweed() as server:
        yield server


def _unwatched(config: pytest.Config) -> list[object]:
    """Return the reports of tests that said nothing: skipped, or expected to fail."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter is not None else {}
    return [*stats.get("skipped", ()), *stats.get("xfailed", ())]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped anything: a test that does not run proves nothing."""
    if _unwatched(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why such a run failed."""
    count = len(_unwatched(terminalreporter.config))
    if count:
        terminalreporter.section("skipped", red=True)
        terminalreporter.line(f"{count} skipped or expected to fail: a test must run, or go")
