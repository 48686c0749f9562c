"""Results for the tests of perf, without measuring anything."""

from __future__ import annotations

from perf.measuring import Usage
from perf.results import Measured, Result, measured

MB = 1_000_000


def taken(
    job: str, workload: str, program: str, wall_s: float, *, rss: int = 50 * MB, stored: int = 0
) -> Measured:
    """Return three runs, the middle one as given."""
    usages = [
        Usage(wall_s=wall_s * share, cpu_s=wall_s * share / 2, rss_bytes=rss)
        for share in (0.9, 1.0, 1.5)
    ]
    return measured((job, workload, program), usages, [stored] * 3 if stored else ())


def result(*measurements: Measured) -> Result:
    """Return a result that holds some measurements."""
    return Result(
        taken_at="2026-11-23T10:00:00+00:00",
        machine={"processor": "Some", "cores": "2", "memory_gib": "24"},
        programs={"vaultd": "0.1.0", "restic": "0.19.1"},
        workloads={"mix": "40,000 files, 900 MB"},
        notes=("borg is not here, or does not run",),
        measurements=measurements,
    )
