"""Directories below a restore target, reached without ever leaving it.

Every step is one ``openat`` of one checked name with ``O_NOFOLLOW``: a symbolic link, planted
before the restore, by it, or beside it, ends the step. That is what ``openat2`` with
``RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`` promises for a whole path, but it needs no newer kernel,
no path shorter than 4096 bytes, and it leaves the descriptors that the restore wants anyway.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec import Struct, field

from vaultd.stores.files.descriptors import DIRECTORY_FLAGS

MAX_NAME_BYTES = 255
MAX_DEPTH = 1024
"""Components of the deepest directory that is restored, as in a capture."""

PART_PREFIX = b".vaultd-part-"
"""Beginning of the names of files that are not finished; never captured, never restored."""

_HELD_OPEN = 64
_NOT_A_DIRECTORY = frozenset({errno.ENOTDIR, errno.ELOOP})


class InTheWayError(OSError):
    """Something that may not be removed has the name of an entry."""


def is_safe_name(name: bytes) -> bool:
    """Tell whether a name can stand for an entry of a directory and for nothing else."""
    return (
        0 < len(name) <= MAX_NAME_BYTES
        and name not in {b".", b".."}
        and b"/" not in name
        and b"\0" not in name
        and not name.startswith(PART_PREFIX)
    )


def safe_parts(path: bytes) -> list[bytes] | None:
    """Return the components of a path below the top, or ``None`` when one of them is not safe."""
    parts = path.split(b"/") if path else []
    if len(parts) > MAX_DEPTH or not all(is_safe_name(part) for part in parts):
        return None
    return parts


def make_directory(
    folder: int, name: bytes, may_replace: Callable[[os.stat_result], bool]
) -> tuple[int, bool]:
    """Open a directory, made first when it is not there; its mode is then 0700.

    Args:
        folder: Descriptor of the directory that holds it.
        name: A safe name.
        may_replace: Asked whether something else that has the name may be removed.

    Returns:
        The descriptor, and whether the directory is new.

    Raises:
        InTheWayError: Something else has the name and may not be removed.
        OSError: It cannot be made or opened.
    """
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        try:
            return os.open(name, DIRECTORY_FLAGS, dir_fd=folder), False
        except OSError as error:
            if error.errno not in _NOT_A_DIRECTORY:
                raise
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not may_replace(status):
            raise InTheWayError(errno.EACCES, "something else has its name and is kept") from None
        os.unlink(name, dir_fd=folder)
        os.mkdir(name, 0o700, dir_fd=folder)
    return os.open(name, DIRECTORY_FLAGS, dir_fd=folder), True


def open_beneath(root: int, parts: Sequence[bytes]) -> int:
    """Open a directory that is there, component by component, and return the descriptor.

    Raises:
        OSError: A component is missing, no directory, or a link.
    """
    fd = os.open(b".", DIRECTORY_FLAGS, dir_fd=root)
    for part in parts:
        try:
            below = os.open(part, DIRECTORY_FLAGS, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def is_same(fd: int, identity: tuple[int, int]) -> bool:
    """Tell whether a descriptor is of the file with this device and inode."""
    status = os.fstat(fd)
    return (status.st_dev, status.st_ino) == identity


def remove_entry(folder: int, name: bytes) -> None:
    """Remove an entry and, if it is a directory, all that is in it; links are not followed.

    Args:
        folder: Descriptor of the directory that holds it.
        name: A single component.

    Raises:
        OSError: Something could not be removed (``EBUSY`` for what is mounted there), or was
            moved away meanwhile.
    """
    try:
        os.unlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.EISDIR, errno.EPERM}:
            raise
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise
    else:
        return
    _Removal(folder, name).run()


class _Level(Struct):
    name: bytes
    fd: int
    identity: tuple[int, int]
    names: list[bytes] = field(default_factory=list)


class _Removal:
    """Removes a directory tree of any depth with a bounded number of descriptors."""

    def __init__(self, folder: int, name: bytes) -> None:
        self._folder = folder
        self._levels: list[_Level] = []
        self._name = name

    def run(self) -> None:
        try:
            self._down(self._folder, self._name)
            while self._levels:
                level = self._levels[-1]
                if level.names:
                    self._remove(level, level.names.pop())
                else:
                    self._up()
        finally:
            for level in self._levels:
                if level.fd >= 0:
                    os.close(level.fd)

    def _remove(self, level: _Level, name: bytes) -> None:
        if stat.S_ISDIR(os.stat(name, dir_fd=level.fd, follow_symlinks=False).st_mode):
            self._down(level.fd, name)
        else:
            os.unlink(name, dir_fd=level.fd)

    def _down(self, folder: int, name: bytes) -> None:
        fd = os.open(name, DIRECTORY_FLAGS, dir_fd=folder)
        status = os.fstat(fd)
        level = _Level(name, fd, (status.st_dev, status.st_ino))
        self._levels.append(level)
        if status.st_dev != os.fstat(folder).st_dev:
            raise OSError(errno.EBUSY, "something is mounted there")
        level.names = [os.fsencode(entry) for entry in os.listdir(fd)]
        if len(self._levels) > _HELD_OPEN:
            far = self._levels[-1 - _HELD_OPEN]
            os.close(far.fd)
            far.fd = -1

    def _up(self) -> None:
        done = self._levels.pop()
        try:
            folder = self._folder
            if self._levels:
                above = self._levels[-1]
                if above.fd < 0:
                    above.fd = os.open(b"..", DIRECTORY_FLAGS, dir_fd=done.fd)
                    if not is_same(above.fd, above.identity):
                        raise OSError(errno.ESTALE, "moved away")
                folder = above.fd
        finally:
            os.close(done.fd)
        os.rmdir(done.name, dir_fd=folder)


def discard(folder: int, name: bytes) -> None:
    """Remove a file if it is there; used for what a restore leaves unfinished."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)
