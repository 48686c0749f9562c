"""Jobs alternate between the programs, check what was restored, and leave out peers that fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from perf.jobs import Bench, Workload, prepare
from perf.measuring import Command, CommandError
from perf.programs import Place

JOBS = frozenset({"full", "unchanged", "restore", "check", "changed"})


class Copier:
    """A program that copies."""

    def __init__(self, name: str, *, spoils: bool = False, fails_at: str = "") -> None:
        self.name = name
        self.jobs = JOBS
        self.calls: list[str] = []
        self._spoils = spoils
        self._fails_at = fails_at

    def version(self) -> str | None:
        """Say one."""
        return "1"

    def make(self, place: Place) -> Sequence[Command]:
        """Make a folder."""
        return [Command(argv=["mkdir", str(place.vault)])]

    def back_up(self, place: Place, source: Path, *, first: bool) -> Command:
        """Copy the source."""
        self.calls.append("first" if first else "again")
        return self._command("full", 'rm -rf "$1/c" && cp -a "$0" "$1/c"', source, place.vault)

    def restore(self, place: Place, source: Path, target: Path) -> Command:
        """Copy it back, below its path."""
        below = target / source.relative_to("/")
        script = 'mkdir -p "$(dirname "$1")" && cp -a "$0/c" "$1"'
        if self._spoils:
            script += ' && rm "$1/crm.sqlite"'
        return self._command("restore", script, place.vault, below)

    def check(self, place: Place) -> Command:
        """Look at it."""
        return self._command("check", 'test -d "$0"', place.vault)

    def _command(self, job: str, script: str, *paths: Path) -> Command:
        shown = "exit 9" if job == self._fails_at else script
        return Command(argv=["sh", "-c", shown, *map(str, paths)])


@pytest.fixture
def said() -> list[str]:
    return []


def bench_of(work: Path, said: list[str], *programs: Copier) -> Bench:
    return Bench(work=work, programs=programs, repetitions=2, say=said.append)


def workload_of(bench: Bench) -> Workload:
    source, _ = prepare("customer", 0.05, bench.work)
    return Workload(bench, "customer", source)


def test_every_program_does_every_job_in_turn(tmp_path: Path, said: list[str]) -> None:
    ours, peer = Copier("vaultd"), Copier("peer")
    workload = workload_of(bench_of(tmp_path, said, ours, peer))
    found = {
        one.key: one
        for job in ("full", "unchanged", "restore", "check", "changed")
        for one in workload.measure(job)
    }
    order = [line.split()[2] for line in said if line.split()[1] == "full"]

    assert ["vaultd", "peer"] * 2 == order
    assert 10 == len(found)
    assert all(2 == len(one.wall_s) for one in found.values())
    assert found["full", "customer", "peer"].stored > 1_000_000
    assert ["first", "first"] == ours.calls[:2]
    assert {"again"} == set(ours.calls[2:])


def test_an_unmeasured_backup_comes_before_a_restore(tmp_path: Path, said: list[str]) -> None:
    ours = Copier("vaultd")
    workload = workload_of(bench_of(tmp_path, said, ours))
    found = workload.measure("restore")

    assert ["restore"] == [one.job for one in found]
    assert ["first"] == ours.calls


def test_a_restore_that_lacks_a_file_is_no_result(tmp_path: Path, said: list[str]) -> None:
    workload = workload_of(bench_of(tmp_path, said, Copier("vaultd", spoils=True)))

    with pytest.raises(CommandError, match=r"crm\.sqlite'?: missing"):
        workload.measure("restore")


def test_a_peer_that_fails_is_left_out_and_noted(tmp_path: Path, said: list[str]) -> None:
    bench = bench_of(tmp_path, said, Copier("vaultd"), Copier("peer", fails_at="check"))
    found = workload_of(bench).measure("check")

    assert ["vaultd"] == [one.program for one in found]
    assert ["peer was left out of check on customer: sh ended with 9:"] == bench.notes


def test_our_own_failure_ends_everything(tmp_path: Path, said: list[str]) -> None:
    workload = workload_of(bench_of(tmp_path, said, Copier("vaultd", fails_at="check")))

    with pytest.raises(CommandError, match="sh ended with 9"):
        workload.measure("check")


def test_vaults_are_removed_in_the_end(tmp_path: Path, said: list[str]) -> None:
    workload = workload_of(bench_of(tmp_path, said, Copier("vaultd")))
    workload.measure("full")
    made = list(tmp_path.glob("customer-*"))
    workload.forget()

    assert 1 == len(made)
    assert [] == list(tmp_path.glob("customer-*"))
