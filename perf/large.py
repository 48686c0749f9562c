"""Jobs that need no peer: how fast the program starts, and how it stands a very large vault."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perf.jobs import Bench
from perf.measuring import MB, Command, Usage, run
from perf.programs import Place, Vaultctl
from perf.results import Measured, measured

SNAPSHOTS = 1000
_STARTS = 3
_ROOT = Path(__file__).parents[1]
_FILE = "accounts/2026-01.csv"


def start(bench: Bench, ours: Vaultctl, snapshots: int = SNAPSHOTS) -> list[Measured]:
    """Measure commands that people wait for; the first run of each does not count.

    Args:
        bench: Where and how often; three times as often as other jobs, because they are short.
        ours: Our program.
        snapshots: How many the vault has that `snapshots` lists.
    """
    with _vault(bench, ours, "start") as place:
        _grow(bench, place, "snapshots", snapshots, "--folder", str(place.folder / "source"))
        commands = {
            "version": Command(argv=[ours.program, "version"]),
            "help": Command(argv=[ours.program, "--help"]),
            "snapshots": ours.command(place, "snapshots"),
        }
        found = []
        for job, command in commands.items():
            run(command, bench.work)
            usages = [run(command, bench.work) for _ in range(_STARTS * bench.repetitions)]
            found.append(_told(bench, job, "start", usages))
    return found


def large_vault(bench: Bench, ours: Vaultctl, chunks: int) -> list[Measured]:
    """Measure a small backup into, and a small restore from, a vault of very many chunks.

    ``large-first`` is the first restore on a machine that did not make the vault, which learns
    where all chunks lie; a machine that did knows it already.
    ``large-restore`` are those after it.

    Args:
        bench: Where and how often.
        ours: Our program.
        chunks: How many the vault has.
    """
    with _vault(bench, ours, "large") as place:
        source = place.folder / "source"
        make = [sys.executable, "-m", "perf.workloads", "customer", str(source)]
        _quietly(bench, make)
        back_up = ours.back_up(place, source, first=True)
        run(back_up, bench.work)
        bench.say(f"making a vault of {chunks:,} chunks")
        _grow(bench, place, "chunks", chunks)
        backups = []
        for repetition in range(bench.repetitions):
            with source.joinpath(_FILE).open("a", encoding="ascii") as file:
                file.write(f"changed {repetition}\n")
            backups.append(run(back_up, bench.work))
        for path in (place.folder / "state").rglob("index-*"):
            path.unlink()  # from here on a machine that knows nothing of the vault
        restores = [
            run(_restore_one(ours, place, source, number), bench.work)
            for number in range(bench.repetitions + 1)
        ]
    return [
        _told(bench, "large-backup", "chunks", backups),
        _told(bench, "large-first", "chunks", restores[:1]),
        _told(bench, "large-restore", "chunks", restores[1:]),
    ]


def _restore_one(ours: Vaultctl, place: Place, source: Path, number: int) -> Command:
    target = place.folder / f"restored-{number}"
    wanted = str(source / _FILE)
    return ours.read(place, "restore", "latest", "--target", str(target), "--include", wanted)


@contextmanager
def _vault(bench: Bench, ours: Vaultctl, name: str) -> Iterator[Place]:
    folder = bench.work / name
    folder.mkdir()
    place = Place(folder=folder)
    for command in ours.make(place):
        run(command, bench.work)
    yield place
    shutil.rmtree(folder)


def _grow(bench: Bench, place: Place, what: str, count: int, *options: str) -> None:
    where = [str(place.vault), str(place.folder / "state")]
    argv = [sys.executable, "-m", "perf.synthetic", what, *where, "--count", str(count), *options]
    _quietly(bench, argv)


def _quietly(bench: Bench, argv: list[str]) -> None:
    run(Command(argv=argv, folder=_ROOT), bench.work)


def _told(bench: Bench, job: str, workload: str, usages: list[Usage]) -> Measured:
    found = measured((job, workload, "vaultd"), usages)
    bench.say(f"{workload:6} {job:14} {found.wall:8.3f} s  {found.rss / MB:6.0f} MB")
    return found
