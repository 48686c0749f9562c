"""Two results side by side: ``python -m perf.compare BEFORE AFTER [--threshold 0.1]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from perf.goals import OURS
from perf.results import Measured, Result, load

_MEASURES = ("wall", "cpu", "rss", "stored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one number of ours has changed.

    Attributes:
        job: At which job.
        workload: With which data.
        measure: ``wall``, ``cpu``, ``rss`` or ``stored``.
        ratio: After over before; for times of jobs that a peer did too, both are divided by the
            peer's time first, so that a busier or other machine does not show.
        worse: It is larger by more than the threshold.
    """

    job: str
    workload: str
    measure: str
    ratio: float
    worse: bool


def changes(before: Result, after: Result, threshold: float) -> Iterator[Change]:
    """Yield every number of ours that both results have.

    Args:
        before: The older result.
        after: The newer one.
        threshold: From which share on an increase is worse: 0.1 is a tenth.
    """
    for old in before.measurements:
        new = after.find(*old.key)
        if old.program != OURS or new is None:
            continue
        for measure in _MEASURES:
            was, now = getattr(old, measure), getattr(new, measure)
            if not was or not now:
                continue
            ratio = now / was * _drift(before, after, old, measure)
            yield Change(
                job=old.job,
                workload=old.workload,
                measure=measure,
                ratio=ratio,
                worse=ratio > 1 + threshold,
            )


def _drift(before: Result, after: Result, ours: Measured, measure: str) -> float:
    """Return how much faster the machine has become, judged by a program that stayed the same."""
    was = before.find(ours.job, ours.workload, "restic")
    now = after.find(ours.job, ours.workload, "restic")
    if measure not in {"wall", "cpu"} or was is None or now is None:
        return 1.0
    return float(getattr(was, measure) / getattr(now, measure))


def main() -> None:
    """Read the command line; the exit code is 1 when something became worse."""
    parser = argparse.ArgumentParser(description="Compare two results.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--threshold", type=float, default=0.1, help="default: 0.1, a tenth")
    chosen = parser.parse_args()
    found = list(changes(load(chosen.before), load(chosen.after), chosen.threshold))
    for change in found:
        mark = "  WORSE" if change.worse else ""
        print(
            f"{change.job:14} {change.workload:8} {change.measure:7} "
            f"{(change.ratio - 1) * 100:+6.1f} %{mark}"
        )
    sys.exit(any(change.worse for change in found))


if __name__ == "__main__":
    main()
