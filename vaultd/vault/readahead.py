"""Reading packs ahead: whoever asks for one record after the other gets many with one request.

A request to a bucket costs as much as half a megabyte, and a restore of everything asks for the
records of a pack nearly in order. As the kernel does with files, a stretch that is asked for where
the last one ended is fetched longer than that one was; anything else is fetched as it is.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

Get = Callable[[str, int, int], bytes]
"""Returns bytes of an object, given name, offset and length."""

_OBJECTS = 64
"""How many objects are remembered."""

_NEAR_BYTES = 1 << 20
"""A gap that is read over: a record that was not needed, or that another thread fetches."""


class _Stretch(Struct, eq=False):
    """Bytes of an object from ``start`` to ``end``, there or on their way.

    Attributes:
        left: Bytes that nobody has taken yet.
        fetched: Set when they are there, or never will be.
        error: Why not.
    """

    name: str
    start: int
    end: int
    left: int
    fetched: threading.Event
    data: bytes = b""
    error: BaseException | None = None


class ReadAhead:
    """Stretches of objects; used by several threads.

    Args:
        get: Reads.
        longest_bytes: Longest stretch; 0: nothing is read ahead.
        most_bytes: Bytes that are kept for later, at most.
    """

    def __init__(self, get: Get, longest_bytes: int, most_bytes: int = 24 << 20) -> None:
        self._get = get
        self._longest_bytes = longest_bytes
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._newest: OrderedDict[str, _Stretch] = OrderedDict()
        self._held: OrderedDict[_Stretch, None] = OrderedDict()

    def read(self, name: str, size: int, offset: int, length: int) -> memoryview:
        """Return bytes of an object, fewer when it is shorter than it should be.

        Args:
            name: The object.
            size: Its bytes, as far as known.
            offset: Of the first byte.
            length: How many.

        Raises:
            ObjectNotFoundError: There is no such object.
            StorageError: It could not be read.
        """
        if not self._longest_bytes:
            return memoryview(self._get(name, offset, length))
        with self._lock:
            stretch = self._find(name, offset, length)
            is_new = stretch is None
            if stretch is None:
                stretch = self._begin(name, size, offset, length)
            stretch.left -= length
            if stretch.left <= 0:
                self._held.pop(stretch, None)
        if is_new:
            self._fetch(stretch)
        stretch.fetched.wait()
        if stretch.error is not None:
            raise stretch.error
        start = offset - stretch.start
        return memoryview(stretch.data)[start : start + length]

    def forget(self, name: str) -> None:
        """Read everything of an object anew: what was read of it was wrong."""
        with self._lock:
            self._newest.pop(name, None)
            for stretch in [one for one in self._held if one.name == name]:
                del self._held[stretch]

    def _find(self, name: str, offset: int, length: int) -> _Stretch | None:
        for stretch in self._held:
            if stretch.start <= offset and offset + length <= stretch.end and stretch.name == name:
                return stretch
        return None

    def _begin(self, name: str, size: int, offset: int, length: int) -> _Stretch:
        before = self._newest.get(name)
        wanted = length
        if before is not None and before.start < offset <= before.end + _NEAR_BYTES:
            wanted = max(length, min(2 * (before.end - before.start), self._longest_bytes))
        end = max(offset + length, min(offset + wanted, size))
        stretch = _Stretch(name, offset, end, end - offset, threading.Event())
        self._newest[name] = stretch
        self._newest.move_to_end(name)
        if len(self._newest) > _OBJECTS:
            self._newest.popitem(last=False)
        self._held[stretch] = None
        held = sum(one.end - one.start for one in self._held)
        while held > self._most_bytes and len(self._held) > 1:
            oldest, _ = self._held.popitem(last=False)
            held -= oldest.end - oldest.start
        return stretch

    def _fetch(self, stretch: _Stretch) -> None:
        try:
            stretch.data = self._get(stretch.name, stretch.start, stretch.end - stretch.start)
        except BaseException as error:
            stretch.error = error
            with self._lock:
                self._held.pop(stretch, None)
            raise
        finally:
            stretch.fetched.set()
