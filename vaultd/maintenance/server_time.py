"""The time by the storage's clock: it wrote the times that are compared with it."""

from __future__ import annotations

from collections.abc import Callable

from vaultd.backends.base import Backend
from vaultd.backends.conformance import Bench, clock_ahead_s
from vaultd.core.clock import Clock
from vaultd.core.errors import CautionError

_MOST_S = 300


def server_now_ns(backend: Backend, clock: Clock, randomness: Callable[[int], bytes]) -> int:
    """Return the time by the storage's clock, in nanoseconds since 1970.

    Args:
        backend: Where the vault lies; gets a small object, which is removed again.
        clock: This machine's.
        randomness: For the object's name.

    Raises:
        CautionError: The two clocks differ by so much that one of them is wrong.
        StorageError: The backend does not answer.
    """
    bench = Bench(
        make=lambda: backend, prefix="clock/", randomness=randomness, together=lambda _: None
    )
    ahead_s = clock_ahead_s(bench, clock)
    if abs(ahead_s) > _MOST_S:
        way = "ahead of" if ahead_s > 0 else "behind"
        raise CautionError(
            f"the storage's clock is {abs(ahead_s):.0f} s {way} this machine's: nothing is "
            "deleted by a clock that may be wrong",
            hint="Set this machine's clock by NTP, or have the storage's looked at.",
        )
    return clock.now_ns() + int(ahead_s * 1e9)
