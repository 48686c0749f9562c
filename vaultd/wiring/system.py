"""The operating system's clock and dice, and our place among its processes."""

from __future__ import annotations

import os

from vaultd.core.clock import Clock, SystemClock

_LOWEST = 19
"""As far as a process can step back."""


def give_way() -> None:
    """Let everything else on this machine go first from now on."""
    os.nice(_LOWEST)


def system_random(count: int) -> bytes:
    """Return that many random bytes of the operating system, fit for keys."""
    return os.urandom(count)


def system_clock() -> Clock:
    """Return the operating system's clock."""
    return SystemClock()
