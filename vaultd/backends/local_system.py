"""The system calls that make a file appear under its name, whole or not at all.

One thin method a call, so that tests can stand in for file systems that this machine does not
have, and for disks that fail. Every method raises `OSError` as the system gives it.
"""

from __future__ import annotations

import errno
import fcntl
import os

from vaultd.core.units import MIB

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_COPY_BYTES = 8 * MIB


class System:
    """The operating system, as far as writing objects needs it."""

    def open_unnamed(self, folder: str) -> int:
        """Open a new file without a name, for writing, on the file system of a folder."""
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def open_named(self, path: str) -> int:
        """Open a new file for writing; its name must be free."""
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def lock(self, fd: int) -> bool:
        """Take the exclusive lock on a file, or tell that another process has it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def write(self, fd: int, block: bytes) -> None:
        """Write a whole block at the file's offset."""
        done = os.write(fd, block)
        while done < len(block):
            done += os.write(fd, memoryview(block)[done:])

    def copy(self, source: int, fd: int, size: int) -> int:
        """Copy a file's first ``size`` bytes inside the kernel; return how many there were.

        The offset of ``source`` does not move.
        """
        done = 0
        while done < size:
            count = os.sendfile(fd, source, done, min(size - done, _COPY_BYTES))
            if count == 0:
                break
            done += count
        return done

    def flush(self, fd: int) -> None:
        """Return when the bytes of a file are on the disk."""
        os.fdatasync(fd)

    def flush_folder(self, path: str) -> None:
        """Return when the names in a folder are on the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            # Some network file systems cannot sync a folder: there the server keeps names safe.
        finally:
            os.close(fd)

    def link_open(self, fd: int, path: str) -> None:
        """Give an open file without a name its first one; it must be free."""
        # Any folder descriptor makes Python call linkat(2), which alone follows the link in /proc.
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)

    def link(self, source: str, path: str) -> None:
        """Give a file a second name; it must be free."""
        os.link(source, path)

    def rename_new(self, source: str, path: str) -> None:
        """Give a file another name instead of its own; the new one must be free."""
        import ctypes  # noqa: PLC0415 - few file systems need this, and every start would pay

        call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if call is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), source, None, path)
        if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(path), _RENAME_NOREPLACE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), source, None, path)
