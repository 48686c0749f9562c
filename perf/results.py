"""What was measured, as values and as a JSON file."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from perf.measuring import Usage

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All runs of one program at one job, in the order in which they ran.

    Attributes:
        job: What was done.
        workload: With which data.
        program: By whom.
        wall_s: Seconds from start to end.
        cpu_s: Seconds of processor time.
        rss_bytes: Peak memory of the largest process.
        stored_bytes: What the vault held afterwards; empty where that says nothing.
    """

    job: str
    workload: str
    program: str
    wall_s: Sequence[float]
    cpu_s: Sequence[float]
    rss_bytes: Sequence[int]
    stored_bytes: Sequence[int] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is a measurement of."""
        return self.job, self.workload, self.program

    @property
    def wall(self) -> float:
        """Median seconds."""
        return statistics.median(self.wall_s)

    @property
    def cpu(self) -> float:
        """Median seconds of processor time."""
        return statistics.median(self.cpu_s)

    @property
    def rss(self) -> int:
        """Most memory in any run."""
        return max(self.rss_bytes)

    @property
    def stored(self) -> float:
        """Median stored bytes; 0 when not known."""
        return statistics.median(self.stored_bytes) if self.stored_bytes else 0


def measured(
    of: tuple[str, str, str], usages: Sequence[Usage], stored: Sequence[int] = ()
) -> Measured:
    """Return the runs of one job, workload and program."""
    job, workload, program = of
    return Measured(
        job=job,
        workload=workload,
        program=program,
        wall_s=tuple(round(usage.wall_s, 4) for usage in usages),
        cpu_s=tuple(round(usage.cpu_s, 4) for usage in usages),
        rss_bytes=tuple(usage.rss_bytes for usage in usages),
        stored_bytes=tuple(stored),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything that one session of measuring has found.

    Attributes:
        taken_at: When, UTC, as in RFC 3339.
        machine: What it ran on.
        programs: Name to version of those that were there.
        workloads: Name to what it holds.
        notes: What a reader must know to trust the numbers.
        measurements: The numbers.
    """

    taken_at: str
    machine: Mapping[str, str]
    programs: Mapping[str, str]
    workloads: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    measurements: Sequence[Measured] = ()

    def find(self, job: str, workload: str, program: str) -> Measured | None:
        """Return one measurement, ``None`` when it was not taken."""
        wanted = (job, workload, program)
        return next((one for one in self.measurements if one.key == wanted), None)


def machine() -> dict[str, str]:
    """Describe this machine, without its name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory_gib": f"{memory / (1 << 30):.0f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2] for line in text.splitlines() if line.startswith("model name")]
    return names[0].strip() if names else platform.machine()


def save(result: Result, path: Path) -> None:
    """Write a result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"version": VERSION, **asdict(result)}, indent=1)
    path.write_text(f"{text}\n", encoding="utf-8")


def load(path: Path) -> Result:
    """Read a result.

    Raises:
        ValueError: It is none, or of another version of this program.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if found.pop("version", None) != VERSION:
        raise ValueError(f"{path}: not a result of version {VERSION}")
    return Result(
        **{**found, "measurements": tuple(Measured(**one) for one in found["measurements"])}
    )
