"""How far a run is: on a terminal, in a log, for scripts."""

from __future__ import annotations

import io
import json
import os
import signal

import pytest
from vaultctl.output import Output
from vaultctl.progress import Progress, watched

from vaultd.core.events import (
    Advanced,
    Found,
    Note,
    PhaseStarted,
    Problem,
    ProblemKind,
)

MIB = 1 << 20


class SetClock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def now_ns(self) -> int:
        return round(self.at_s * 10**9)

    def monotonic_s(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.at_s += seconds


class Screen(io.StringIO):
    """Standard error that is, or is not, a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Stage:
    """A progress with everything that it writes to."""

    def __init__(
        self, *, terminal: bool = False, json: bool = False, quiet: bool = False, verbose: int = 0
    ) -> None:
        self.clock = SetClock()
        self.out, self.err = io.StringIO(), Screen(terminal=terminal)
        self.output = Output(
            json=json, quiet=quiet, verbose=verbose, stdout=self.out, stderr=self.err
        )
        self.progress = Progress(self.output, self.clock)

    def advance(self, seconds: float, files: int, data: int, path: bytes = b"srv/x") -> None:
        self.clock.at_s += seconds
        self.progress(Advanced(files=files, data=data, stored=data // 2, path=path))


def _problem(*, warning: bool = False) -> Found:
    kind = ProblemKind.DENIED
    problem = Problem(kind=kind, path=b"/x\x1b", reason="permission denied", warning=warning)
    return Found(problem=problem)


@pytest.mark.parametrize(("columns", "bar"), [(120, "##########.........."), (80, "#####.....")])
def test_a_terminal_shows_a_bar_with_speed_and_time_left(
    monkeypatch: pytest.MonkeyPatch, columns: int, bar: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stage = Stage(terminal=True)
    stage.progress(PhaseStarted(name="restore", files=100, data=100 * MIB))

    stage.advance(2, 25, 50 * MIB)

    line = stage.err.getvalue().rpartition("\x1b[?7l")[2].removesuffix("\x1b[?7h")
    expected = "restore, 50 %, 2.0 s left, 50.0 MiB of 100.0 MiB, 25.0 MiB/s, 25 files"
    assert line.startswith(f"[{bar}] {expected}"[: columns - 1])


def test_a_line_is_never_longer_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    stage = Stage(terminal=True)
    stage.progress(PhaseStarted(name="scan and store"))

    stage.advance(1, 1, MIB, b"srv/" + b"long/" * 40 + b"end")

    line = stage.err.getvalue().rpartition("\x1b[?7l")[2].removesuffix("\x1b[?7h")
    assert 90 > len(line)
    assert line.endswith("/end")
    assert "…" in line


def test_the_speed_follows_changes_and_never_goes_below_nothing() -> None:
    stage = Stage(terminal=True)
    stage.progress(PhaseStarted(name="restore", data=1000 * MIB))
    stage.advance(1, 1, 10 * MIB)
    assert "10.0 MiB/s" in stage.progress.words()

    stage.advance(1, 1, 10 * MIB)

    assert "8.0 MiB/s" in stage.progress.words()


def test_an_estimate_is_called_one_and_never_reaches_the_end() -> None:
    stage = Stage()
    stage.progress.expect(10, 100)
    stage.progress(PhaseStarted(name="scan and store"))

    stage.advance(1, 12, 200)

    assert "scan and store, 99 %, 200 B of about 100 B, 200 B/s, 12 files, 100 B stored" == (
        stage.progress.words()
    )


def test_an_estimate_is_not_one_for_the_commit() -> None:
    stage = Stage()
    stage.progress.expect(10, 100)

    stage.progress(PhaseStarted(name="commit"))

    assert "commit, 0 B, 0 files" == stage.progress.words()


def test_files_are_counted_where_bytes_are_not_known() -> None:
    stage = Stage()
    stage.progress(PhaseStarted(name="check trees", files=8))

    stage.advance(1, 2, 0)

    assert "check trees, 0 B, 2 snapshots of 8" == stage.progress.words()


def test_a_log_gets_a_line_now_and_then_and_only_when_asked() -> None:
    silent, verbose = Stage(), Stage(verbose=1)
    for stage in (silent, verbose):
        stage.progress(PhaseStarted(name="restore", data=100))
        for second in range(1, 70):
            stage.advance(1, second, second)

    assert not silent.err.getvalue()
    lines = verbose.err.getvalue().splitlines()
    assert ["restore …", "restore, 30 %", "restore, 60 %"] == [
        ", ".join(line.split(", ")[:2]) for line in lines
    ]


def test_scripts_get_a_status_every_second() -> None:
    stage = Stage(json=True)
    stage.progress(PhaseStarted(name="restore", files=2, data=100))
    stage.advance(0.5, 1, 25)
    stage.advance(0.6, 1, 50)

    lines = [json.loads(line) for line in stage.out.getvalue().splitlines()]

    assert [0, 50] == [line["bytes_done"] for line in lines]
    assert {
        "message_type": "status",
        "phase": "restore",
        "percent_done": 0.5,
        "total_files": 2,
        "files_done": 1,
        "total_bytes": 100,
        "current_files": ["srv/x"],
        "seconds_elapsed": 1.1,
        "seconds_remaining": 1.1,
    }.items() <= lines[1].items()


def test_problems_are_counted_and_told_in_detail_only_when_asked() -> None:
    silent, verbose = Stage(), Stage(verbose=1)
    for stage in (silent, verbose):
        stage.progress(_problem())
        stage.progress(_problem(warning=True))

    assert "1 problem" in silent.progress.words()
    assert not silent.err.getvalue()
    assert "denied: /x\\x1b: permission denied" in verbose.err.getvalue()


def test_scripts_are_told_of_every_problem() -> None:
    stage = Stage(json=True)

    stage.progress(_problem())

    line = json.loads(stage.err.getvalue())
    assert ("error", "permission denied") == (line["message_type"], line["error"]["message"])
    assert ("/x\x1b", False, "start") == (line["item"], line["warning"], line["during"])


@pytest.mark.parametrize(
    ("settings", "note", "warning"),
    [
        ({}, "look\n", "warning: look\n"),
        ({"quiet": True, "verbose": 1}, "", "warning: look\n"),
    ],
)
def test_notes_may_be_silenced_and_warnings_may_not(
    settings: dict[str, int], note: str, warning: str
) -> None:
    first, second = Stage(**settings), Stage(**settings)  # type: ignore[arg-type]  # by name

    first.progress(Note(text="look"))
    second.progress(Note(text="look", warning=True))

    assert (note, warning) == (first.err.getvalue(), second.err.getvalue())


def test_a_message_does_not_mix_with_the_line_that_is_drawn() -> None:
    stage = Stage(terminal=True)
    stage.progress(PhaseStarted(name="restore", data=100))
    drawn = stage.err.getvalue()

    stage.progress(Note(text="storage does not answer", warning=True))

    added = stage.err.getvalue().removeprefix(drawn)
    assert added.startswith("\r\x1b[2Kwarning: storage does not answer\n\x1b[?7l")


def test_usr1_tells_at_once_and_only_while_it_runs() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    stage = Stage(quiet=True)
    with watched(stage.output, stage.clock) as progress:
        progress(PhaseStarted(name="restore"))
        os.kill(os.getpid(), signal.SIGUSR1)

    assert "restore, 0 B, 0 files\n" == stage.err.getvalue()
    assert before == signal.getsignal(signal.SIGUSR1)


def test_usr1_is_json_for_scripts() -> None:
    stage = Stage(json=True)
    with watched(stage.output, stage.clock):
        os.kill(os.getpid(), signal.SIGUSR1)

    assert "status" == json.loads(stage.err.getvalue())["message_type"]
