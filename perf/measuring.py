"""One process, measured from outside: time, processor time, memory.

This module and all that it runs in must stay small: on Linux the peak memory of a new process is
never less than what the process that started it held at that moment. `floor_bytes` tells how much
that is; everything large (S3 server, comparison of trees) runs in processes of its own.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")
MB = 1_000_000
_LOG_SHOWN = 2000
_KIB = 1024


class CommandError(Exception):
    """A program that is measured failed; the message ends with what it wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run.

    Attributes:
        argv: Program and arguments.
        environment: Variables beside `PATH`, `HOME` and `LANG`.
        folder: Working directory; ``None``: that of this process.
    """

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run took.

    Attributes:
        wall_s: Seconds from start to end.
        cpu_s: Seconds of processor time, user and system, all processes together.
        rss_bytes: Peak memory of the largest process.
    """

    wall_s: float
    cpu_s: float
    rss_bytes: int


def run(command: Command, home: Path) -> Usage:
    """Run a command and measure it; dirty pages of what ran before are written first.

    Args:
        command: What to run.
        home: Its home folder, which also gets its log.

    Raises:
        CommandError: It ended with another code than 0.
        FileNotFoundError: There is no such program.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        **command.environment,
    }
    log = home / "log"
    os.sync()
    with log.open("wb") as output:
        began = time.perf_counter()
        with subprocess.Popen(
            command.argv,
            env=environment,
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process:
            _, status, used = os.wait4(process.pid, 0)
            ended = time.perf_counter()
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace")[-_LOG_SHOWN:]
        raise CommandError(f"{command.argv[0]} ended with {process.returncode}:\n{said}")
    return Usage(
        wall_s=ended - began,
        cpu_s=used.ru_utime + used.ru_stime,
        rss_bytes=used.ru_maxrss * _KIB,
    )


def floor_bytes(home: Path) -> int:
    """Return the memory below which nothing can be measured here."""
    return run(Command(argv=["true"]), home).rss_bytes


def can_drop_caches() -> bool:
    """Tell whether runs with a cold cache are possible here: only root may empty it."""
    return os.access(_DROP_CACHES, os.W_OK)


def drop_caches() -> None:
    """Empty the kernel's caches of files, names and inodes."""
    os.sync()
    _DROP_CACHES.write_text("3\n", encoding="ascii")


def warm(folder: Path, home: Path) -> None:
    """Read everything in a folder once, so that it lies in the cache as far as that has room."""
    argv = ["sh", "-c", 'tar -C "$0" -cf - . | cat > "$1"', str(folder), os.devnull]
    run(Command(argv=argv), home)


def extent_of(folder: Path) -> tuple[int, int]:
    """Return how many files a folder holds, links among them, and their bytes."""
    files = data = 0
    for top, _, names in os.walk(folder):
        files += len(names)
        data += sum(os.lstat(os.path.join(top, name)).st_size for name in names)
    return files, data
