"""Measure vaultd beside its peers: ``python -m perf.run``; see README.md for the method."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from perf.bucket import Bucket, served_bucket
from perf.jobs import JOBS, Bench, Workload, prepare
from perf.large import large_vault, start
from perf.measuring import MB, can_drop_caches, floor_bytes
from perf.programs import Program, Vaultctl, programs
from perf.results import Measured, Result, machine, save
from perf.table import RESULTS, put_into, table, verdicts

WORKLOADS = ("mix", "tiny", "sys")
_ALONE = ("start", "large")
_README = Path(__file__).parents[1] / "README.md"
_WITH_S3 = "mix"
_BIG, _BIG_REPETITIONS = "sys", 2
_FLOOR = 40 * MB
_CALM = 0.5


def main() -> None:
    """Read the command line, measure, and show what came of it."""
    chosen = _parser().parse_args()
    work = Path(tempfile.mkdtemp(prefix="vaultd-perf-", dir=chosen.work))
    try:
        result = _session(chosen, work)
        path = chosen.output or RESULTS / f"{result.taken_at[:10]}-{chosen.machine}.json"
        save(result, path)
    finally:
        if not chosen.keep:
            shutil.rmtree(work)  # takes minutes
    text = table(result)
    print(f"\n{verdicts(result)}\n\n{text}\nwritten to {path}")
    if chosen.readme and not put_into(text, _README):
        print(f"{_README} has no markers for the table", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure vaultd beside restic, borg, tar | zstd.")
    jobs = (*JOBS, *_ALONE)
    peers = tuple(program.name for program in programs()[1:])

    def several(flag: str, known: Sequence[str]) -> None:
        words = ",".join(known)
        parser.add_argument(flag, type=_some_of(known), default=known, metavar="A,B", help=words)

    several("--jobs", jobs)
    several("--workloads", WORKLOADS)
    several("--peers", peers)
    parser.add_argument("--scale", type=float, default=1.0, help="of mix and tiny; default: 1")
    parser.add_argument("--repetitions", type=int, default=3, help="default: 3; sys: at most 2")
    parser.add_argument("--chunks", type=int, default=10_000_000, help="of the very large vault")
    parser.add_argument("--work", type=Path, help="folder for everything; needs 60 GB with sys")
    parser.add_argument("--keep", action="store_true", help="leave what was made there")
    parser.add_argument("--output", type=Path, help="default: perf/results/DATE-MACHINE.json")
    parser.add_argument("--machine", default=platform.node(), help="its name in the file's name")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    return parser


def _some_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        found = tuple(part for part in text.split(",") if part)
        unknown = sorted(set(found) - set(known))
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return found

    return parse


def _session(chosen: argparse.Namespace, work: Path) -> Result:
    now = dt.datetime.now(dt.UTC)
    there, versions = _who(chosen.peers)
    bench = Bench(work=work, programs=there, repetitions=chosen.repetitions, say=_say)
    _look_around(bench, chosen, versions)
    held: dict[str, str] = {}
    found: list[Measured] = []
    wanted = [job for job in JOBS if job in chosen.jobs]
    with _bucket_for(chosen) as bucket:
        for name in chosen.workloads if wanted else ():
            source, held[name] = prepare(name, chosen.scale, work)
            _say(f"{name}: {held[name]}")
            most = _BIG_REPETITIONS if name == _BIG else chosen.repetitions
            its = replace(bench, repetitions=min(most, chosen.repetitions))
            workload = Workload(its, name, source, bucket if name == _WITH_S3 else None)
            for job in wanted:
                found += workload.measure(job)
            workload.forget()
    ours = Vaultctl()
    if "start" in chosen.jobs:
        found += start(bench, ours)
    if "large" in chosen.jobs:
        found += large_vault(bench, ours, chosen.chunks)
        held["chunks"] = f"a vault of {chosen.chunks:,} chunks, made up"
    return Result(
        taken_at=now.isoformat(timespec="seconds"),
        machine=machine(),
        programs=versions,
        workloads=held,
        notes=bench.notes,
        measurements=found,
    )


def _who(peers: Sequence[str]) -> tuple[list[Program], dict[str, str]]:
    """Return who takes part, our own first, and the versions of those.

    Raises:
        SystemExit: Our own program does not run.
    """
    there: list[Program] = []
    versions: dict[str, str] = {}
    for program in programs():
        version = program.version()
        if version is not None and (not there or program.name in peers):
            there.append(program)
            versions[program.name] = version
        elif not there:
            raise SystemExit("vaultctl does not run: `make perf` sees to that")
    return there, versions


def _look_around(bench: Bench, chosen: argparse.Namespace, versions: dict[str, str]) -> None:
    """Note what a reader of the result must know."""
    for name in chosen.peers:
        if name not in versions:
            bench.note(f"{name} is not here, or does not run")
    if "cold" in chosen.jobs and not can_drop_caches():
        bench.note("not root: the cache cannot be emptied, so cold runs are left out")
        chosen.jobs = tuple(job for job in chosen.jobs if job != "cold")
    floor = floor_bytes(bench.work)
    if floor > _FLOOR:
        bench.note(f"memory below {floor / MB:.0f} MB cannot be measured")
    load = os.getloadavg()[0]
    if load > _CALM:
        bench.note(f"the machine was busy at the beginning: load {load:.1f}")


@contextlib.contextmanager
def _bucket_for(chosen: argparse.Namespace) -> Iterator[Bucket | None]:
    if "s3" in chosen.jobs and _WITH_S3 in chosen.workloads:
        with served_bucket() as bucket:
            yield bucket
    else:
        yield None


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
