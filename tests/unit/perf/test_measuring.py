"""Processes are measured as a whole, and as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from perf.measuring import Command, CommandError, extent_of, floor_bytes, run

MB = 1_000_000
BURN = "import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass"


def test_time_spent_waiting_is_no_processor_time(tmp_path: Path) -> None:
    usage = run(Command(argv=["sleep", "0.2"]), tmp_path)

    assert 0.2 <= usage.wall_s < 5
    assert usage.cpu_s < 0.1


def test_all_processes_of_a_pipe_are_counted(tmp_path: Path) -> None:
    script = '"$0" -I -c "$1" | "$0" -I -c "$1"'
    usage = run(Command(argv=["sh", "-c", script, sys.executable, BURN]), tmp_path)

    assert usage.cpu_s >= 0.2


def test_memory_is_the_peak_of_the_largest(tmp_path: Path) -> None:
    large = "held = bytearray(150_000_000); del held"
    usage = run(Command(argv=[sys.executable, "-I", "-c", large]), tmp_path)

    # A process is counted from its fork on, so a large test run is the least that can be seen.
    floor = floor_bytes(tmp_path)
    assert floor > 0
    assert 150 * MB < usage.rss_bytes < max(220 * MB, floor + 20 * MB)


def test_a_failure_says_what_the_program_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"sh ended with 3:\nno such vault"):
        run(Command(argv=["sh", "-c", "echo no such vault >&2; exit 3"]), tmp_path)


def test_a_program_sees_only_what_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULTD_VAULT", "/somewhere")
    command = Command(argv=["sh", "-c", 'env > "$0"', "seen"], environment={"MINE": "1"})
    run(Command(argv=command.argv, environment=command.environment, folder=tmp_path), tmp_path)
    seen = dict(line.split("=", 1) for line in tmp_path.joinpath("seen").read_text().splitlines())

    assert {"MINE": "1", "HOME": str(tmp_path)}.items() <= seen.items()
    assert "VAULTD_VAULT" not in seen


def test_the_extent_of_a_folder_counts_files_and_bytes(tmp_path: Path) -> None:
    tmp_path.joinpath("below").mkdir()
    tmp_path.joinpath("below/one").write_bytes(bytes(10))
    tmp_path.joinpath("two").write_bytes(bytes(5))

    assert (2, 15) == extent_of(tmp_path)
