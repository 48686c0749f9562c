"""Instants as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from vaultctl.times import parse_instant

from vaultd.core.clock import rfc3339
from vaultd.core.errors import ConfigError

_S = 10**9
NOW = 1_700_000_000 * _S  # 2023-11-14T22:13:20Z


@pytest.fixture
def two_hours_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-2")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "back_s"),
    [
        ("now", 0),
        (" NOW ", 0),
        ("0s", 0),
        ("30s", 30),
        ("90 min", 5400),
        ("2h", 7200),
        ("2h ago", 7200),
        ("1 hour ago", 3600),
        ("3d", 259_200),
        ("3 days ago", 259_200),
        ("1d12h", 129_600),
        ("2w 1d", 1_296_000),
    ],
)
def test_a_duration_counts_back_from_now(text: str, back_s: int) -> None:
    assert NOW - back_s * _S == parse_instant(text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-14T09:40:00Z", "2023-11-14T09:40:00Z"),
        ("2023-11-14t09:40:00z", "2023-11-14T09:40:00Z"),
        ("2023-11-14T09:40:00+05:30", "2023-11-14T04:10:00Z"),
        ("2023-11-14 09:40 UTC", "2023-11-14T09:40:00Z"),
        ("2023-11-14 09:40", "2023-11-14T07:40:00Z"),
        ("2023-11-14  09:40:07", "2023-11-14T07:40:07Z"),
        ("2023-11-14", "2023-11-14T21:59:59Z"),
    ],
)
@pytest.mark.usefixtures("two_hours_east")
def test_a_date_without_a_zone_is_local(text: str, expected: str) -> None:
    assert expected == rfc3339(parse_instant(text, NOW))


def test_fractions_of_a_second_are_kept() -> None:
    assert 1_500_000_000 == parse_instant("1970-01-01T00:00:01.5Z", NOW)


@pytest.mark.parametrize("text", ["", "yesterday", "2023-13-01", "3 fortnights", "-2h", "ago"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_instant(text, NOW)

    assert "3d ago" in str(caught.value.hint)
