"""Tree blocks: one part of one directory each, as columns (FORMAT.md 8).

A tree chunk is ``u32 length | block`` again and again, directories in `path_key` order. A block
holds names, stat columns, where contents lie, and the extras of the few entries that have any.
Equal directories give equal bytes, so an unchanged directory is found by comparing bytes.
"""

from __future__ import annotations

import stat
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct, field

from vaultd.core.errors import MalformedObjectError
from vaultd.core.tree import COLUMNS, MODE, SIZE, Extra, Listing
from vaultd.format.bounds import check_names, check_path, check_stats, segments_of
from vaultd.format.codec import Packed, decode_versioned, encode
from vaultd.format.fields import U32, Count, Version
from vaultd.format.pack import CHUNK_ID_BYTES, MAX_CHUNK_BYTES

NONE, MANY, LISTED = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
"""Instead of a chunk's position: no contents; extents in ``many``; list chunks in ``many``."""

MAX_BLOCK_BYTES = 7 << 20
MAX_TARGET_BYTES = 64 << 10
MAX_GROUP_BYTES = 32
MAX_XATTR_NAME_BYTES, MAX_XATTR_BYTES = 255, 64 << 10

XattrName = Annotated[bytes, Meta(min_length=1, max_length=MAX_XATTR_NAME_BYTES)]
XattrValue = Annotated[bytes, Meta(max_length=MAX_XATTR_BYTES)]

_U32 = struct.Struct("<I")
_WIDTH = 8 * len(COLUMNS)
_TYPE, _REGULAR = stat.S_IFMT(0xFFFF), stat.S_IFREG
_LISTED_EXTENT = struct.Struct("<32sI")

if sys.byteorder != "little":  # pragma: no cover - no such machine is supported
    raise ImportError("vaultd needs a little-endian machine")


class ExtraBody(Packed, frozen=True):
    """Fields of `vaultd.core.tree.Extra`, in its order; segments flattened, absent as ``None``."""

    link_target: Annotated[bytes, Meta(max_length=MAX_TARGET_BYTES)]
    rdev: Count
    link_group: Annotated[bytes, Meta(max_length=MAX_GROUP_BYTES)]
    xattrs: tuple[tuple[XattrName, XattrValue], ...]
    flags: U32
    segments: tuple[int, ...] | None
    changed: bool


class BlockBody(Packed, frozen=True):
    """One part of one directory.

    Attributes:
        v: 1.
        path: Path of the directory below the snapshot's top.
        names: Entry names joined by NUL, ascending.
        stats: `COLUMNS`, each as n signed 64-bit little-endian numbers.
        chunks: Ids of the chunks that single extents lie in, 32 bytes each, in order of first use.
        where: n times u32: position in ``chunks``, or `NONE`, `MANY`, `LISTED`.
        offsets: n times u32: where the contents begin in that chunk.
        many: By position: extents as (chunk id (32) | u32 length)…, whole chunks in order; or the
            ids of the list chunks (32 each) whose contents have that form.
        extras: By position.
    """

    v: Version
    path: bytes
    names: bytes
    stats: bytes
    chunks: bytes
    where: bytes
    offsets: bytes
    many: dict[int, bytes]
    extras: dict[int, ExtraBody]


class Extent(Struct, frozen=True):
    """A run of one file's contents.

    Attributes:
        chunk_id: The chunk that holds it.
        offset: Where it begins in the chunk.
        length: Its bytes.
    """

    chunk_id: bytes
    offset: int
    length: int


Content = Extent | bytes | tuple[bytes, ...] | None
"""Contents of one entry: one extent; packed extents (`pack_extents`); ids of list chunks; none."""


class Block(Struct):
    """A listing and where the contents of its entries lie, by position."""

    listing: Listing
    contents: list[Content]


def pack_extents(extents: list[tuple[bytes, int]]) -> bytes:
    """Encode whole chunks, (id, length) each, as they stand in ``many`` and in list chunks."""
    return b"".join(_LISTED_EXTENT.pack(*extent) for extent in extents)


