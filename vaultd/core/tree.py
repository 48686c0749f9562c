"""One directory of a store as columns: the unit of scanning, comparing, storing and restoring.

A `Listing` is what a store hands to the pipeline; the pipeline adds where the contents lie and the
format turns both into a tree block. A directory with very many entries is cut into parts, each a
listing of its own, with the same path and ascending names.
"""

from __future__ import annotations

import stat
import zlib
from array import array
from collections.abc import Iterator

from msgspec import Struct, field

COLUMNS = ("mode", "uid", "gid", "size", "mtime_ns", "ctime_ns", "ino")
"""The stat columns of a listing, in stored order; each is one signed 64-bit number per entry."""

MODE, UID, GID, SIZE, MTIME, CTIME, INO = range(len(COLUMNS))

PART_MIN, PART_MAX = 1024, 4096
"""Entries of one part of a directory: cut points depend on names only (see `part_ends`)."""


class Extra(Struct):
    """What few entries have, beyond the stat columns.

    Attributes:
        link_target: Target of a symbolic link, as stored on disk.
        rdev: Device number (``major << 32 | minor``) of a character or block device.
        link_group: Same non-empty bytes for all names of one multiply-linked file; first eight
            are the device, last eight the inode, little-endian.
        xattrs: Extended attributes, POSIX ACLs included, as raw (name, value), sorted by name.
        flags: ``FS_IOC_GETFLAGS`` bits that are worth restoring; 0 when none.
        segments: (offset, length) of the data of a sparse file, ascending; ``None``: not sparse.
        changed: The file changed while it was read, every time it was tried.
    """

    link_target: bytes = b""
    rdev: int = 0
    link_group: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    flags: int = 0
    segments: tuple[tuple[int, int], ...] | None = None
    changed: bool = False

    def is_empty(self) -> bool:
        """Tell whether there is nothing to store."""
        return self == _NOTHING


_NOTHING = Extra()


class Listing(Struct):
    """One part of one directory, names ascending by bytes.

    Attributes:
        path: Path below the snapshot's top, without leading or trailing slash; ``b""`` is the top.
        names: Names of the entries, ascending; no NUL, no slash, not ``.`` or ``..``.
        stats: ``len(COLUMNS)`` columns of ``len(names)`` numbers each, one after the other.
        extras: By position in ``names``; only entries that have any.
    """

    path: bytes
    names: list[bytes]
    stats: array[int]
    extras: dict[int, Extra] = field(default_factory=dict)

    def column(self, which: int) -> array[int]:
        """Return one stat column as a copy, ``len(names)`` long."""
        count = len(self.names)
        return self.stats[which * count : (which + 1) * count]

    def set(self, which: int, position: int, value: int) -> None:
        """Set one number of one column."""
        self.stats[which * len(self.names) + position] = value

    def get(self, which: int, position: int) -> int:
        """Return one number of one column."""
        return self.stats[which * len(self.names) + position]


def columns_of(rows: array[int]) -> array[int]:
    """Turn numbers stored entry by entry into columns, as `Listing.stats` holds them."""
    width = len(COLUMNS)
    columns = array("q")
    for which in range(width):
        columns.extend(rows[which::width])
    return columns


def path_key(path: bytes) -> bytes:
    """Return a key that sorts directories in walking order: parents first, then by name."""
    return path.replace(b"/", b"\0")


def join(path: bytes, name: bytes) -> bytes:
    """Return the path of an entry of a directory."""
    return path + b"/" + name if path else name


def part_ends(names: list[bytes]) -> Iterator[int]:
    """Yield where to cut a directory into parts, as end positions; the last is ``len(names)``.

    The cut depends on names only, so that one new file moves no more than the cut beside it.

    Args:
        names: All names of the directory, ascending.
    """
    start = 0
    count = len(names)
    while count - start > PART_MAX:
        end = next(
            (
                at
                for at in range(start + PART_MIN, start + PART_MAX)
                if zlib.crc32(names[at]) & 0x7FF == 0
            ),
            start + PART_MAX,
        )
        yield end
        start = end
    yield count


def is_regular(mode: int) -> bool:
    """Tell whether a mode is that of a regular file."""
    return stat.S_IFMT(mode) == stat.S_IFREG


def is_directory(mode: int) -> bool:
    """Tell whether a mode is that of a directory."""
    return stat.S_IFMT(mode) == stat.S_IFDIR
