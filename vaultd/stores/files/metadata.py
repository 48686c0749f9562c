"""Putting back everything about an entry that is not its contents.

The order matters. Changing the owner clears set-id bits and capabilities, so it goes first; an
access list changes the mode, so it goes before the mode; setting either changes no time, but
times go after both to be last; and inode flags, which may forbid all of this, go after everything
else, even after the entry has its final name.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from functools import partial

from msgspec import Struct

from vaultd.core.entry import Entry
from vaultd.stores.files.attributes import (
    FLAG_CASEFOLD,
    FLAG_COMPRESS,
    FLAG_NOCOW,
    FS_IOC_GETFLAGS,
    FS_IOC_SETFLAGS,
    WORTH,
)
from vaultd.stores.files.options import TargetOptions
from vaultd.stores.files.owners import Owners
from vaultd.stores.files.problems import words_of
from vaultd.stores.files.shortfalls import Shortfalls

EARLY_FLAGS = FLAG_NOCOW | FLAG_CASEFOLD | FLAG_COMPRESS
"""Flags that work only on an entry that is still empty."""

_SET_ID = stat.S_ISUID | stat.S_ISGID
_MAX_ID = (1 << 32) - 2  # one more means "leave it" to chown
_ACCESS_LISTS = frozenset({b"system.posix_acl_access", b"system.posix_acl_default"})
_CAPABILITY = b"security.capability"


class Born(Struct, frozen=True):
    """What a new file in some directory is like before anything is set.

    Attributes:
        uid: Its owner.
        gid: Its group; that of the directory where its set-group-id bit or a mount option say so.
        mode: Its permission bits, after the process's mask.
        listed: It has an access list, inherited from the directory.
    """

    uid: int
    gid: int
    mode: int
    listed: bool


def born(fd: int) -> Born:
    """Look at a file that was just made."""
    status = os.fstat(fd)
    try:
        listed = not _ACCESS_LISTS.isdisjoint(os.fsencode(name) for name in os.listxattr(fd))
    except OSError:
        listed = False
    return Born(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), listed)


class Metadata:
    """Sets metadata as the options say; usable by several threads.

    Args:
        options: What is put back.
        owners: Translates owners; ``None`` leaves everything to the restoring user.
        shortfalls: Counts what the system refused.
    """

    def __init__(
        self, options: TargetOptions, owners: Owners | None, shortfalls: Shortfalls
    ) -> None:
        self._options = options
        self._owners = owners
        self._shortfalls = shortfalls

    def on_file(self, fd: int, entry: Entry, new: Born) -> None:
        """Set all but the flags of a regular file that is not visible yet.

        Args:
            fd: The file, open for writing.
            entry: What it shall be like.
            new: What it was like when it was made.

        Raises:
            OSError: Its mode or times cannot be set.
        """
        owned = self._owned(os.fchown, fd, entry, (new.uid, new.gid))
        mode = entry.mode & 0o7777
        if mode & _SET_ID:
            mode = self._mode(entry, owned=owned)
        xattrs = entry.extra.xattrs
        if new.listed:
            _drop_foreign(fd, entry)
        if xattrs:
            self._set_xattrs(fd, entry, owned=owned)
        if mode != new.mode or new.listed or xattrs:
            os.fchmod(fd, mode)
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    def on_directory(self, fd: int, entry: Entry) -> None:
        """Set everything about a directory in which nothing will be changed any more.

        Raises:
            OSError: Its mode or times cannot be set.
        """
        status = os.fstat(fd)
        owned = self._owned(os.fchown, fd, entry, (status.st_uid, status.st_gid))
        _drop_foreign(fd, entry)
        if entry.extra.xattrs:
            self._set_xattrs(fd, entry, owned=owned)
        os.fchmod(fd, self._mode(entry, owned=owned))
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        self.set_flags(fd, entry, early=False)

    def on_unopened(self, folder: int, name: bytes, entry: Entry) -> None:
        """Set everything about a link, device, fifo or socket, which is not opened for that.

        Args:
            folder: The directory that holds it.
            name: Its name there.
            entry: What it shall be like.

        Raises:
            OSError: It is gone, or its mode or times cannot be set.
        """
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            status = os.fstat(fd)
            change = partial(_change_owner, name)
            owned = self._owned(change, folder, entry, (status.st_uid, status.st_gid))
            if entry.extra.xattrs:
                self._set_xattrs(b"/proc/self/fd/%d/%s" % (folder, name), entry, owned=owned)
            if not stat.S_ISLNK(status.st_mode):
                os.chmod(b"/proc/self/fd/%d" % fd, self._mode(entry, owned=owned))
            times = (entry.mtime_ns, entry.mtime_ns)
            os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(fd)

    def set_flags(self, fd: int, entry: Entry, *, early: bool) -> None:
        """Set the inode flags of an open entry.

        Args:
            fd: The entry.
            entry: What it shall be like.
            early: Set those that need an empty entry; else the others.
        """
        wanted = entry.extra.flags & WORTH & (EARLY_FLAGS if early else ~EARLY_FLAGS)
        if not wanted:
            return
        word = array("i", [0])
        try:
            ioctl(fd, FS_IOC_GETFLAGS, word, True)  # noqa: FBT003 - fcntl takes it by position only
            word[0] |= wanted
            ioctl(fd, FS_IOC_SETFLAGS, word)
        except OSError as error:
            self._shortfalls.add("inode flags", words_of(error), entry.full_path)

    def _owned(
        self,
        change: Callable[[int, int, int], None],
        fd: int,
        entry: Entry,
        now: tuple[int, int],
    ) -> bool:
        """Give an entry its owner; tell whether it belongs to whom it shall."""
        if self._owners is None:
            return now == (entry.uid, entry.gid)
        wanted = self._owners.local(entry.uid, entry.gid)
        if wanted == now:
            return True
        uid, gid = wanted
        if not (0 <= uid <= _MAX_ID and 0 <= gid <= _MAX_ID):
            self._shortfalls.add("owners", "the number is out of range", entry.full_path)
            return False
        try:
            change(fd, uid, gid)
        except OSError as error:
            if uid != now[0]:  # an ordinary user may still give files to their own groups
                with suppress(OSError):
                    change(fd, -1, gid)
            self._shortfalls.add("owners", words_of(error), entry.full_path)
            return False
        return True

    def _mode(self, entry: Entry, *, owned: bool) -> int:
        mode = stat.S_IMODE(entry.mode)
        if not mode & _SET_ID or stat.S_ISDIR(entry.mode):
            return mode
        if self._options.allow_suid and owned:
            return mode
        why = "the owner is not the same" if self._options.allow_suid else "not asked for"
        self._shortfalls.add("set-user-id and set-group-id bits", why, entry.full_path)
        return mode & ~_SET_ID

    def _set_xattrs(self, place: int | bytes, entry: Entry, *, owned: bool) -> None:
        for name, value in entry.extra.xattrs:
            if name == _CAPABILITY and not (self._options.allow_suid and owned):
                self._shortfalls.add("file capabilities", "not asked for", entry.full_path)
                continue
            try:
                if isinstance(place, int):
                    os.setxattr(place, name, value)
                else:
                    os.setxattr(place, name, value, follow_symlinks=False)
            except (OSError, ValueError) as error:  # ValueError: a NUL in the name
                why = words_of(error) if isinstance(error, OSError) else str(error)
                text = name.decode("utf-8", "backslashreplace")
                self._shortfalls.add(f"extended attribute {text}", why, entry.full_path)


def _drop_foreign(fd: int, entry: Entry) -> None:
    # What was inherited from the directory above, or was there before, is not the snapshot's.
    # Labels of the system's own (security.*, trusted.*) stay: they are this machine's.
    with suppress(OSError):
        kept = {name for name, _ in entry.extra.xattrs}
        for name in map(os.fsencode, os.listxattr(fd)):
            if name not in kept and (name in _ACCESS_LISTS or name.startswith(b"user.")):
                os.removexattr(fd, name)


def _change_owner(name: bytes, folder: int, uid: int, gid: int) -> None:
    os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
