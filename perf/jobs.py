"""The jobs on one workload: each program does the same, one after the other, again and again.

Restores go into folders that nothing was ever deleted from, and nothing is deleted before all is
measured: ext4 leaves inodes alone for minutes after they were freed and makes whoever comes next
search for others, which slows restores down five to ten times.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from perf.bucket import Bucket
from perf.measuring import MB, Command, CommandError, Usage, drop_caches, extent_of, run, warm
from perf.programs import Place, Program
from perf.results import Measured, measured

JOBS = ("full", "cold", "unchanged", "restore", "check", "s3", "changed")
CHANGED_SHARE = 0.01
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where, with whom and how often.

    Attributes:
        work: Folder for everything; it is big.
        programs: Who takes part, our own first.
        repetitions: Runs of each program at each job.
        say: Takes lines for the person who waits.
        notes: What a reader must know; filled while measuring.
    """

    work: Path
    programs: Sequence[Program]
    repetitions: int
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say something and keep it for the result."""
        if text not in self.notes:
            self.notes.append(text)
            self.say(text)


class Workload:
    """One folder of data, and what each program made of it.

    Args:
        bench: Where, with whom and how often.
        name: Of the workload.
        source: The data; `changed` alters it.
        bucket: For the S3 jobs.
    """

    def __init__(self, bench: Bench, name: str, source: Path, bucket: Bucket | None = None) -> None:
        self._bench = bench
        self._name = name
        self._source = source
        self._bucket = bucket
        self._places: dict[str, Place] = {}
        self._numbers = itertools.count(1)
        self._out: set[str] = set()

    def measure(self, job: str) -> list[Measured]:
        """Do one of `JOBS`; ``s3`` gives two kinds of measurements."""
        jobs: dict[str, Callable[[], list[Measured]]] = {
            "full": lambda: self._first("full"),
            "cold": lambda: self._first("cold"),
            "unchanged": self._unchanged,
            "restore": self._restore,
            "check": self._check,
            "s3": self._s3,
            "changed": self._changed,
        }
        return jobs[job]()

    def forget(self) -> None:
        """Remove the vaults; restored folders stay."""
        for place in self._places.values():
            shutil.rmtree(place.folder)
        self._places.clear()

    # Jobs

    def _first(self, job: str) -> list[Measured]:
        stored: dict[str, list[int]] = {}

        def one(program: Program, _: int) -> Usage:
            place = self._fresh(program)
            if job == "cold":
                drop_caches()
            usage = self._run(program.back_up(place, self._source, first=True))
            stored.setdefault(program.name, []).append(place.stored_bytes())
            return usage

        if job == "full":
            warm(self._source, self._bench.work)
        return self._alternate(job, job, one, stored)

    def _unchanged(self) -> list[Measured]:
        # Once unmeasured: a program may keep a cache that its first backup did not make.
        for program in self._those("unchanged"):
            self._again(program)
        return self._alternate("unchanged", "unchanged", lambda program, _: self._again(program))

    def _changed(self) -> list[Measured]:
        for program in self._those("changed"):
            self._again(program)

        def one(program: Program, repetition: int) -> Usage:
            if program is self._those("changed")[0]:
                self._change(repetition + 1)
            return self._again(program)

        return self._alternate("changed", "changed", one)

    def _restore(self) -> list[Measured]:
        return self._alternate("restore", "restore", self._restored)

    def _check(self) -> list[Measured]:
        return self._alternate(
            "check", "check", lambda program, _: self._run(program.check(self._made(program)))
        )

    def _s3(self) -> list[Measured]:
        bucket = self._bucket
        if bucket is None:
            return []
        self.forget()

        def one(program: Program, _: int) -> Usage:
            place = self._fresh(program, bucket)
            return self._run(program.back_up(place, self._source, first=True))

        found = self._alternate("s3-full", "s3", one)
        found += self._alternate("s3-restore", "s3", self._restored)
        self.forget()
        return found

    # Steps

    def _alternate(
        self,
        job: str,
        kind: str,
        one: Callable[[Program, int], Usage],
        stored: dict[str, list[int]] | None = None,
    ) -> list[Measured]:
        """Run every program in turn: A B C, then A B C again."""
        usages: dict[str, list[Usage]] = {}
        for repetition in range(self._bench.repetitions):
            for program in self._those(kind):
                usage = self._tried(program, job, lambda p=program, r=repetition: one(p, r))  # type: ignore[misc]
                if usage is not None:
                    usages.setdefault(program.name, []).append(usage)
        for name in self._out:
            usages.pop(name, None)
        sizes = stored or {}
        return [
            measured((job, self._name, name), found, sizes.get(name, ()))
            for name, found in usages.items()
        ]

    def _tried(self, program: Program, job: str, one: Callable[[], Usage]) -> Usage | None:
        """Run one program; a peer that fails is left out from here on."""
        try:
            usage = one()
        except CommandError as error:
            if program is self._bench.programs[0]:
                raise
            self._out.add(program.name)
            first = str(error).partition("\n")[0]
            self._bench.note(f"{program.name} was left out of {job} on {self._name}: {first}")
            return None
        self._bench.say(
            f"{self._name:6} {job:10} {program.name:9} {usage.wall_s:8.2f} s  "
            f"cpu {usage.cpu_s:7.2f} s  {usage.rss_bytes / MB:6.0f} MB"
        )
        return usage

    def _those(self, kind: str) -> list[Program]:
        return [
            program
            for program in self._bench.programs
            if kind in program.jobs and program.name not in self._out
        ]

    def _fresh(self, program: Program, bucket: Bucket | None = None) -> Place:
        """Make an empty vault in place of the program's last one."""
        before = self._places.pop(program.name, None)
        if before is not None:
            shutil.rmtree(before.folder)
        folder = self._bench.work / f"{self._name}-{next(self._numbers):03d}"
        folder.mkdir()
        place = Place(folder=folder) if bucket is None else bucket.place(folder)
        for command in program.make(place):
            self._run(command)
        self._places[program.name] = place
        return place

    def _made(self, program: Program) -> Place:
        """Return a vault that holds a snapshot of the source."""
        if program.name not in self._places:
            self._run(program.back_up(self._fresh(program), self._source, first=True))
        return self._places[program.name]

    def _again(self, program: Program) -> Usage:
        return self._run(program.back_up(self._made(program), self._source, first=False))

    def _restored(self, program: Program, repetition: int) -> Usage:
        target = self._bench.work / "restored" / f"{self._name}-{next(self._numbers):03d}"
        place = self._made(program)
        target.mkdir(parents=True)
        usage = self._run(program.restore(place, self._source, target))
        if repetition == 0:
            self._compare(target / self._source.relative_to("/"))
        return usage

    def _compare(self, restored: Path) -> None:
        argv = [sys.executable, "-m", "perf.same", str(self._source), str(restored)]
        self._run(Command(argv=argv, folder=_ROOT))

    def _change(self, seed: int) -> None:
        argv = [sys.executable, "-m", "perf.workloads", "change", str(self._source)]
        options = ["--share", str(CHANGED_SHARE), "--seed", str(seed)]
        self._run(Command(argv=argv + options, folder=_ROOT))

    def _run(self, command: Command) -> Usage:
        return run(command, self._bench.work)


def prepare(name: str, scale: float, work: Path) -> tuple[Path, str]:
    """Make the data of a workload in a process of its own.

    Args:
        name: ``sys``, or a name of `perf.workloads`.
        scale: Of the latter.
        work: Where to put it.

    Returns:
        The folder, and what it holds in words.
    """
    folder = work / "data" / name
    folder.parent.mkdir(exist_ok=True)
    if name == "sys":
        command = Command(argv=["cp", "-a", "/usr", str(folder)])
    else:
        argv = [sys.executable, "-m", "perf.workloads", name, str(folder), "--scale", str(scale)]
        command = Command(argv=argv, folder=_ROOT)
    run(command, work)
    files, data = extent_of(folder)
    return folder, f"{files:,} files, {data / MB:,.0f} MB"
