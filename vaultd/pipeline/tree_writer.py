"""Turning directories into tree chunks, in walking order, as soon as their contents have ids."""

from __future__ import annotations

import zlib
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from vaultd.core.errors import MalformedObjectError
from vaultd.core.tree import COLUMNS, CTIME, Extra, Listing
from vaultd.crypto import hashing
from vaultd.format import tree as fmt
from vaultd.format.session import TreeChunk

GROUP_MIN, GROUP_MAX, GROUP_MEAN = 128 << 10, 1 << 20, 128 << 10
"""Bytes of blocks in one tree chunk: least, most, and mean beyond the least."""


class Ticket:
    """A chunk that is on its way: its id is known once a worker has hashed it."""

    __slots__ = ("chunk_id",)

    def __init__(self) -> None:
        self.chunk_id = b""


@dataclass(slots=True)
class Piece:
    """Contents of a small file: a run of a bundle."""

    ticket: Ticket
    offset: int
    length: int


@dataclass(slots=True)
class Pieces:
    """Contents of a large file: whole chunks in order.

    Attributes:
        lists: List chunks, each naming many chunks; empty for all but very large files.
        chunks: Chunks that are in no list yet, and their lengths.
        listed: Bytes of the chunks that are in lists.
    """

    lists: list[Ticket] = field(default_factory=list)
    chunks: list[tuple[Ticket, int]] = field(default_factory=list)
    listed: int = 0


Pending = Piece | Pieces | fmt.Extent | bytes | tuple[bytes, ...] | None
"""Contents on their way, or taken from the base as they are."""


@dataclass(slots=True)
class PendingBlock:
    """A directory part whose contents may still be on their way.

    Attributes:
        listing: The part.
        contents: By position.
        hidden: Positions whose change time is stored as 0, so that they are read again next time.
        dropped: Positions that are left out.
    """

    listing: Listing
    contents: list[Pending]
    hidden: set[int]
    dropped: set[int]


def _is_settled(content: Pending) -> bool:
    if isinstance(content, Piece):
        return bool(content.ticket.chunk_id)
    if isinstance(content, Pieces):
        return all(t.chunk_id for t in content.lists) and all(t.chunk_id for t, _ in content.chunks)
    return True


def _settled(content: Pending) -> fmt.Content:
    if isinstance(content, Piece):
        return fmt.Extent(content.ticket.chunk_id, content.offset, content.length)
    if isinstance(content, Pieces):
        if content.lists:
            return tuple(ticket.chunk_id for ticket in content.lists)
        return fmt.pack_extents([(ticket.chunk_id, length) for ticket, length in content.chunks])
    return content


class TreeWriter:
    """Collects blocks into tree chunks and copies them to the cache file.

    Args:
        store: Takes one tree chunk and returns its ticket.
        cache: Where the blocks are kept for the next run, with their SHA-256 at the end.
    """

    def __init__(self, store: Callable[[bytes], Ticket], cache: BinaryIO) -> None:
        self._store = store
        self._cache = cache
        self._digest = hashing.sha256_stream()
        self._waiting: deque[PendingBlock | tuple[bytes, bytes]] = deque()
        self._group = bytearray()
        self._first_path = b""
        self._chunks: list[tuple[Ticket, bytes]] = []

    def add_same(self, path: bytes, raw: bytes) -> None:
        """Add a block that is as it was in the base."""
        self._waiting.append((path, raw))
        self.pump()

    def add(self, block: PendingBlock) -> None:
        """Add a block whose contents may still be on their way."""
        self._waiting.append(block)
        self.pump()

    def pump(self) -> None:
        """Write out what has become ready at the front."""
        waiting = self._waiting
        while waiting:
            front = waiting[0]
            if isinstance(front, tuple):
                self._append(*front)
            elif all(map(_is_settled, front.contents)):
                self._encode(front)
            else:
                return
            waiting.popleft()

    def finish(self) -> None:
        """Write out the rest; call it when every content is settled."""
        self.pump()
        if self._waiting:
            raise MalformedObjectError(
                "tree: a directory waits for contents that were never stored"
            )
        if self._group or not self._chunks:
            self._end_group()
        self._cache.write(self._digest.digest())
        self._cache.flush()

    def chunks(self) -> tuple[TreeChunk, ...]:
        """Return the tree's chunks in order; every ticket must be settled."""
        return tuple(TreeChunk(ticket.chunk_id, path) for ticket, path in self._chunks)

    def _encode(self, pending: PendingBlock) -> None:
        listing, contents = pending.listing, [_settled(content) for content in pending.contents]
        for position in pending.hidden:
            listing.set(CTIME, position, 0)
        if pending.dropped:
            listing, contents = _without(listing, contents, pending.dropped)
        for part in _split(fmt.Block(listing, contents)):
            self._append(listing.path, part)

    def _append(self, path: bytes, raw: bytes) -> None:
        if not self._group:
            self._first_path = path
        self._group += raw
        self._cache.write(raw)
        self._digest.update(raw)
        size = len(self._group)
        if size < GROUP_MIN:
            return
        # Every byte is equally likely to end the group, so an unchanged region keeps its chunks.
        if size >= GROUP_MAX or zlib.crc32(path) * GROUP_MEAN < len(raw) << 32:
            self._end_group()

    def _end_group(self) -> None:
        self._chunks.append((self._store(bytes(self._group)), self._first_path))
        self._group.clear()


def _without(
    listing: Listing, contents: list[fmt.Content], dropped: set[int]
) -> tuple[Listing, list[fmt.Content]]:
    """Return a block without some of its entries."""
    kept = [position for position in range(len(listing.names)) if position not in dropped]
    stats = array("q")
    for which in range(len(COLUMNS)):
        column = listing.column(which)
        stats.extend(column[position] for position in kept)
    extras: dict[int, Extra] = {
        new: listing.extras[old] for new, old in enumerate(kept) if old in listing.extras
    }
    return (
        Listing(listing.path, [listing.names[position] for position in kept], stats, extras),
        [contents[position] for position in kept],
    )


def _split(block: fmt.Block) -> list[bytes]:
    """Encode a block, halved as often as it takes to keep within the limit."""
    try:
        return [fmt.encode_block(block)]
    except MalformedObjectError:
        count = len(block.listing.names)
        if count == 1:
            raise
    everything = range(count)
    half = count // 2
    first = _without(block.listing, block.contents, set(everything[half:]))
    second = _without(block.listing, block.contents, set(everything[:half]))
    return _split(fmt.Block(*first)) + _split(fmt.Block(*second))
