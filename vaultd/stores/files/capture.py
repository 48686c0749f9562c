"""Reading a file tree: the implementation of `vaultd.stores.base.Capture` for files."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from vaultd.core.clock import Clock
from vaultd.core.events import Found, Observer, Problem, ProblemKind
from vaultd.core.tree import MODE, SIZE, UID, Extra, join
from vaultd.stores.base import Scanned, SourceFacts
from vaultd.stores.files.attributes import AttributeReader, rdev_of, segments_of
from vaultd.stores.files.descriptors import DIRECTORY_FLAGS, FILE_FLAGS, Opener
from vaultd.stores.files.options import CaptureOptions
from vaultd.stores.files.problems import problem_of
from vaultd.stores.files.roots import plan_way
from vaultd.stores.files.rows import link_group, numbers_of
from vaultd.stores.files.walk import Walk

_LOOK_AHEAD = 64
_PREFETCH_BYTES = 1 << 20  # beyond this the kernel's own read-ahead has begun


class FilesCapture:
    """One pass over the files below some roots, used by one thread; a context manager.

    Args:
        roots: Absolute paths. One that leads through symbolic links is captured where it really
            lies, and the links on the way come along as entries. Roots that lie within others
            are merged with them.
        options: What to leave out and to take along.
        clock: Tells which change times are too fresh to be trusted.
        observer: Hears of every entry that is left out against its will.

    Raises:
        ConfigError: An exclude pattern cannot be understood.
    """

    def __init__(
        self,
        roots: Sequence[bytes],
        options: CaptureOptions,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._asked = tuple(roots)
        self._roots: tuple[bytes, ...] = ()
        self._options = options
        self._observer = observer
        self._opener = Opener()
        self._reader = AttributeReader(options)
        self._walk = Walk(options, self._opener, clock, observer)

    def __enter__(self) -> Self:
        """Return the capture itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every directory that is still open."""
        self._walk.close()

    def scan(self) -> Iterator[Scanned]:
        """Yield every directory part, parents before children, names ascending.

        Raises:
            SourceUnreadableError: A root is missing or cannot be read.
        """
        way, self._roots = plan_way(self._asked)
        return self._walk.scan(way)

    def complete(self, scanned: Scanned, positions: Sequence[int]) -> None:
        """Fill in the extras of entries that are not regular files."""
        listing = scanned.listing
        for position in positions:
            mode = listing.get(MODE, position)
            try:
                extra = self._special(listing.names[position], mode)
            except OSError as error:
                self.fail(scanned, position, error)
                continue
            if extra is not None:
                listing.extras[position] = extra

    def open(self, scanned: Scanned, positions: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield (position, descriptor) for regular files and fill in their extras.

        The next files are opened, and their first bytes asked for, while the caller reads.
        """
        listing = scanned.listing
        extras = listing.extras
        device = self._walk.here.device
        fill, close = self._reader.fill, os.close
        sparse = self._walk.sparse
        ready: deque[tuple[int, int]] = deque()
        start = 0
        try:
            while start < len(positions) or ready:
                if len(ready) <= _LOOK_AHEAD // 2 and start < len(positions):
                    self._open_ahead(scanned, positions[start : start + _LOOK_AHEAD // 2], ready)
                    start += _LOOK_AHEAD // 2
                    continue
                position, fd = ready[0]
                extra = fill(fd, device, extras.get(position))
                if extra is not None:
                    extras[position] = extra
                if position in sparse:
                    segments = segments_of(fd, os.fstat(fd))
                    if segments is not None:
                        extras.setdefault(position, Extra()).segments = segments
                yield position, fd
                ready.popleft()
                close(fd)
        finally:
            for _, fd in ready:
                close(fd)

    def settle(self, scanned: Scanned, position: int, fd: int) -> bool:
        """Tell whether a file is still as the listing says, now that it has been read.

        When it is not, the listing and its extras take over what the file looks like now. A file
        that is no regular file any more is dropped.

        Raises:
            OSError: The file can no longer be looked at.
        """
        status = os.fstat(fd)
        listing = scanned.listing
        found = [
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
        ]
        if listing.stats[position :: len(listing.names)].tolist() == found:
            return True
        return not self._take_over(scanned, position, fd, status)

    def flag_changed(self, scanned: Scanned, position: int) -> None:
        """Mark a file that changed at every try: it is stored, flagged and reported."""
        extras = scanned.listing.extras
        extras.setdefault(position, Extra()).changed = True
        scanned.racy.add(position)
        reason = "file changed each time it was read; what is stored may mix old and new contents"
        self._found(ProblemKind.CHANGED, scanned, position, reason)

    def fail(self, scanned: Scanned, position: int, error: OSError) -> None:
        """Drop an entry that could not be read, and report why."""
        scanned.dropped.add(position)
        if stat.S_ISDIR(scanned.listing.get(MODE, position)):
            self._walk.skip(scanned.listing.names[position])
        problem = problem_of(error, _path_of(scanned, position), "read the entry")
        self._observer(Found(problem=problem))

    def facts(self) -> SourceFacts:
        """Return what is known once the scan has ended."""
        return SourceFacts(
            roots=self._roots,
            hostname=self._options.hostname,
            users=_names(self._walk.uids, lambda uid: pwd.getpwuid(uid).pw_name),
            groups=_names(self._walk.gids, lambda gid: grp.getgrgid(gid).gr_name),
        )

    def _open_ahead(
        self, scanned: Scanned, positions: Sequence[int], ready: deque[tuple[int, int]]
    ) -> None:
        listing = scanned.listing
        names = listing.names
        folder = self._walk.here.fd
        owners, sizes = listing.column(UID), listing.column(SIZE)
        open_file, advise = self._opener.open, os.posix_fadvise
        for position in positions:
            try:
                fd = open_file(names[position], folder, FILE_FLAGS, owners[position])
            except OSError as error:
                self.fail(scanned, position, error)
                continue
            ready.append((position, fd))
            size = sizes[position]
            if size:
                with suppress(OSError):  # only advice
                    advise(fd, 0, min(size, _PREFETCH_BYTES), os.POSIX_FADV_WILLNEED)

    def _take_over(self, scanned: Scanned, position: int, fd: int, status: os.stat_result) -> bool:
        """Put what a file looks like now into the listing; tell whether it must be read again."""
        if not stat.S_ISREG(status.st_mode):
            scanned.dropped.add(position)
            reason = "file was replaced by something that is not a regular file"
            self._found(ProblemKind.VANISHED, scanned, position, reason)
            return False
        listing = scanned.listing
        count = len(listing.names)
        numbers = array("q", numbers_of(status))
        if listing.stats[position::count] == numbers:
            return False
        listing.stats[position::count] = numbers
        scanned.racy.add(position)
        extra = Extra()
        if status.st_nlink > 1:
            extra.link_group = link_group(status.st_dev, status.st_ino)
        self._reader.fill(fd, status.st_dev, extra)
        extra.segments = segments_of(fd, status)
        listing.extras.pop(position, None)
        if not extra.is_empty():
            listing.extras[position] = extra
        return True

    def _special(self, name: bytes, mode: int) -> Extra | None:
        here = self._walk.here
        if stat.S_ISDIR(mode):
            return self._directory(name)
        extra = Extra()
        if stat.S_ISLNK(mode):
            extra.link_target = os.readlink(name, dir_fd=here.fd)
        else:
            status = os.stat(name, dir_fd=here.fd, follow_symlinks=False)
            if stat.S_IFMT(status.st_mode) != stat.S_IFMT(mode):
                raise OSError(errno.ENOENT, "replaced")
            extra.rdev = rdev_of(status)
        self._reader.fill_unopened(_way_to(here.fd, name), here.device, extra)
        return None if extra.is_empty() else extra

    def _directory(self, name: bytes) -> Extra | None:
        here = self._walk.here
        try:
            fd = self._opener.open(name, here.fd, DIRECTORY_FLAGS)
        except PermissionError:
            # That it cannot be entered is reported when the walk tries; attributes may be readable.
            return self._reader.fill_unopened(_way_to(here.fd, name), here.device, None)
        try:
            return self._reader.fill(fd, os.fstat(fd).st_dev, None)
        finally:
            os.close(fd)

    def _found(self, kind: ProblemKind, scanned: Scanned, position: int, reason: str) -> None:
        path = _path_of(scanned, position)
        self._observer(Found(problem=Problem(kind=kind, path=path, reason=reason)))


def _path_of(scanned: Scanned, position: int) -> bytes:
    return b"/" + join(scanned.listing.path, scanned.listing.names[position])


def _way_to(folder: int, name: bytes) -> bytes:
    # There is no call that takes a directory and a name for attributes in Linux before 6.13.
    return b"/proc/self/fd/%d/%s" % (folder, name)


def _names(numbers: Iterable[int], look_up: Callable[[int], str]) -> dict[int, str]:
    found = {}
    for number in sorted(numbers):
        with suppress(KeyError):
            found[number] = look_up(number)
    return found
