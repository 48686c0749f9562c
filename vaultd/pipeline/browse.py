"""Looking into snapshots: listing, finding, comparing, and reading single files."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from enum import StrEnum

from msgspec import Struct

from vaultd.compression import Decompressor
from vaultd.core.entry import NO_EXTRA, Entry
from vaultd.core.errors import CorruptObjectError
from vaultd.core.tree import GID, MODE, MTIME, SIZE, UID, is_directory, path_key
from vaultd.format.tree import Block, Content, Extent
from vaultd.vault.reader import DATA, SnapshotReader


class Stored(Struct, frozen=True):
    """An entry and where its contents lie (for `SnapshotReader.extents`)."""

    entry: Entry
    content: Content


def entries_of(block: Block) -> Iterator[Stored]:
    """Yield the entries of one block."""
    listing = block.listing
    columns = [listing.column(which) for which in (MODE, UID, GID, SIZE, MTIME)]
    for position, (name, mode, uid, gid, size, mtime_ns) in enumerate(
        zip(listing.names, *columns, strict=True)
    ):
        extra = listing.extras.get(position, NO_EXTRA)
        yield Stored(
            Entry(listing.path, name, mode, uid, gid, size, mtime_ns, extra),
            block.contents[position],
        )


def is_below(path: bytes, under: bytes) -> bool:
    """Tell whether a path is ``under`` itself or lies below it."""
    return not under or path == under or path.startswith(under + b"/")


def walk(reader: SnapshotReader, under: bytes = b"") -> Iterator[Stored]:
    """Yield an entry and everything below it, directories before what they hold.

    Args:
        reader: The snapshot.
        under: Path below the snapshot's top; ``b""`` yields everything.
    """
    for block in reader.blocks(under):
        path = block.listing.path
        if is_below(path, under) or not path or is_below(under, path):
            for stored in entries_of(block):
                if is_below(stored.entry.full_path, under):
                    yield stored


def matcher(patterns: tuple[str, ...], *, ignore_case: bool = False) -> Callable[[Entry], bool]:
    """Return a test of an entry against globs: of its name, or of its path if there is a slash."""
    flags = re.IGNORECASE if ignore_case else 0
    tests = [
        (
            "/" in pattern,
            re.compile(
                fnmatch.translate(pattern.strip("/")).encode("utf-8", "surrogateescape"), flags
            ),
        )
        for pattern in patterns
    ]

    def matches(entry: Entry) -> bool:
        return any(test.match(entry.full_path if whole else entry.name) for whole, test in tests)

    return matches


def read_file(reader: SnapshotReader, stored: Stored) -> Iterator[bytes | memoryview]:
    """Yield the contents of a regular file, holes as zeros.

    Raises:
        CorruptObjectError: A chunk is damaged.
    """
    decompressor = Decompressor()
    at = 0
    for piece in pieces_of(stored, reader.extents(stored.content, decompressor)):
        chunk = memoryview(reader.read_chunk(piece.chunk_id, DATA, decompressor))
        end = piece.chunk_offset + piece.length
        if end > len(chunk):
            raise CorruptObjectError(
                f"chunk {piece.chunk_id.hex()[:8]}: {len(chunk)} bytes, expected at least {end}"
            )
        yield from _zeros(piece.file_offset - at)
        yield chunk[piece.chunk_offset : end]
        at = piece.file_offset + piece.length
    yield from _zeros(stored.entry.size - at)


def _zeros(count: int) -> Iterator[bytes]:
    block = bytes(1 << 20)
    while count > 0:
        yield block[:count]
        count -= len(block)


class Piece(Struct, frozen=True):
    """A run of a chunk, and where it goes in its file."""

    chunk_id: bytes
    chunk_offset: int
    file_offset: int
    length: int


def pieces_of(stored: Stored, extents: list[Extent]) -> list[Piece]:
    """Return the pieces of a regular file: its extents, divided where its data has holes.

    Raises:
        CorruptObjectError: The extents are shorter than the file's data. They may be longer: of a
            file that changed at every try, its beginning is taken.
    """
    entry = stored.entry
    segments = ((0, entry.size),) if entry.extra.segments is None else entry.extra.segments
    expected, found = sum(length for _, length in segments), sum(one.length for one in extents)
    if found < expected:
        path = entry.full_path.decode(errors="replace")
        raise CorruptObjectError(f"/{path}: {found} bytes are stored, expected {expected}")
    pieces = []
    left = list(reversed(segments))
    for extent in extents:
        done = 0
        while done < extent.length and left:
            offset, length = left.pop()
            run = min(length, extent.length - done)
            pieces.append(Piece(extent.chunk_id, extent.offset + done, offset, run))
            done += run
            if run < length:
                left.append((offset + run, length - run))
    return pieces


class Change(StrEnum):
    """How an entry differs between two snapshots, as restic marks it."""

    ADDED = "+"
    REMOVED = "-"
    CONTENT = "M"
    METADATA = "U"
    TYPE = "T"


class Difference(Struct, frozen=True):
    """One entry that differs.

    Attributes:
        change: How.
        path: Path below the top.
        before: As it was; ``None`` when it was not there.
        after: As it is; ``None`` when it is gone.
    """

    change: Change
    path: bytes
    before: Entry | None
    after: Entry | None


def differences(
    old: SnapshotReader, new: SnapshotReader, under: bytes = b""
) -> Iterator[Difference]:
    """Yield what differs between two snapshots, in walking order; contents compare by chunk."""
    left, right = _ordered(old, under), _ordered(new, under)
    before, after = next(left, None), next(right, None)
    while before is not None or after is not None:
        if before is not None and (after is None or before[0] < after[0]):
            yield Difference(Change.REMOVED, before[1].entry.full_path, before[1].entry, None)
            before = next(left, None)
        elif after is not None and (before is None or after[0] < before[0]):
            yield Difference(Change.ADDED, after[1].entry.full_path, None, after[1].entry)
            after = next(right, None)
        elif before is not None and after is not None:
            change = _compare(old, before[1], new, after[1])
            if change is not None:
                yield Difference(change, after[1].entry.full_path, before[1].entry, after[1].entry)
            before, after = next(left, None), next(right, None)


def _ordered(reader: SnapshotReader, under: bytes) -> Iterator[tuple[tuple[bytes, bytes], Stored]]:
    for stored in walk(reader, under):
        yield (path_key(stored.entry.path), stored.entry.name), stored


def _compare(
    left: SnapshotReader, before: Stored, right: SnapshotReader, after: Stored
) -> Change | None:
    old, new = before.entry, after.entry
    if old.mode >> 12 != new.mode >> 12:
        return Change.TYPE
    if old.extra.link_target != new.extra.link_target or not _has_same_contents(
        left, before, right, after
    ):
        return Change.CONTENT
    kept = (old.mode, old.uid, old.gid, old.mtime_ns, old.extra.xattrs, old.extra.flags)
    now = (new.mode, new.uid, new.gid, new.mtime_ns, new.extra.xattrs, new.extra.flags)
    return None if kept == now else Change.METADATA


def _has_same_contents(
    left: SnapshotReader, before: Stored, right: SnapshotReader, after: Stored
) -> bool:
    if before.content == after.content:
        return is_directory(after.entry.mode) or before.entry.size == after.entry.size
    if before.entry.size != after.entry.size:
        return False
    if isinstance(before.content, Extent) and isinstance(after.content, Extent):
        # A small file may have moved to another bundle with the same bytes.
        return b"".join(read_file(left, before)) == b"".join(read_file(right, after))
    return False
