"""Turning directories into tree chunks, in walking order, as soon as their contents have ids."""

from __future__ import annotations

import zlib
from array import array
from collections import deque
from collections.abc import Callable, Collection
from typing import BinaryIO, cast

from msgspec import Struct, field

from vaultd.core.errors import MalformedObjectError
from vaultd.core.tree import COLUMNS, CTIME, Extra, Listing
from vaultd.crypto import hashing
from vaultd.format import tree as fmt
from vaultd.format.session import TreeChunk

GROUP_MIN, GROUP_MAX, GROUP_MEAN = 128 << 10, 1 << 20, 128 << 10
"""Bytes of blocks in one tree chunk: least, most, and mean beyond the least."""

_ENTRY_BYTES = 256
"""Memory of one entry that waits, about."""


class Ticket:
    """A chunk that is on its way: its id is known once a worker has hashed it."""

    __slots__ = ("chunk_id",)

    def __init__(self) -> None:
        self.chunk_id = b""


class Pieces(Struct):
    """Contents of a large file: whole chunks in order.

    Attributes:
        lists: List chunks, each naming many chunks; empty for all but very large files.
        chunks: Chunks that are in no list yet, and their lengths.
        listed: Bytes of the chunks that are in lists.
        is_whole: The file has been read to its end, so no more chunks will come.
    """

    lists: list[Ticket] = field(default_factory=list)
    chunks: list[tuple[Ticket, int]] = field(default_factory=list)
    listed: int = 0
    is_whole: bool = True

    @property
    def is_settled(self) -> bool:
        """Every chunk has its id, and there will be no more."""
        chunks = (ticket for ticket, _ in self.chunks)
        return self.is_whole and all(ticket.chunk_id for ticket in (*self.lists, *chunks))

    def settled(self) -> bytes | tuple[bytes, ...]:
        """Return the contents as they are stored; every chunk must have its id."""
        if self.lists:
            return tuple(ticket.chunk_id for ticket in self.lists)
        return fmt.pack_extents([(ticket.chunk_id, length) for ticket, length in self.chunks])


Piece = tuple[Ticket, int]
"""Contents of a small file: its bundle, and where it begins there. There is one for each file, so
it is the cheapest thing that Python has."""

Pending = Piece | Pieces | fmt.Extent | bytes | tuple[bytes, ...] | None
"""Contents on their way, or taken from the base as they are."""


class PendingBlock(Struct):
    """A directory part whose contents may still be on their way.

    Attributes:
        listing: The part.
        contents: By position.
        hidden: Positions whose change time is stored as 0, so that they are read again next time.
        dropped: Positions that are left out.
        bundles: Bundles that its small files lie in.
    """

    listing: Listing
    contents: list[Pending]
    hidden: set[int]
    dropped: set[int]
    bundles: list[Ticket]
    _unsettled: list[Pieces] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._unsettled = [content for content in self.contents if type(content) is Pieces]

    @property
    def is_settled(self) -> bool:
        """Everything in it has its chunk ids."""
        left = self._unsettled
        while left and left[-1].is_settled:
            left.pop()
        return not left and all(ticket.chunk_id for ticket in self.bundles)

    @property
    def waits_for_file(self) -> bool:
        """A large file in it has not been read to its end."""
        return any(not pieces.is_whole for pieces in self._unsettled)

    def placing(self) -> fmt.Placing:
        """Return where contents lie; everything must be settled."""
        count = len(self.contents)
        placing = fmt.Placing(array("I", [fmt.NONE]) * count, array("I", [0]) * count)
        where, offsets, chunks = placing.where, placing.offsets, placing.chunks
        for position, content in enumerate(self.contents):
            if content is None:
                continue
            if type(content) is tuple and type(content[0]) is Ticket:
                where[position] = chunks.setdefault(content[0].chunk_id, len(chunks))
                offsets[position] = content[1]
            elif type(content) is Pieces:
                if content.lists or content.chunks:
                    fmt.put(placing, position, content.settled())
            else:
                fmt.put(placing, position, cast("fmt.Extent | bytes | tuple[bytes, ...]", content))
        return placing


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
        self.held = 0
        """Bytes of memory, about, that hold blocks which wait for contents to get their ids."""

    def add_same(self, path: bytes, raw: bytes) -> None:
        """Add a block that is as it was in the base."""
        self._waiting.append((path, raw))
        self.held += len(raw)
        self.pump()

    def add(self, block: PendingBlock) -> None:
        """Add a block whose contents may still be on their way."""
        self._waiting.append(block)
        self.held += len(block.contents) * _ENTRY_BYTES
        self.pump()

    def pump(self) -> None:
        """Write out what has become ready at the front."""
        waiting = self._waiting
        while waiting:
            front = waiting[0]
            if isinstance(front, tuple):
                self._append(*front)
                self.held -= len(front[1])
            elif front.is_settled:
                self._encode(front)
                self.held -= len(front.contents) * _ENTRY_BYTES
            else:
                return
            waiting.popleft()

    def waits_for(self, bundle: Ticket) -> bool:
        """Tell whether the next block cannot be written out before a bundle has its id."""
        front = self._waiting[0] if self._waiting else None
        return isinstance(front, PendingBlock) and bundle in front.bundles

    @property
    def waits_for_file(self) -> bool:
        """The next block cannot be written out before a large file in it has been read."""
        front = self._waiting[0] if self._waiting else None
        return isinstance(front, PendingBlock) and front.waits_for_file

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
        for position in pending.hidden:
            pending.listing.set(CTIME, position, 0)
        block = _without(pending, pending.dropped) if pending.dropped else pending
        for part in _split(block):
            self._append(block.listing.path, part)

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


def _without(block: PendingBlock, dropped: Collection[int]) -> PendingBlock:
    """Return a block without some of its entries."""
    listing = block.listing
    kept = [position for position in range(len(listing.names)) if position not in dropped]
    stats = array("q")
    for which in range(len(COLUMNS)):
        column = listing.column(which)
        stats.extend(column[position] for position in kept)
    extras: dict[int, Extra] = {
        new: listing.extras[old] for new, old in enumerate(kept) if old in listing.extras
    }
    names = [listing.names[position] for position in kept]
    contents = [block.contents[position] for position in kept]
    return PendingBlock(Listing(listing.path, names, stats, extras), contents, set(), set(), [])


def _split(block: PendingBlock) -> list[bytes]:
    """Encode a block, halved as often as it takes to keep within the limit."""
    count = len(block.listing.names)
    try:
        return [fmt.encode_placed(block.listing, block.placing())]
    except MalformedObjectError:
        if count == 1:
            raise
    half = count // 2
    return _split(_without(block, range(half, count))) + _split(_without(block, range(half)))