def unpack_extents(data: bytes, *, what: str) -> list[Extent]:
    """Decode what `pack_extents` made.

    Raises:
        MalformedObjectError: Not a whole number of extents, or a length out of bounds.
    """
    if len(data) % _LISTED_EXTENT.size:
        raise MalformedObjectError(f"{what}: {len(data)} bytes of extents")
    extents = [Extent(chunk_id, 0, length) for chunk_id, length in _LISTED_EXTENT.iter_unpack(data)]
    if any(not 0 < extent.length <= MAX_CHUNK_BYTES for extent in extents):
        raise MalformedObjectError(f"{what}: an extent of impossible length")
    return extents


class Placing(Struct):
    """Where the contents of a listing lie, as columns.

    Attributes:
        where: By position: which of ``chunks``, or `NONE`, `MANY`, `LISTED`.
        offsets: By position: where the contents begin in that chunk.
        chunks: Chunk id to its position, in order of first use.
        many: As in `BlockBody`.
    """

    where: array[int]
    offsets: array[int]
    chunks: dict[bytes, int] = field(default_factory=dict)
    many: dict[int, bytes] = field(default_factory=dict)


def place(contents: Sequence[Content]) -> Placing:
    """Turn contents by position into columns."""
    placing = Placing(array("I", [NONE]) * len(contents), array("I", [0]) * len(contents))
    for position, content in enumerate(contents):
        if content is not None:
            put(placing, position, content)
    return placing


def put(placing: Placing, position: int, content: Extent | bytes | tuple[bytes, ...]) -> None:
    """Set where the contents of one entry lie."""
    if isinstance(content, Extent):
        chunks = placing.chunks
        placing.where[position] = chunks.setdefault(content.chunk_id, len(chunks))
        placing.offsets[position] = content.offset
    elif isinstance(content, bytes):
        placing.where[position] = MANY
        placing.many[position] = content
    else:
        placing.where[position] = LISTED
        placing.many[position] = b"".join(content)


def encode_block(block: Block) -> bytes:
    """Encode one block, its length before it.

    Raises:
        MalformedObjectError: Longer than `MAX_BLOCK_BYTES`; split the listing.
    """
    return encode_placed(block.listing, place(block.contents))


def encode_placed(listing: Listing, placing: Placing) -> bytes:
    """Encode one block, its length before it, contents given as columns.

    Raises:
        MalformedObjectError: Longer than `MAX_BLOCK_BYTES`; split the listing.
    """
    body = encode(
        BlockBody(
            1,
            listing.path,
            b"\0".join(listing.names),
            listing.stats.tobytes(),
            b"".join(placing.chunks),
            placing.where.tobytes(),
            placing.offsets.tobytes(),
            placing.many,
            {position: _extra_body(extra) for position, extra in sorted(listing.extras.items())},
        )
    )
    encoded = _U32.pack(len(body)) + body
    if len(encoded) > MAX_BLOCK_BYTES:
        raise MalformedObjectError(
            f"tree block of {len(encoded)} bytes, at most {MAX_BLOCK_BYTES} allowed"
        )
    return encoded


def _extra_body(extra: Extra) -> ExtraBody:
    segments = (
        None
        if extra.segments is None
        else tuple(number for pair in extra.segments for number in pair)
    )
    return ExtraBody(
        extra.link_target,
        extra.rdev,
        extra.link_group,
        extra.xattrs,
        extra.flags,
        segments,
        extra.changed,
    )


def split_blocks(data: bytes | memoryview, *, what: str) -> Iterator[memoryview]:
    """Yield the encoded blocks of a tree chunk, without their lengths.

    Raises:
        MalformedObjectError: The lengths do not add up.
    """
    view = memoryview(data)
    at = 0
    while at < len(view):
        if at + _U32.size > len(view):
            raise MalformedObjectError(f"{what}: ends inside a block length")
        (length,) = _U32.unpack_from(view, at)
        at += _U32.size
        if length > MAX_BLOCK_BYTES or at + length > len(view):
            raise MalformedObjectError(f"{what}: block of {length} bytes at {at} of {len(view)}")
        yield view[at : at + length]
        at += length


def decode_body(data: bytes | memoryview, *, what: str) -> BlockBody:
    """Decode the outer shape of one block: cheap, enough to compare it.

    Raises:
        MalformedObjectError: It breaks the format.
    """
    return decode_versioned(BlockBody, data, what=what, limit=MAX_BLOCK_BYTES)


