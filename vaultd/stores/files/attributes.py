"""What an entry has beyond its stat row: extended attributes, inode flags, holes.

Which file systems know no attributes or flags is learnt from their answers, once per device.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from array import array
from contextlib import suppress
from fcntl import ioctl

from vaultd.core.tree import Extra
from vaultd.stores.files.options import CaptureOptions
from vaultd.stores.files.rows import has_holes

FS_IOC_GETFLAGS = 0x80006601 | struct.calcsize("l") << 16
FS_IOC_SETFLAGS = 0x40006602 | struct.calcsize("l") << 16

FLAG_COMPRESS, FLAG_SYNC, FLAG_IMMUTABLE, FLAG_APPEND = 0x04, 0x08, 0x10, 0x20
FLAG_NODUMP, FLAG_NOATIME, FLAG_DIRSYNC = 0x40, 0x80, 0x10000
FLAG_NOCOW, FLAG_CASEFOLD = 0x800000, 0x40000000

WORTH = (
    FLAG_COMPRESS
    | FLAG_SYNC
    | FLAG_IMMUTABLE
    | FLAG_APPEND
    | FLAG_NODUMP
    | FLAG_NOATIME
    | FLAG_DIRSYNC
    | FLAG_NOCOW
    | FLAG_CASEFOLD
)
"""Flags that a person set and that can be set again.

Left out: what the file system sets for itself (extents, index, inline, huge, encrypt, verity),
what only means something with more than the flag (project inheritance), and data journalling.
"""

_EXACT_SEGMENTS = 1024
_FIRST_GAP_BYTES = 64 * 1024
_UNSUPPORTED = frozenset({errno.ENOTSUP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS})
_GONE = frozenset({errno.ENODATA, errno.ENOENT, errno.ENOTDIR, errno.ESTALE})


class AttributeReader:
    """Reads what few entries have; used by one thread.

    Args:
        options: Says whether to take attributes and flags at all.

    Attributes:
        error: What kept the attributes of an entry from being read since it was set to ``None``.
    """

    def __init__(self, options: CaptureOptions) -> None:
        self._xattrs = options.xattrs
        self._flags = options.flags
        self._no_xattrs: set[int] = set()
        self._no_flags: set[int] = set()
        self._word = array("i", [0])
        self.error: OSError | None = None

    def fill(self, fd: int, device: int, extra: Extra | None) -> Extra | None:
        """Return the extra of an open file or directory, attributes and flags filled in.

        Args:
            fd: The entry, open for reading.
            device: Device it lies on.
            extra: What is known already; changed and returned when there is something to add.

        Returns:
            ``None`` when there is nothing extra.
        """
        if self._xattrs and device not in self._no_xattrs:
            try:
                names = os.listxattr(fd)
            except OSError as error:
                self._learn(error, fd, self._no_xattrs)
                names = []
            if names:
                extra = extra or Extra()
                extra.xattrs = self._values(fd, names)
        if self._flags and device not in self._no_flags:
            flags = self.flags_of(fd)
            if flags:
                extra = extra or Extra()
                extra.flags = flags
        return extra

    def is_plain(self, fd: int) -> bool:
        """Tell quickly that an open entry has no attributes and no flags; ``False``: perhaps."""
        word = self._word
        try:
            if os.listxattr(fd):
                return False
            ioctl(fd, FS_IOC_GETFLAGS, word, True)  # noqa: FBT003 - fcntl takes it by position only
        except OSError:
            return False
        return not word[0] & WORTH

    def flags_of(self, fd: int) -> int:
        """Return the inode flags of an open entry that are worth restoring."""
        word = self._word
        try:
            ioctl(fd, FS_IOC_GETFLAGS, word, True)  # noqa: FBT003 - fcntl takes it by position only
        except OSError as error:
            self._learn(error, fd, self._no_flags)
            return 0
        return word[0] & WORTH

    def fill_unopened(self, path: bytes, device: int, extra: Extra | None) -> Extra | None:
        """Return the extra of an entry that must not be opened (link, device, fifo, socket).

        Args:
            path: A path that reaches it without going through a link that others could change.
            device: Device it lies on.
            extra: As in `fill`.
        """
        if not self._xattrs or device in self._no_xattrs:
            return extra
        try:
            names = os.listxattr(path, follow_symlinks=False)
        except OSError as error:
            self._learn(error, path, self._no_xattrs)
            return extra
        if names:
            extra = extra or Extra()
            extra.xattrs = self._values(path, names)
        return extra

    def _learn(self, error: OSError, place: int | bytes, without: set[int]) -> None:
        if error.errno not in _UNSUPPORTED:
            self._note(error)
            return
        # The entry may be a mount point: what it lies on is not always what its directory is on.
        with suppress(OSError):
            status = os.fstat(place) if isinstance(place, int) else os.lstat(place)
            without.add(status.st_dev)

    def _note(self, error: OSError) -> None:
        if error.errno not in _GONE:  # what is gone shows elsewhere, or was taken away in time
            self.error = error

    def _values(self, place: int | bytes, names: list[str]) -> tuple[tuple[bytes, bytes], ...]:
        found = []
        for name in names:
            try:
                value = (
                    os.getxattr(place, name)
                    if isinstance(place, int)
                    else os.getxattr(place, name, follow_symlinks=False)
                )
            except OSError as error:
                self._note(error)
                continue
            found.append((os.fsencode(name), value))
        return tuple(sorted(found))


def rdev_of(status: os.stat_result) -> int:
    """Return the device number of a device file, ``major << 32 | minor``; 0 for anything else."""
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return os.major(status.st_rdev) << 32 | os.minor(status.st_rdev)
    return 0


def may_have_holes(status: os.stat_result, extra: Extra | None) -> bool:
    """Tell whether it is worth asking where the data of a file lies.

    Its blocks say so for nothing, but attributes that have a block of their own may hide a hole.
    """
    return has_holes(status) or (extra is not None and bool(extra.xattrs))


def segments_of(fd: int, size: int) -> tuple[tuple[int, int], ...] | None:
    """Return where the data of a file lies, and put its offset back to 0.

    Args:
        fd: The file, open for reading.
        size: Its length in bytes.

    Returns:
        (offset, length) ascending; ``None`` when the file has no holes. A file with very many
        holes loses the short ones: they are read as zeros.
    """
    found: list[tuple[int, int]] = []
    at = 0
    try:
        while at < size:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = os.lseek(fd, start, os.SEEK_HOLE)
            found.append((start, at - start))
    except OSError as error:
        if error.errno != errno.ENXIO:  # there is no more data
            found = [(0, size)]
    os.lseek(fd, 0, os.SEEK_SET)
    return None if found == [(0, size)] or not size else _thinned(found)


def _thinned(found: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    gap = _FIRST_GAP_BYTES
    while len(found) > _EXACT_SEGMENTS:
        kept = [found[0]]
        for start, length in found[1:]:
            last, covered = kept[-1]
            if start - last - covered < gap:
                kept[-1] = (last, start + length - last)
            else:
                kept.append((start, length))
        found = kept
        gap *= 2
    return tuple(found)
