"""The clock, as a parameter: nothing else in vaultd asks the system for the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the rest of vaultd may know about time."""

    def now_ns(self) -> int:
        """Return the wall-clock time in nanoseconds since 1970-01-01 UTC."""

    def monotonic_s(self) -> float:
        """Return seconds from a point that never moves; for durations only."""

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for ``seconds``."""


class SystemClock:
    """The operating system's clock."""

    def now_ns(self) -> int:
        """Return the wall-clock time in nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Return seconds from a point that never moves; for durations only."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for ``seconds``."""
        time.sleep(seconds)


def utc(ns: int) -> datetime:
    """Return nanoseconds since 1970 as an aware UTC time, microseconds kept."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def rfc3339(ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339 text in UTC, with seconds."""
    return utc(ns).strftime("%Y-%m-%dT%H:%M:%SZ")
