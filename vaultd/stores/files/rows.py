"""The innermost loop of a scan: stat every name of a directory into one array of numbers.

Everything here runs once per entry of a store, so it makes no object per entry and calls nothing
that it could avoid. Measured on 400,000 files: 2.8 us per entry, 2.1 of them in ``fstatat``.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Collection

from msgspec import Struct, field

from vaultd.core.tree import COLUMNS, CTIME

WIDTH = len(COLUMNS)
_INT64_MAX = (1 << 63) - 1
_UINT64 = 1 << 64
_SECOND_NS = 1_000_000_000
_FINE_MARGIN_NS = 100_000_000  # more than the tick (10 ms) by which kernels stamp change times
_COARSE_MARGIN_NS = 2 * _SECOND_NS  # file systems that keep whole (FAT: even) seconds


class Rows(Struct):
    """Stat rows of some names of one directory.

    Attributes:
        names: Names that could be looked at, ascending.
        numbers: ``WIDTH`` numbers per name, in the order of `COLUMNS`.
        folders: Name and device of each directory.
        linked: Name and link group of everything with several names that is no directory.
        sparse: Names of regular files with fewer blocks than bytes.
        failed: Names that could not be looked at, and why.
    """

    names: list[bytes]
    numbers: array[int]
    folders: list[tuple[bytes, int]] = field(default_factory=list)
    linked: list[tuple[bytes, bytes]] = field(default_factory=list)
    sparse: list[bytes] = field(default_factory=list)
    failed: list[tuple[bytes, OSError]] = field(default_factory=list)

    def position(self, name: bytes) -> int:
        """Return the position of a name that is known to be there."""
        return bisect_left(self.names, name)

    def without(self, gone: Collection[bytes]) -> Rows:
        """Return the rows without some names."""
        numbers: array[int] = array("q")
        names = []
        for at, name in enumerate(self.names):
            if name not in gone:
                names.append(name)
                numbers.extend(self.numbers[at * WIDTH : (at + 1) * WIDTH])
        return Rows(
            names=names,
            numbers=numbers,
            folders=[item for item in self.folders if item[0] not in gone],
            linked=[item for item in self.linked if item[0] not in gone],
            sparse=[name for name in self.sparse if name not in gone],
            failed=self.failed,
        )

    def racy(self, started_ns: int) -> set[int]:
        """Return positions whose change time is too close to the time of the scan to be trusted.

        Args:
            started_ns: Wall-clock time before the first name was looked at.
        """
        times = self.numbers[CTIME::WIDTH]
        coarse = started_ns - _COARSE_MARGIN_NS
        if not times or max(times) < coarse:
            return set()
        fine = started_ns - _FINE_MARGIN_NS
        return {
            at
            for at, time_ns in enumerate(times)
            if time_ns >= fine or (time_ns >= coarse and time_ns % _SECOND_NS == 0)
        }


def stat_names(fd: int, names: list[bytes]) -> Rows:
    """Look at every name of a directory, not following links.

    Args:
        fd: The directory.
        names: Names in it, ascending; kept by the result when all of them could be looked at.
    """
    rows = Rows(names, array("q"))
    extend = rows.numbers.extend
    lstat, regular = os.stat, stat.S_IFREG
    for name in names:
        try:
            status = lstat(name, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            rows.failed.append((name, error))
            continue
        mode, ino, _, links, uid, gid, size = status[:7]
        numbers = (mode, uid, gid, size, status.st_mtime_ns, status.st_ctime_ns, ino)
        try:
            extend(numbers)
        except OverflowError:
            del rows.numbers[len(rows.numbers) // WIDTH * WIDTH :]
            extend(_fitted(numbers))
        if links != 1 or mode & 0o170000 != regular or status.st_blocks << 9 < size:
            _note(rows, name, status)
    if rows.failed:
        failed = {name for name, _ in rows.failed}
        rows.names = [name for name in names if name not in failed]
    return rows


def numbers_of(status: os.stat_result) -> tuple[int, ...]:
    """Return the row of one entry, each number within 64 signed bits."""
    return _fitted(
        (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
        )
    )


def has_holes(status: os.stat_result) -> bool:
    """Tell whether a file has fewer blocks than bytes: it is sparse, or compressed on disk."""
    return status.st_blocks << 9 < status.st_size


def link_group(device: int, ino: int) -> bytes:
    """Return the link group of a file with several names: device and inode, little-endian."""
    return device.to_bytes(8, "little") + ino.to_bytes(8, "little")


def _note(rows: Rows, name: bytes, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        rows.folders.append((name, status.st_dev))
        return
    if status.st_nlink != 1:
        rows.linked.append((name, link_group(status.st_dev, status.st_ino)))
    if stat.S_ISREG(status.st_mode) and has_holes(status):
        rows.sparse.append(name)


def _fitted(numbers: tuple[int, ...]) -> tuple[int, ...]:
    # Inode numbers are unsigned (overlay and network file systems use the top bit): they keep
    # their bits. Times beyond the year 2262 stop there.
    *others, ino = numbers
    ends = [max(-_INT64_MAX, min(number, _INT64_MAX)) for number in others]
    return (*ends, ino if ino <= _INT64_MAX else ino - _UINT64)
