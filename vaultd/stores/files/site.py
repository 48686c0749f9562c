"""What all parts of one restore share: descriptors, rules, counts, and the end of directories."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from threading import Lock
from typing import Protocol

from msgspec import Struct

from vaultd.core.entry import Entry
from vaultd.core.errors import NoSpaceError, TargetError
from vaultd.core.events import Found, Observer, Problem, ProblemKind
from vaultd.stores.files.descriptors import FILE_FLAGS
from vaultd.stores.files.links import Links, Made, made_of
from vaultd.stores.files.metadata import Born, Metadata, born
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.stores.files.overwrite import Judge, owners_of
from vaultd.stores.files.place import Place
from vaultd.stores.files.pool import DescriptorPool
from vaultd.stores.files.problems import problem_of
from vaultd.stores.files.safewalk import (
    PART_PREFIX,
    InTheWayError,
    discard,
    make_directory,
    open_beneath,
    remove_entry,
    safe_parts,
)
from vaultd.stores.files.shortfalls import Shortfalls

FILE_PREFIX = PART_PREFIX + b"="
"""Beginning of the names of unfinished entries; what else is reserved belongs to the pipeline."""

_PLAIN_BYTES = 200  # a longer name has no room for the prefix
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_OCCUPIED = frozenset({errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST})


class Tally(Struct):
    """What a restore has done so far.

    Attributes:
        files: Regular files written.
        links: Further names of files.
        others: Symbolic links, devices, fifos, sockets.
        directories: Directories made or entered.
        kept: Entries left as they were, as the overwrite rule says.
        failed: Entries that could not be restored.
        removed: Entries removed because the snapshot does not have them.
    """

    files: int = 0
    links: int = 0
    others: int = 0
    directories: int = 0
    kept: int = 0
    failed: int = 0
    removed: int = 0


class Unfinished(Protocol):
    """A file that is being written."""

    def discard(self) -> bool:
        """Give it up and remove what was written; tell whether it was still unfinished."""


class Site:
    """The shared state of one restore; usable by several threads.

    Args:
        root: The target itself, opened and pinned.
        pool: Holds descriptors; ``root`` is in it.
        options: How to restore.
        observer: Hears of everything that could not be restored.

    Raises:
        ConfigError: An owner map names a user or group that is not known here.
    """

    def __init__(
        self, root: Place, pool: DescriptorPool, options: TargetOptions, observer: Observer
    ) -> None:
        self.root = root
        self.pool = pool
        self.options = options
        self.lock = Lock()
        self.tally = Tally()
        self.links = Links()
        self.places: dict[bytes, Place] = {b"": root}
        self.unfinished: set[Unfinished] = set()
        self.shortfalls = Shortfalls(observer)
        owners = owners_of(options)
        self.metadata = Metadata(options, owners, self.shortfalls)
        self.judge = Judge(options, owners, os.geteuid() == 0)
        self._observer = observer
        self._late: list[Entry] = []

    def count(self, what: str, more: int = 1) -> None:
        """Add to one number of the tally."""
        with self.lock:
            setattr(self.tally, what, getattr(self.tally, what) + more)

    def found(self, kind: ProblemKind, path: bytes, reason: str) -> None:
        """Report an entry that is not restored, and count it."""
        self.count("failed")
        self._observer(Found(problem=Problem(kind=kind, path=path, reason=reason)))

    def failed(self, error: OSError, path: bytes, doing: str) -> None:
        """Report an entry that the system did not let us restore.

        Raises:
            NoSpaceError: The target is full; going on makes no sense.
            TargetError: The target is read-only.
        """
        if error.errno in _FULL:
            raise NoSpaceError(
                f"restore target is full: cannot {doing} {os.fsdecode(path)}",
                hint="Free some space and start the restore again with --overwrite if-changed.",
            ) from error
        if error.errno == errno.EROFS:
            raise TargetError(
                f"restore target is read-only: cannot {doing} {os.fsdecode(path)}"
            ) from error
        self.count("failed")
        self._observer(Found(problem=problem_of(error, path, doing)))

    def hold(self, place: Place) -> None:
        """Keep a directory from being finished, or have it finished once more."""
        step: Place | None = place
        with self.lock:
            while step is not None:
                step.refs += 1
                if step.refs > 1:
                    return
                self.places.setdefault(step.path, step)
                step = step.parent

    def let_go(self, place: Place | None, files: int = 0) -> None:
        """Give back one hold; the last one finishes the directory, and perhaps those above it.

        Args:
            place: The directory.
            files: How many more files are finished; counted here to take the lock only once.
        """
        while place is not None:
            with self.lock:
                self.tally.files += files
                files = 0
                place.refs -= 1
                if place.refs:
                    return
                if self.places.get(place.path) is place:
                    del self.places[place.path]
            self._finish(place)
            place = place.parent

    def enter(self, place: Place) -> bool:
        """Make or open a directory and those above it; tell whether it can be used."""
        new: list[Place] = []
        step: Place | None = place
        while step is not None and step.identity is None and not step.blocked:
            new.append(step)
            step = step.parent
        for one in reversed(new):
            parent = one.parent or self.root
            if parent.blocked:
                one.blocked = True
            else:
                self._make(one, parent)
        return not place.blocked

    def born_in(self, place: Place, fd: int) -> Born:
        """Return what a new file in a directory is like, given one."""
        if place.born is None:
            place.born = born(fd)
        return place.born

    def into_place(self, folder: int, part: bytes, name: bytes) -> None:
        """Give a finished entry its name, in the place of what has it now.

        Args:
            folder: The directory.
            part: Its name until now.
            name: Its name.

        Raises:
            InTheWayError: A directory that is not empty has the name.
            OSError: It cannot be renamed.
        """
        try:
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in _OCCUPIED:
                raise
            self._clear(folder, name)
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)

    def link(self, made: Made, place: Place, entry: Entry) -> None:
        """Make one more name of a file that this restore made."""
        part = part_name(entry.name)
        try:
            source = open_beneath(self.root.fd, made.path.split(b"/") if made.path else [])
            try:
                folder = self.pool.acquire(place)
                try:
                    discard(folder, part)
                    os.link(
                        made.name,
                        part,
                        src_dir_fd=source,
                        dst_dir_fd=folder,
                        follow_symlinks=False,
                    )
                    status = os.stat(part, dir_fd=folder, follow_symlinks=False)
                    if made_of(status, made.path, made.name) != made:
                        discard(folder, part)
                        raise OSError(errno.ESTALE, "replaced")
                    self.into_place(folder, part, entry.name)
                    discard(folder, part)  # a rename between two names of one file does nothing
                finally:
                    self.pool.release(place)
            finally:
                os.close(source)
        except OSError as error:
            self.failed(error, entry.full_path, "link the file")
        else:
            self.count("links")

    def set_flags(self, fd: int, entry: Entry) -> None:
        """Set the flags of a finished file; those that forbid further links wait for the end."""
        if entry.extra.link_group:
            with self.lock:
                self._late.append(entry)
        else:
            self.metadata.set_flags(fd, entry, early=False)

    def end(self) -> None:
        """Set what waited for the end of the restore, and report what was only counted."""
        late, self._late = self._late, []
        for entry in late:
            try:
                folder = open_beneath(self.root.fd, safe_parts(entry.path) or [])
                try:
                    fd = os.open(entry.name, FILE_FLAGS, dir_fd=folder)
                finally:
                    os.close(folder)
            except OSError as error:
                self.failed(error, entry.full_path, "open the file")
                continue
            self.metadata.set_flags(fd, entry, early=False)
            os.close(fd)
        self.shortfalls.report()

    def _clear(self, folder: int, name: bytes) -> None:
        if self.options.delete:
            remove_entry(folder, name)
            return
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            reason = "a directory that is not empty is in the way"
            raise InTheWayError(errno.EACCES, reason) from error

    def _make(self, place: Place, parent: Place) -> None:
        entry = place.entry

        def may_replace(there: os.stat_result) -> bool:
            return entry is None or self.judge.replaces(entry, there)

        try:
            folder = self.pool.acquire(parent)
            try:
                fd, place.fresh = make_directory(folder, place.name, may_replace)
            finally:
                self.pool.release(parent)
        except OSError as error:
            place.blocked = True
            self.failed(error, place.path, "make the directory")
        else:
            self._adopt(place, fd)

    def _adopt(self, place: Place, fd: int) -> None:
        status = os.fstat(fd)
        place.identity = (status.st_dev, status.st_ino)
        self.pool.adopt(place, fd)
        self.count("directories")
        if not place.fresh and self.options.overwrite is Overwrite.NEVER:
            place.entry = None
        mode = stat.S_IMODE(status.st_mode)
        if place.fresh and place.entry is not None:
            self.metadata.set_flags(fd, place.entry, early=True)
        elif mode & stat.S_IRWXU != stat.S_IRWXU and status.st_uid == os.geteuid():
            os.fchmod(fd, mode | stat.S_IRWXU)
            place.mode_before = mode

    def _finish(self, place: Place) -> None:
        if place is self.root or not self.enter(place):
            return
        try:
            fd = self.pool.acquire(place)
            try:
                if place.entry is not None:
                    self.metadata.on_directory(fd, place.entry)
                elif place.mode_before >= 0:
                    os.fchmod(fd, place.mode_before)
            finally:
                self.pool.release(place)
        except OSError as error:
            self.failed(error, place.path, "set the metadata of the directory")
        self.pool.close(place)


def part_name(name: bytes) -> bytes:
    """Return the name that an entry has in its directory until it is finished.

    It is the same in every run, so what an interrupted run left behind is found and replaced.
    """
    if len(name) <= _PLAIN_BYTES:
        return FILE_PREFIX + name
    digest = hashlib.blake2b(name, digest_size=12).hexdigest()
    return b"%s%s~%s" % (FILE_PREFIX, name[:_PLAIN_BYTES], digest.encode())