def decode_block(data: bytes | memoryview, *, what: str) -> Block:
    """Decode one block and check all that the format promises about it.

    Raises:
        MalformedObjectError: It breaks the format.
    """
    return open_body(decode_body(data, what=what), what=what)


def open_body(body: BlockBody, *, what: str) -> Block:
    """Turn the outer shape of a block into a listing with contents, checked.

    Raises:
        MalformedObjectError: It breaks the format.
    """
    check_path(body.path, what)
    names = check_names(body.names, what)
    count = len(names)
    if len(body.stats) != _WIDTH * count or not 4 * count == len(body.where) == len(body.offsets):
        raise MalformedObjectError(f"{what}: columns do not fit {count} names")
    stats = array("q")
    stats.frombytes(body.stats)
    if any(not 0 <= position < count for position in body.extras):
        raise MalformedObjectError(f"{what}: extras of an entry that is not there")
    check_stats(stats, count, what)
    sizes = stats[SIZE * count : (SIZE + 1) * count]
    extras = {
        position: _extra(extra, sizes[position], what) for position, extra in body.extras.items()
    }
    listing = Listing(body.path, names, stats, extras)
    return Block(listing, _contents(body, listing, what))


def _extra(body: ExtraBody, size: int, what: str) -> Extra:
    segments = None if body.segments is None else segments_of(body.segments, size, what)
    return Extra(
        body.link_target,
        body.rdev,
        body.link_group,
        body.xattrs,
        body.flags,
        segments,
        body.changed,
    )


def content_bytes(listing: Listing, position: int) -> int:
    """Return how many bytes of contents an entry has: its size, or the sum of its data segments."""
    extra = listing.extras.get(position)
    if extra is not None and extra.segments is not None:
        return sum(length for _, length in extra.segments)
    return listing.get(SIZE, position)


def _contents(body: BlockBody, listing: Listing, what: str) -> list[Content]:
    where = array("I")
    where.frombytes(body.where)
    offsets = array("I")
    offsets.frombytes(body.offsets)
    used = where.count(MANY) + where.count(LISTED)
    if len(body.chunks) % CHUNK_ID_BYTES or len(body.many) != used:
        raise MalformedObjectError(f"{what}: chunk ids or extents that no entry needs")
    ids = [
        body.chunks[at : at + CHUNK_ID_BYTES] for at in range(0, len(body.chunks), CHUNK_ID_BYTES)
    ]
    known = len(ids)
    lengths = listing.column(SIZE)
    for position in listing.extras:
        lengths[position] = content_bytes(listing, position)
    contents: list[Content] = []
    columns = zip(where, offsets, lengths, listing.column(MODE), strict=True)
    for position, (chunk, offset, length, mode) in enumerate(columns):
        if mode & _TYPE != _REGULAR:
            if chunk != NONE:
                raise MalformedObjectError(f"{what}: contents for an entry that is no file")
            contents.append(None)
        elif chunk < known and 0 < length <= MAX_CHUNK_BYTES - offset:
            contents.append(Extent(ids[chunk], offset, length))
        else:
            contents.append(_elsewhere(body, position, (chunk, length), what))
    return contents


def _elsewhere(body: BlockBody, position: int, told: tuple[int, int], what: str) -> Content:
    """Return the contents of a file that do not lie in one run of a chunk."""
    chunk, length = told
    if chunk == MANY:
        return _many(body, position, length, what)
    if chunk == LISTED:
        return _listed(body, position, what)
    if chunk != NONE or length:
        raise MalformedObjectError(
            f"{what}: entry {position} has {length} bytes that lie in no chunk"
        )
    return None


def _many(body: BlockBody, position: int, length: int, what: str) -> bytes:
    packed = body.many.get(position, b"")
    held = sum(extent.length for extent in unpack_extents(packed, what=what))
    if not 0 < length <= held:
        raise MalformedObjectError(f"{what}: entry {position} has {held} bytes of {length}")
    return packed


def _listed(body: BlockBody, position: int, what: str) -> tuple[bytes, ...]:
    packed = body.many.get(position, b"")
    if not packed or len(packed) % CHUNK_ID_BYTES:
        raise MalformedObjectError(f"{what}: entry {position} has {len(packed)} bytes of lists")
    return tuple(packed[at : at + CHUNK_ID_BYTES] for at in range(0, len(packed), CHUNK_ID_BYTES))
