"""When an object must be read again, and how much of them in a day: pure."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from vaultd.core.units import GIB

_DAY_S = 86_400


class ScrubRule(Struct, frozen=True, kw_only=True):
    """How fast everything is read, and what that may cost.

    Attributes:
        window_s: Everything is read once in so many seconds.
        bytes_per_day: At most so much is read in a day (UTC).
        requests_per_day: At most so many requests are made for it in a day.
    """

    window_s: int = 30 * _DAY_S
    bytes_per_day: int = 50 * GIB
    requests_per_day: int = 100_000


class Due(StrEnum):
    """Why an object is read now, in words."""

    NEW = "never read"
    SUSPECT = "bad when it was last read"
    OVERDUE = "not read within the window"
    SHARE = "today's share of the window"


def why_due(read_ns: int | None, *, suspect: bool, now_ns: int, rule: ScrubRule) -> Due:
    """Tell why an object would be read now.

    Args:
        read_ns: When it was last read; ``None``: never.
        suspect: It was bad then, or others say so.
        now_ns: The time.
        rule: What was promised.
    """
    if suspect:
        return Due.SUSPECT
    if read_ns is None:
        return Due.NEW
    # Tomorrow it would be too late.
    latest_ns = now_ns - (rule.window_s - _DAY_S) * 10**9
    return Due.OVERDUE if read_ns < latest_ns else Due.SHARE


def daily_share(size: int, rule: ScrubRule) -> int:
    """Return the bytes to read in a day so that a whole vault is read in the window."""
    return size * _DAY_S // max(rule.window_s, _DAY_S)


class Allowance:
    """What may still be read in one run: bytes, requests, and of what is not due yet a share.

    Args:
        size: Bytes that may be read.
        requests: Requests that may be made.
        share: Bytes that may be read of what is not due yet.
        fresh: Nothing was read today: an object larger than the limits is read all the same, or
            it would never be.
    """

    def __init__(self, *, size: int, requests: int, share: int, fresh: bool) -> None:
        self._size = size
        self._requests = requests
        self._share = share
        self._fresh = fresh
        self.is_exhausted = False

    def take(self, due: Due, size: int, requests: int) -> bool:
        """Take one object out of the allowance; the first one that does not fit ends it."""
        fits = self._fresh or (size <= self._size and requests <= self._requests)
        if due is Due.SHARE:
            fits = fits and size <= self._share
        if self.is_exhausted or not fits:
            self.is_exhausted = True
            return False
        self._fresh = False
        self._size -= size
        self._requests -= requests
        self._share -= size
        return True
