"""How an object's file comes to its name: whole, durable, and never in place of another.

Three ways, best first; a file system that refuses one is asked for the next:

1. an unnamed file that gets its only name by link(2): a crash leaves nothing behind;
2. a file in the temporary folder, linked, then removed from there;
3. the same, renamed with ``RENAME_NOREPLACE``, where there are no links (FAT).

Named temporary files are locked while they are written, so that whoever finds one without a lock
knows that its writer is dead, and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Callable, Iterator
from enum import IntEnum

from vaultd.backends.base import Body, Spooled
from vaultd.backends.local_system import System
from vaultd.core.errors import StorageError

_REFUSALS = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EISDIR, errno.EINVAL, errno.EXDEV}
)
"""What file systems answer when they lack a call."""

_Way = Callable[[Body, str], OSError | None]


class Placing(IntEnum):
    """The ways to place a file, in the order in which they are tried."""

    UNNAMED = 1
    LINK = 2
    RENAME = 3


class Placer:
    """Places files below one root; used by any number of threads.

    Args:
        folder: The temporary folder, on the file system of the objects; it must exist by the time
            of the first `place`.
        system: Makes the system calls.
        placing: The first way to try.
    """

    def __init__(self, folder: str, *, system: System, placing: Placing = Placing.UNNAMED) -> None:
        self._folder = folder
        self._system = system
        # Without /proc a file without a name cannot be linked.
        self._placing = placing if os.path.isdir("/proc/self/fd") else max(placing, Placing.LINK)
        self._numbers = itertools.count(1)
        self._swept = False

    @property
    def placing(self) -> Placing:
        """The way that works here, as far as it is known."""
        return self._placing

    def place(self, body: Body, path: str) -> None:
        """Make a file of a body; its bytes are durable when this returns, its name not yet.

        Raises:
            FileExistsError: The name is taken.
            OSError: The system failed; nothing was created.
            StorageError: The file system knows no safe way, or a spooled body ended early.
        """
        ways: tuple[tuple[Placing, _Way], ...] = (
            (Placing.UNNAMED, self._place_unnamed),
            (Placing.LINK, self._place_linked),
            (Placing.RENAME, self._place_renamed),
        )
        refusal: OSError | None = None
        for placing, way in ways:
            if placing >= self._placing:
                refusal = way(body, path)
                if refusal is None:
                    self._placing = placing
                    return
        if refusal is not None and refusal.errno == errno.EPERM:
            raise refusal  # of every way alike: it is a right that is missing
        raise StorageError(
            f"{path}: this file system has neither link(2) nor RENAME_NOREPLACE,"
            " so a write could replace an object",
            hint="Keep the vault on another file system, or in S3.",
        ) from refusal

    def sweep(self) -> int:
        """Remove what dead writers left in the temporary folder; return how many files.

        Raises:
            OSError: The folder cannot be read.
        """
        with os.scandir(self._folder) as entries:
            paths = [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
        return sum(map(self._remove_if_dead, paths))

    def _place_unnamed(self, body: Body, path: str) -> OSError | None:
        if isinstance(body, Spooled) and self._adopt(body, path):
            return None
        try:
            fd = self._system.open_unnamed(self._folder)
        except OSError as exc:
            if exc.errno in _REFUSALS:
                return exc
            raise
        try:
            self._fill(fd, body)
            return _refusal(self._system.link_open, fd, path)
        finally:
            os.close(fd)

    def _place_linked(self, body: Body, path: str) -> OSError | None:
        with self._temporary(body) as source:
            return _refusal(self._system.link, source, path)

    def _place_renamed(self, body: Body, path: str) -> OSError | None:
        with self._temporary(body) as source:
            return _refusal(self._system.rename_new, source, path)

    def _adopt(self, body: Spooled, path: str) -> bool:
        """Make the file of a spooled body the object, if it is nameless, here, and not longer."""
        found = os.fstat(body.fd)
        if (
            found.st_nlink
            or found.st_size != body.size
            or found.st_dev != os.stat(self._folder).st_dev
        ):
            return False
        os.fchmod(body.fd, 0o600)
        self._system.flush(body.fd)
        try:
            return _refusal(self._system.link_open, body.fd, path) is None
        except FileNotFoundError:  # it had a name once: such a file gets no second one
            return False

    def _fill(self, fd: int, body: Body) -> None:
        if isinstance(body, bytes):
            self._system.write(fd, body)
        elif (found := self._system.copy(body.fd, fd, body.size)) != body.size:
            raise StorageError(f"spooled body ends at byte {found}, expected {body.size}")
        self._system.flush(fd)

    @contextlib.contextmanager
    def _temporary(self, body: Body) -> Iterator[str]:
        """Give the path of a filled, locked file; remove that name at the end, if it is left."""
        if not self._swept:
            self._swept = True
            self.sweep()
        fd, path = self._open_locked()
        try:
            self._fill(fd, body)
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):  # renamed
                os.unlink(path)
            os.close(fd)

    def _open_locked(self) -> tuple[int, str]:
        while True:
            path = os.path.join(self._folder, f"{os.getpid()}-{next(self._numbers)}")
            try:
                fd = self._system.open_named(path)
            except FileExistsError:  # of another machine, or of a dead process with our number
                continue
            try:
                # Between open and lock a sweeping process may have taken it for dead.
                if self._lock(fd) and os.fstat(fd).st_nlink:
                    return fd, path
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _lock(self, fd: int) -> bool:
        try:
            return self._system.lock(fd)
        except OSError as exc:
            if exc.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            return True  # no locks here: nobody sweeps either

    def _remove_if_dead(self, path: str) -> bool:
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # gone meanwhile, or not ours to remove
            return False
        try:
            if not self._system.lock(fd):
                return False
            os.unlink(path)
        except OSError:  # no locks here, or another sweeper was faster
            return False
        finally:
            os.close(fd)
        return True


def _refusal(call: Callable[..., None], *arguments: int | str) -> OSError | None:
    """Make a call; return its error if that says that such calls are missing here."""
    try:
        call(*arguments)
    except OSError as exc:
        if exc.errno in _REFUSALS:
            return exc
        raise
    return None
