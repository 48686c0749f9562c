"""A backend in a folder: one file per object, below the folder under the object's own name.

Beside the objects there is one folder, ``.tmp``, for files that are being written; an object's
name cannot begin so. A symbolic link below the folder is refused, because what it points to can
come and go on its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from vaultd.backends.base import Body, ObjectInfo
from vaultd.backends.bodies import check_range, read_exactly, size_of, span
from vaultd.backends.local_placing import Placer, Placing
from vaultd.backends.local_system import System
from vaultd.backends.names import check_name, check_prefix, is_component
from vaultd.core.errors import (
    AccessDeniedError,
    NoSpaceError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    VaultNotFoundError,
)

_TEMPORARY = ".tmp"
_MISSING = (FileNotFoundError, NotADirectoryError)

_FULL = (NoSpaceError, "Make room, or raise the quota or limit.")
_DENIED = (AccessDeniedError, "Give this user the right to the folder, or run as its owner.")
_READ_ONLY = (AccessDeniedError, "Mount the file system for writing.")
_FILES = (StorageUnavailableError, "Raise the limit of open files.")
_AWAY = (StorageUnavailableError, "Check the server behind the folder.")
_BROKEN = (StorageError, "Look for disk errors in the kernel's log.")
_UNLINK = "Put what the symbolic link points to in its place."
_LINKED = (StorageError, _UNLINK)
_ERRORS: dict[int, tuple[type[StorageError], str | None]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _READ_ONLY,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ESTALE: _AWAY,
    errno.ENOTCONN: _AWAY,
    errno.ETIMEDOUT: _AWAY,
    errno.EHOSTDOWN: _AWAY,
    errno.EHOSTUNREACH: _AWAY,
    errno.EIO: _BROKEN,
    errno.ENODEV: _BROKEN,
    errno.EREMOTEIO: _BROKEN,
    errno.EUCLEAN: _BROKEN,
    errno.ELOOP: _LINKED,
}


class LocalBackend:
    """Objects as files of one folder, which several processes may use at once.

    Args:
        root: The folder.
        create: Make the folder when it is missing.
        system: Makes the system calls that writing needs; the machine's own by default.
        placing: The first way of placing files to try; see `Placing`.

    Raises:
        VaultNotFoundError: The folder is missing.
        AccessDeniedError: It cannot be made, or cannot be entered.
    """

    read_ahead_bytes = 0
    versions = None
    """The system reads ahead by itself."""

    def __init__(
        self,
        root: Path,
        *,
        create: bool = False,
        system: System | None = None,
        placing: Placing = Placing.UNNAMED,
    ) -> None:
        self._root = os.path.abspath(root)
        self._system = System() if system is None else system
        self._temporary = os.path.join(self._root, _TEMPORARY)
        self._placer = Placer(self._temporary, system=self._system, placing=placing)
        self._settled: set[str] = set()
        with _translated(f"folder {self._root}"):
            if create:
                os.makedirs(self._root, mode=0o700, exist_ok=True)
            try:
                found = os.stat(self._root)
            except _MISSING as exc:
                raise VaultNotFoundError(
                    f"folder {self._root}: missing",
                    hint="Check the path, and mount its disk if it is on another one.",
                ) from exc
        if not stat.S_ISDIR(found.st_mode):
            raise VaultNotFoundError(
                f"{self._root}: not a folder", hint="Give the path of the vault's folder."
            )
        self._identity = (found.st_dev, found.st_ino)

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return self._root

    @property
    def spool(self) -> Path | None:
        """The folder for files that `put` takes over without copying; made when first asked for."""
        try:
            self._check_root()
            os.makedirs(self._temporary, mode=0o700, exist_ok=True)
        except (OSError, StorageError):  # a disk that is only read, or gone: `put` says so
            return None
        return Path(self._temporary)

    @property
    def placing(self) -> Placing:
        """How files get their names here; known after the first `put`."""
        return self._placer.placing

    def free_bytes(self) -> int:
        """Return how many bytes this user may still write."""
        with _translated(f"folder {self._root}"):
            found = os.statvfs(self._root)
        return found.f_bavail * found.f_frsize

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:  # noqa: ARG002 - the disk does not check it
        """Create an object: see `Backend.put`; a spooled body from `spool` is not copied."""
        check_name(name)
        size_of(name, body)
        path = os.path.join(self._root, name)
        parent = os.path.dirname(path)
        with _translated(f"object {name}"):
            try:
                self._place(body, path, parent)
            except FileExistsError as exc:
                # Whoever takes it for stored must be right even after a power cut.
                self._system.flush_folder(parent)
                raise ObjectExistsError(f"object {name}: exists already") from exc
            self._system.flush_folder(parent)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""
        check_name(name)
        check_range(name, offset, length)
        with _translated(f"object {name}"):
            fd = self._open(name)
            try:
                wanted = span(name, self._info(name, os.fstat(fd)).size, offset, length)
                return read_exactly(fd, wanted, offset)
            except EOFError as exc:
                raise StorageError(f"object {name}: became shorter while it was read") from exc
            finally:
                os.close(fd)

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object: see `Backend.head`."""
        check_name(name)
        with _translated(f"object {name}"):
            return self._stat(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield objects in order: see `Backend.list`; one folder at a time is held in memory."""
        check_prefix(prefix)
        self._check_root()
        folder, _, start = prefix.rpartition("/")
        with _translated(f"listing {prefix!r}"):
            yield from self._walk(f"{folder}/" if folder else "", start)

    def delete(self, name: str) -> None:
        """Remove an object: see `Backend.delete`; after a power cut it may be back."""
        check_name(name)
        with _translated(f"object {name}"):
            try:
                os.unlink(os.path.join(self._root, name))
            except (*_MISSING, IsADirectoryError):
                self._check_root()

    def _place(self, body: Body, path: str, parent: str) -> None:
        if parent in self._settled:
            # It may be gone by now, if somebody cleared or unmounted the folder under us.
            with contextlib.suppress(FileNotFoundError):
                self._placer.place(body, path)
                return
        self._settle(parent)
        self._placer.place(body, path)

    def _settle(self, folder: str) -> None:
        """Make a folder and its parents, and make sure that they are there after a power cut.

        Done once a process even for folders that exist: another process may have made them and
        not come to the flushing.
        """
        self._check_root()
        os.makedirs(self._temporary, mode=0o700, exist_ok=True)
        path = self._root
        for component in os.path.relpath(folder, self._root).split("/"):
            above, path = path, os.path.join(path, component)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
            self._system.flush_folder(above)
        self._settled.add(folder)

    def _open(self, name: str) -> int:
        try:
            return os.open(
                os.path.join(self._root, name),
                # Non-blocking, because a fifo would wait for its writer.
                os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
            )
        except _MISSING as exc:
            raise self._not_found(name) from exc

    def _not_found(self, name: str) -> ObjectNotFoundError:
        """Return the error for an object that is missing, once it is sure that the folder is not.

        Raises:
            StorageError: The folder itself is gone.
        """
        self._check_root()
        return ObjectNotFoundError(f"object {name}: not found in {self._root}")

    def _check_root(self) -> None:
        """Refuse to take an unmounted disk for an empty vault."""
        try:
            found = os.stat(self._root)
        except OSError as exc:
            raise StorageError(
                f"folder {self._root}: gone: {exc.strerror}", hint="Mount its disk again."
            ) from exc
        if (found.st_dev, found.st_ino) != self._identity:
            raise StorageError(
                f"folder {self._root}: no longer the folder that was opened",
                hint="Mount its disk again.",
            )

    def _stat(self, name: str) -> ObjectInfo:
        try:
            found = os.lstat(os.path.join(self._root, name))
        except _MISSING as exc:
            raise self._not_found(name) from exc
        return self._info(name, found)

    def _info(self, name: str, found: os.stat_result) -> ObjectInfo:
        if stat.S_ISLNK(found.st_mode):
            raise StorageError(f"object {name}: a symbolic link", hint=_UNLINK)
        if not stat.S_ISREG(found.st_mode):
            raise self._not_found(name)
        return ObjectInfo(name=name, size=found.st_size, modified_ns=found.st_mtime_ns)

    def _walk(self, folder: str, start: str) -> Iterator[ObjectInfo]:
        """Yield what is below a folder (``""`` or ending in a slash), its names beginning so."""
        try:
            fd = os.open(
                os.path.join(self._root, folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        except _MISSING:
            self._check_root()
            return
        try:
            for part in _names_in(fd, start):
                name = folder + part
                if name.endswith("/"):
                    yield from self._walk(name, "")
                    continue
                try:
                    found = os.stat(part, dir_fd=fd, follow_symlinks=False)
                    info = self._info(name, found)
                except (FileNotFoundError, ObjectNotFoundError):  # removed meanwhile, or a socket
                    continue
                yield info
        finally:
            os.close(fd)


def _names_in(fd: int, start: str) -> list[str]:
    """Return the names in a folder that begin so, in order; those of folders end in a slash."""
    with os.scandir(fd) as entries:
        # A folder sorts as its contents do: by its name and a slash.
        return sorted(
            f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in entries
            if entry.name.startswith(start) and is_component(entry.name)
        )


@contextlib.contextmanager
def _translated(subject: str) -> Iterator[None]:
    """Turn what the system says into what a backend says."""
    try:
        yield
    except OSError as exc:
        raise _error_for(exc, subject) from exc


def _error_for(exc: OSError, subject: str) -> StorageError:
    kind, hint = _ERRORS.get(exc.errno or 0, (StorageError, None))
    return kind(f"{subject}: {exc.strerror or exc}", hint=hint)
