"""From files to chunks: small files share bundles, large ones are cut where their contents say.

The scanning thread reads; workers hash, compress and seal, and read large files aside. Memory is a
fixed set of buffers, whatever the size of a file or of the store.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import Protocol

from vaultd.chunking.bundle import BundleRule
from vaultd.chunking.gear import Chunker
from vaultd.core.tree import SIZE, Listing
from vaultd.format.tree import content_bytes, pack_extents
from vaultd.pipeline.aside import Aside, Late
from vaultd.pipeline.cutting import Stream
from vaultd.pipeline.tree_writer import Pending, Piece, Pieces, Ticket
from vaultd.pipeline.workers import Buffers, Lease
from vaultd.stores.base import Capture, Scanned

SMALL_BYTES = 512 << 10
"""Files below this travel in bundles."""

CHUNKS_PER_LIST = 4096
SMALL_TRIES, LARGE_TRIES = 3, 2


class Sink(Protocol):
    """Takes chunks and stores them by and by."""

    def submit_data(self, raw: memoryview, ticket: Ticket, release: Callable[[], None]) -> None:
        """Take a chunk of contents; ``release`` is called when its bytes are needed no more."""

    def submit_meta(self, raw: bytes) -> Ticket:
        """Take a chunk of metadata and return its ticket."""

    def wait(self) -> None:
        """Wait until everything taken so far is stored."""


class Feeder:
    """Reads file contents and hands chunks to the workers.

    Args:
        sink: Takes the chunks.
        chunker: Cuts large files.
        buffers: Each at least as long as the longest bundle plus one, and the longest chunk.
        rule: Where bundles end.
        aside: Takes large files to be read by and by.

    Attributes:
        aside: As given.
        sink: As given.
    """

    def __init__(
        self,
        *,
        sink: Sink,
        chunker: Chunker,
        buffers: Buffers,
        rule: BundleRule,
        aside: Aside,
    ) -> None:
        self.sink = sink
        self._chunker = chunker
        self._buffers = buffers
        self._rule = rule
        self.aside = aside
        self._bundle: Lease | None = None
        self._ticket = Ticket()
        self._filled = 0
        self._salt = 0
        self._touched: list[Ticket] = []

    def read(self, capture: Capture, scanned: Scanned, position: int, fd: int) -> Pending:
        """Read one file and return where its contents will lie.

        A file that changes meanwhile is read again; if it never holds still, what was read last is
        stored and the file is flagged.

        Raises:
            OSError: The file cannot be read.
        """
        listing = scanned.listing
        if position not in listing.extras:
            size = listing.stats[SIZE * len(listing.names) + position]
            if size < SMALL_BYTES:
                # Most files end here, so there is not one call more than it takes.
                start, view = self._room_for(size)
                if os.preadv(fd, [view[start : start + size + 1]], 0) == size and capture.settle(
                    scanned, position, fd
                ):
                    return self._taken(listing.names[position], size) if size else None
            elif pieces := self.aside.take(scanned, position, fd):
                return pieces
        return self._read_until_still(capture, scanned, position, fd)

    def finish_late(self, capture: Capture, late: Late) -> None:
        """Look once more at a file that was read aside; what has changed is read again.

        Raises:
            OSError: The file cannot be read.
        """
        late.pieces.is_whole = True
        if late.error is not None:
            raise late.error
        scanned, position = late.scanned, late.position
        if capture.settle(scanned, position, late.fd) and late.got == late.size:
            return
        again = self._read_until_still(capture, scanned, position, late.fd, tries=1)
        again = again if isinstance(again, Pieces) else Pieces()
        late.pieces.lists, late.pieces.chunks = again.lists, again.chunks

    def _read_until_still(
        self, capture: Capture, scanned: Scanned, position: int, fd: int, tries: int = 0
    ) -> Pending:
        listing = scanned.listing
        is_late = tries > 0
        while True:
            tries += 1
            expected = content_bytes(listing, position)
            # One that was read aside has its contents in pieces, however short it has become.
            is_small = expected < SMALL_BYTES and not is_late
            read = self._small if is_small else self._large
            content, got = read(listing, position, fd)
            if capture.settle(scanned, position, fd) and got == expected:
                return content
            if tries >= (SMALL_TRIES if is_small else LARGE_TRIES):
                _fit(listing, position, got)
                capture.flag_changed(scanned, position)
                return content

    def enter(self, path: bytes) -> None:
        """Say which directory the files that follow are in: bundles end by name and directory."""
        self._salt = zlib.crc32(path.rpartition(b"/")[2])
        self._touched = []

    def reuse(self, content: Pending) -> Pending:
        """Take note that contents read before are those of one more file of this directory."""
        if type(content) is tuple and type(content[0]) is Ticket:
            self._touched.append(content[0])
        return content

    def leave(self) -> list[Ticket]:
        """Return the bundles that files of the directory lie in."""
        return self._touched

    @property
    def bundle(self) -> Ticket:
        """The bundle that is being filled."""
        return self._ticket

    def flush(self) -> None:
        """Hand over the bundle that is being filled."""
        bundle = self._bundle
        if bundle is None or not self._filled:
            # A bundle that only empty files were read into goes on being filled.
            return
        self._bundle = None
        self.sink.submit_data(bundle.view[: self._filled], self._ticket, bundle.release)
        self._ticket = Ticket()
        self._filled = 0

    def _room_for(self, size: int) -> tuple[int, memoryview]:
        """Return where the next small file goes: offset and bundle, a new one if it must be."""
        if self._filled + size > self._rule.max_bytes:
            self.flush()
        bundle = self._bundle
        if bundle is None:
            bundle = self._bundle = self._buffers.take()
        return self._filled, bundle.view

    def _taken(self, name: bytes, size: int) -> Piece:
        """Keep what was just read into the bundle."""
        ticket, start = self._ticket, self._filled
        self._filled = filled = start + size
        touched = self._touched
        if not touched or touched[-1] is not ticket:
            touched.append(ticket)
        rule = self._rule
        if filled >= rule.min_bytes and rule.ends_after(name, size, filled, self._salt):
            self.flush()
        return ticket, start

    def _small(self, listing: Listing, position: int, fd: int) -> tuple[Pending, int]:
        expected = content_bytes(listing, position)
        start, view = self._room_for(expected)
        # One byte more than expected shows a file that has grown, without another call.
        room = view[start : start + expected + 1]
        got = min(Stream(fd, _segments(listing, position)).fill(room, 0), expected)
        return (self._taken(listing.names[position], got) if got else None), got

    def _large(self, listing: Listing, position: int, fd: int) -> tuple[Pending, int]:
        stream = Stream(fd, _segments(listing, position))
        pieces = Pieces()
        lease = self._buffers.take()
        try:
            filled = stream.fill(lease.view, 0)
            while filled:
                final = filled < self._buffers.size
                cuts = self._chunker.cut(lease.view[:filled], final=final)
                end = cuts[-1][1]
                tail = filled - end
                following = None
                if not final:
                    following = self._buffers.take()
                    following.view[:tail] = lease.view[end:filled]
                for start, stop in cuts:
                    self._add(pieces, lease, start, stop)
                if following is None:
                    break
                lease.release()
                lease = following
                filled = stream.fill(lease.view, tail)
        finally:
            # Also when the file cannot be read on: the buffer is one of few.
            lease.release()
        if pieces.lists and pieces.chunks:
            self._close_list(pieces)
        got = pieces.listed + sum(length for _, length in pieces.chunks)
        return (pieces if got else None), got

    def _add(self, pieces: Pieces, lease: Lease, start: int, stop: int) -> None:
        ticket = Ticket()
        lease.share()
        self.sink.submit_data(lease.view[start:stop], ticket, lease.release)
        pieces.chunks.append((ticket, stop - start))
        if len(pieces.chunks) == CHUNKS_PER_LIST:
            self._close_list(pieces)

    def _close_list(self, pieces: Pieces) -> None:
        self.sink.wait()
        packed = pack_extents([(ticket.chunk_id, length) for ticket, length in pieces.chunks])
        pieces.listed += sum(length for _, length in pieces.chunks)
        pieces.lists.append(self.sink.submit_meta(packed))
        pieces.chunks.clear()


def _segments(listing: Listing, position: int) -> tuple[tuple[int, int], ...] | None:
    extra = listing.extras.get(position)
    return None if extra is None else extra.segments


def _fit(listing: Listing, position: int, got: int) -> None:
    """Make an entry as long as what was stored of it: a reader must find what it is told."""
    extra = listing.extras.get(position)
    if extra is None or extra.segments is None:
        listing.set(SIZE, position, got)
        return
    kept = []
    for offset, length in extra.segments:
        if got <= 0:
            break
        kept.append((offset, min(length, got)))
        got -= length
    extra.segments = tuple(kept)
