"""Reading a file tree: the implementation of `vaultd.stores.base.Capture` for files."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from vaultd.core.clock import Clock
from vaultd.core.events import Found, Observer, Problem, ProblemKind
from vaultd.core.tree import CTIME, INO, MODE, MTIME, SIZE, UID, Extra, Listing, join
from vaultd.stores.base import Scanned, SourceFacts
from vaultd.stores.files.attributes import AttributeReader, may_have_holes, rdev_of, segments_of
from vaultd.stores.files.descriptors import DIRECTORY_FLAGS, FILE_FLAGS, Opener
from vaultd.stores.files.options import CaptureOptions
from vaultd.stores.files.problems import problem_of
from vaultd.stores.files.roots import plan_way
from vaultd.stores.files.rows import link_group, numbers_of
from vaultd.stores.files.walk import Walk

_BATCH = 32
"""Files opened together; the next batch is opened before this one is read."""

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
                extra = self._special(listing, position, mode)
            except OSError as error:
                self.fail(scanned, position, error)
                continue
            if extra is not None:
                listing.extras[position] = extra
            self._report_attributes(scanned, position)

    def open(self, scanned: Scanned, positions: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield (position, descriptor) for regular files and fill in their extras.

        The next files are opened, and their first bytes asked for, while the caller reads.
        """
        extras, sparse = scanned.listing.extras, self._walk.sparse
        is_plain, close = self._reader.is_plain, os.close
        batch: list[tuple[int, int]] = []
        ahead: list[tuple[int, int]] = []
        start = done = 0
        try:
            while ahead or start < len(positions):
                batch, done = ahead, 0
                ahead = self._open_batch(scanned, positions[start : start + _BATCH])
                start += _BATCH
                for position, fd in batch:
                    if position in sparse or position in extras or not is_plain(fd):
                        self._fill(scanned, position, fd)
                        self._report_attributes(scanned, position)
                    yield position, fd
                    done += 1
                    close(fd)
        finally:
            for _, fd in (*batch[done:], *ahead):
                close(fd)

    def settle(self, scanned: Scanned, position: int, fd: int) -> bool:
        """Tell whether a file is still as the listing says, now that it has been read.

        When it is not, the listing and its extras take over what the file looks like now. A file
        that is no regular file any more is dropped.

        Raises:
            OSError: The file can no longer be looked at.
        """
        status = os.fstat(fd)
        stats, count = scanned.listing.stats, len(scanned.listing.names)
        # Whatever changes about a file changes its change time; the rest tells other files apart.
        if (
            status.st_ctime_ns == stats[CTIME * count + position]
            and status.st_mtime_ns == stats[MTIME * count + position]
            and status.st_size == stats[SIZE * count + position]
            and status.st_ino == stats[INO * count + position]
        ):
            return True
        again = self._take_over(scanned, position, fd, status)
        self._report_attributes(scanned, position)
        return not again

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

    def _open_batch(self, scanned: Scanned, positions: Sequence[int]) -> list[tuple[int, int]]:
        """Open files and have the kernel fetch their beginnings; drop what cannot be opened."""
        listing, folder = scanned.listing, self._walk.here.fd
        names, stats = listing.names, listing.stats
        owners, sizes = UID * len(names), SIZE * len(names)
        open_file, flags = os.open, self._opener.flags_to_try
        advise, willneed = os.posix_fadvise, os.POSIX_FADV_WILLNEED
        opened = []
        for position in positions:
            try:
                fd = open_file(names[position], flags, dir_fd=folder)
            except OSError:
                try:
                    fd = self._opener.open(
                        names[position], folder, FILE_FLAGS, stats[owners + position]
                    )
                except OSError as error:
                    self.fail(scanned, position, error)
                    continue
            opened.append((position, fd))
            size = stats[sizes + position]
            if size:
                try:  # noqa: SIM105 - a context manager costs more than the call
                    advise(fd, 0, min(size, _PREFETCH_BYTES), willneed)
                except OSError:
                    pass  # it is only advice
        return opened

    def _fill(self, scanned: Scanned, position: int, fd: int) -> None:
        """Fill in what an open file has beyond its stat row."""
        extras = scanned.listing.extras
        extra = self._reader.fill(fd, self._walk.here.device, extras.get(position))
        if extra is not None:
            extras[position] = extra
        status = os.fstat(fd)
        if may_have_holes(status, extra):
            segments = segments_of(fd, status.st_size)
            if segments is not None:
                extras.setdefault(position, Extra()).segments = segments

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
        if may_have_holes(status, extra):
            extra.segments = segments_of(fd, status.st_size)
        listing.extras.pop(position, None)
        if not extra.is_empty():
            listing.extras[position] = extra
        return True

    def _report_attributes(self, scanned: Scanned, position: int) -> None:
        """Report attributes that could not be read: the entry is stored without them."""
        error, self._reader.error = self._reader.error, None
        if error is not None:
            path = _path_of(scanned, position)
            problem = problem_of(error, path, "read all attributes of the entry")
            self._observer(Found(problem=problem))

    def _special(self, listing: Listing, position: int, mode: int) -> Extra | None:
        here, name = self._walk.here, listing.names[position]
        if stat.S_ISDIR(mode):
            return self._directory(name)
        extra = listing.extras.get(position, Extra())
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
