"""The operating system's clock and dice."""

from __future__ import annotations

import os

from vaultd.core.clock import Clock, SystemClock


def system_random(count: int) -> bytes:
    """Return that many random bytes of the operating system, fit for keys."""
    return os.urandom(count)


def system_clock() -> Clock:
    """Return the operating system's clock."""
    return SystemClock()
