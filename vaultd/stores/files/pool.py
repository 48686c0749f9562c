"""Descriptors of which only so many are open at once; the others are opened again when used."""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import RLock
from typing import Protocol

HELD_OPEN = 256
"""Descriptors that a restore holds; the soft limit of a process is 1024 nearly everywhere."""


class Held(Protocol):
    """Something with a descriptor that can be opened again.

    Attributes:
        fd: The descriptor, -1 while closed. Changed by the pool only.
        pins: How many threads use it now. Changed by the pool only.
    """

    fd: int
    pins: int

    def open_again(self) -> int:
        """Open it once more and return the descriptor.

        Raises:
            OSError: It is gone, or is something else now.
        """


class DescriptorPool:
    """Keeps the descriptors used last open; usable by several threads.

    Args:
        limit: How many may be open besides those in use.
    """

    def __init__(self, limit: int = HELD_OPEN) -> None:
        self._limit = limit
        self._lock = RLock()
        self._open: OrderedDict[Held, None] = OrderedDict()

    def adopt(self, item: Held, fd: int) -> None:
        """Take over a descriptor that was opened for an item."""
        with self._lock:
            item.fd = fd
            self._open[item] = None
            self._trim()

    def acquire(self, item: Held) -> int:
        """Return the descriptor of an item, which stays open until `release`.

        Raises:
            OSError: It could not be opened again.
        """
        with self._lock:
            if item.fd < 0:
                item.fd = item.open_again()
                self._open[item] = None
                item.pins += 1
                self._trim()
            else:
                self._open.move_to_end(item)
                item.pins += 1
            return item.fd

    def release(self, item: Held) -> None:
        """Give back what `acquire` returned."""
        with self._lock:
            item.pins -= 1

    def close(self, item: Held) -> None:
        """Close an item's descriptor, if it is open, for good."""
        with self._lock:
            if item.fd >= 0:
                os.close(item.fd)
                item.fd = -1
                del self._open[item]

    def close_all(self) -> None:
        """Close everything."""
        with self._lock:
            for item in list(self._open):
                self.close(item)

    def _trim(self) -> None:
        if len(self._open) > self._limit:
            for item in self._open:
                if not item.pins:
                    self.close(item)
                    return
