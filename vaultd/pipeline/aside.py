"""Large files that are read aside, by the workers themselves while the scan goes on with others.

A scan of many small files keeps one thread busy and the workers waiting; a large file keeps the
workers busy. So that one makes up for the other, a large file that is met is not read at once but
waits, open, until a worker has nothing better to do.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from msgspec import Struct, field

from vaultd.core.tree import SIZE
from vaultd.core.units import MIB
from vaultd.pipeline.cutting import Cutter, Stream
from vaultd.pipeline.tree_writer import Pieces, Ticket
from vaultd.stores.base import Scanned

LONGEST_BYTES = 32 * MIB
"""A longer file is read by the scan, so that all workers share its chunks."""

_MOST_OPEN = 128
"""Files that may be open for it."""

Store = Callable[[memoryview], bytes]
"""Stores one chunk at once and returns its id."""


class Late(Struct, eq=False):
    """A large file that is read when its turn comes.

    Attributes:
        scanned: Its directory part.
        position: Its position there.
        fd: A descriptor of its own.
        size: Bytes that it is expected to have.
        pieces: Its contents, `Pieces.is_whole` only when the scan has looked at the file again.
        got: Bytes read; more than ``size`` only says that it has grown.
        error: Why it could not be read.
    """

    scanned: Scanned
    position: int
    fd: int
    size: int
    pieces: Pieces = field(default_factory=lambda: Pieces(is_whole=False))
    got: int = 0
    error: OSError | None = None

    def read(self, cutter: Cutter, store: Store) -> None:
        """Store the contents, one chunk after the other, on the thread of a worker."""
        with suppress(OSError):  # only advice, and only beyond what the scan has asked for
            os.posix_fadvise(self.fd, 0, self.size, os.POSIX_FADV_WILLNEED)
        chunks = cutter.chunks(Stream(self.fd, None))
        while self.got <= self.size:
            try:
                chunk = next(chunks, None)
            except OSError as error:
                self.error = error
                return
            if chunk is None:
                return
            ticket = Ticket()
            ticket.chunk_id = store(chunk)
            self.pieces.chunks.append((ticket, len(chunk)))
            self.got += len(chunk)


class Aside:
    """The large files that wait or were read aside; used by the thread that scans.

    A context manager: on leaving, everything that is still open is closed.

    Args:
        submit: Has a worker do something when it is idle, with a cutter and a way to store.
    """

    def __init__(self, submit: Callable[[Callable[[Cutter, Store], None]], None]) -> None:
        self._submit = submit
        self._open: set[Late] = set()
        self._read: deque[Late] = deque()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all files; call it when no worker is at work any more."""
        for late in tuple(self._open):
            self.close(late)

    def take(self, scanned: Scanned, position: int, fd: int) -> Pieces | None:
        """Put a file aside and return its contents to be; ``None``: it must be read now.

        Args:
            scanned: Its directory part.
            position: A regular file without holes.
            fd: Open; a duplicate is kept.
        """
        size = scanned.listing.get(SIZE, position)
        if size > LONGEST_BYTES or len(self._open) >= _MOST_OPEN:
            return None
        try:
            late = Late(scanned, position, os.dup(fd), size)
        except OSError:  # there are no more descriptors
            return None
        self._open.add(late)

        def job(cutter: Cutter, store: Store) -> None:
            late.read(cutter, store)
            self._read.append(late)

        self._submit(job)
        return late.pieces

    def next_read(self) -> Late | None:
        """Return a file that a worker is done with, if there is one; `close` it when done, too."""
        return self._read.popleft() if self._read else None

    def close(self, late: Late) -> None:
        """Close a file."""
        self._open.discard(late)
        os.close(late.fd)
