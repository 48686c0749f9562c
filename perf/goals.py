"""What vaultd promises about its speed, and whether a result keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perf.measuring import MB
from perf.results import Result

OURS = "vaultd"
Measure = Literal["faster", "stored", "rss", "wall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One promise.

    Attributes:
        job: At which job.
        workload: With which data.
        measure: ``faster``: the peer's median time over ours is at least ``limit``; ``stored``:
            our stored bytes over the peer's are at most ``limit``; ``rss``: our peak memory is at
            most ``limit`` bytes; ``wall``: our median time is at most ``limit`` seconds.
        limit: See above.
        peer: With whom we compare.
    """

    job: str
    workload: str
    measure: Measure
    limit: float
    peer: str = "restic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a goal is met.

    Attributes:
        goal: The goal.
        found: What was measured, in the unit of its limit; ``None`` when it was not.
    """

    goal: Goal
    found: float | None

    @property
    def met(self) -> bool | None:
        """Whether it is met; ``None`` when it was not measured."""
        if self.found is None:
            return None
        if self.goal.measure == "faster":
            return self.found >= self.goal.limit
        return self.found <= self.goal.limit

    def __str__(self) -> str:
        """Return one line."""
        word = {True: "met", False: "MISSED", None: "not measured"}[self.met]
        goal = self.goal
        return f"{word:12} {goal.job:14} {goal.workload:10} {_words(goal, self.found)}"


def _words(goal: Goal, found: float | None) -> str:
    number = "-" if found is None else f"{found / MB:.0f} MB" if goal.measure == "rss" else None
    match goal.measure:
        case "faster":
            return f"{number or f'{found:.2f}'} times as fast as {goal.peer}, at least {goal.limit}"
        case "stored":
            return f"{number or f'{found:.3f}'} of what {goal.peer} stores, at most {goal.limit}"
        case "rss":
            return f"{number} of memory, at most {goal.limit / MB:.0f} MB"
        case "wall":
            return f"{number or f'{found:.3f} s'}, at most {goal.limit} s"


def _goals() -> tuple[Goal, ...]:
    goals = []

    def add(job: str, workload: str, measure: Measure, limit: float, peer: str = "restic") -> None:
        goals.append(Goal(job=job, workload=workload, measure=measure, limit=limit, peer=peer))

    for workload in ("mix", "tiny", "sys"):
        add("full", workload, "faster", 3.0)
        add("full", workload, "faster", 1.0, "tar|zstd")
        add("full", workload, "stored", 1.0)
        add("full", workload, "rss", 100 * MB)
        add("cold", workload, "faster", 2.8)
        add("unchanged", workload, "rss", 60 * MB)
        add("changed", workload, "faster", 3.0)
        add("restore", workload, "faster", 2.8)
        add("restore", workload, "rss", 110 * MB)
        add("check", workload, "faster", 3.5)
    add("unchanged", "mix", "faster", 5.0)
    add("unchanged", "tiny", "faster", 4.0)
    for job, limit in (("s3-full", 2.2), ("s3-restore", 1.9)):
        add(job, "mix", "faster", limit)
        add(job, "mix", "rss", 160 * MB)
    for job in ("large-backup", "large-restore"):
        add(job, "chunks", "wall", 2.0)
        add(job, "chunks", "rss", 150 * MB)
    add("version", "start", "wall", 0.1)
    add("help", "start", "wall", 0.15)
    add("snapshots", "start", "wall", 0.5)
    return tuple(goals)


GOALS = _goals()


def judge(result: Result) -> list[Verdict]:
    """Return a verdict for each goal, in order."""
    return [Verdict(goal=goal, found=_found(goal, result)) for goal in GOALS]


def _found(goal: Goal, result: Result) -> float | None:
    ours = result.find(goal.job, goal.workload, OURS)
    peer = result.find(goal.job, goal.workload, goal.peer)
    found: float | None = None
    match goal.measure:
        case "rss" if ours:
            found = ours.rss
        case "wall" if ours:
            found = ours.wall
        case "faster" if ours and peer:
            found = peer.wall / ours.wall
        case "stored" if ours and peer and ours.stored and peer.stored:
            found = ours.stored / peer.stored
    return found
