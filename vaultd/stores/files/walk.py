"""The walk over a file tree: which directories are entered, and in which order.

Depth first, parents before children, names ascending, every directory opened relative to its
parent and without following a link. Of a deep path only the lowest levels are held open.
"""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress

from msgspec import Struct, field

from vaultd.core.clock import Clock
from vaultd.core.events import Found, Observer, Problem, ProblemKind
from vaultd.core.tree import Extra, Listing, columns_of, join, part_ends
from vaultd.stores.base import Scanned
from vaultd.stores.files.descriptors import DIRECTORY_FLAGS, WAY_FLAGS, Opener
from vaultd.stores.files.exclude import NOTHING, FolderRules
from vaultd.stores.files.live import live_databases
from vaultd.stores.files.mounts import kernel_devices
from vaultd.stores.files.options import CaptureOptions
from vaultd.stores.files.problems import problem_of, words_of
from vaultd.stores.files.roots import Way, unreadable
from vaultd.stores.files.rows import WIDTH, Rows, stat_names
from vaultd.stores.files.safewalk import PART_PREFIX
from vaultd.stores.files.selection import Selection

MAX_DEPTH = 1024
"""Components of the deepest directory that is entered."""

_HELD_OPEN = 64


class Frame(Struct):
    """A directory of the walk that is not finished yet.

    Attributes:
        path: Its path below ``/``.
        fd: Its descriptor; -1 while closed because the walk is far below it.
        device: Device it lies on.
        ino: Its inode.
        way: What to take of it; ``None`` means everything.
        rule: The exclude rule that decides for it.
        rules: The exclude rules for its entries; ``None`` when there are none.
        pending: Directories in it that are still to be entered, the last one first.
    """

    path: bytes
    fd: int
    device: int
    ino: int
    way: Way | None
    rule: int = NOTHING
    rules: FolderRules | None = None
    pending: list[bytes] = field(default_factory=list)


class Walk:
    """One pass over a tree.

    Args:
        options: What is left out.
        opener: Opens directories.
        clock: Tells which change times are too fresh to be trusted.
        observer: Hears of everything that could not be looked at.

    Attributes:
        uids: Owners seen so far.
        gids: Groups seen so far.
        sparse: Positions in the listing yielded last of files that may have holes.
    """

    def __init__(
        self,
        options: CaptureOptions,
        opener: Opener,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self.uids: set[int] = set()
        self.gids: set[int] = set()
        self.sparse: set[int] = set()
        self._options = options
        self._opener = opener
        self._clock = clock
        self._observer = observer
        self._selection = Selection(options, opener)
        self._stack: list[Frame] = []
        self._kernel: frozenset[int] | None = None

    @property
    def here(self) -> Frame:
        """The directory of the listing yielded last."""
        return self._stack[-1]

    def skip(self, name: bytes) -> None:
        """Do not enter a directory of the listing yielded last: its entry is not stored."""
        with suppress(ValueError):
            self.here.pending.remove(name)

    def close(self) -> None:
        """Close every directory that is still open."""
        while self._stack:
            _close(self._stack.pop())

    def scan(self, way: Way) -> Iterator[Scanned]:
        """Yield every directory part; see `vaultd.stores.base.Capture.scan`.

        Args:
            way: The way from ``/`` to the roots.

        Raises:
            SourceUnreadableError: A root vanished or became unreadable.
        """
        top = _open_top(way)
        self._stack.append(top)
        yield from self._listings(top)
        while self._stack:
            frame = self._stack[-1]
            if not frame.pending:
                self._leave()
                continue
            child = self._enter(frame, frame.pending.pop())
            if child is not None:
                self._stack.append(child)
                self._let_go()
                yield from self._listings(child)

    def _enter(self, parent: Frame, name: bytes) -> Frame | None:
        path = join(parent.path, name)
        way = parent.way.below[name] if parent.way is not None else None
        if path.count(b"/") >= MAX_DEPTH:
            reason = f"directory is more than {MAX_DEPTH} levels deep"
            self._found(Problem(kind=ProblemKind.UNSUPPORTED, path=b"/" + path, reason=reason))
            return None
        passing = way is not None and not way.whole
        try:
            if passing:
                fd = os.open(name, WAY_FLAGS, dir_fd=parent.fd)
            else:
                fd = self._opener.open(name, parent.fd, DIRECTORY_FLAGS)
        except OSError as error:
            if way is not None:
                raise unreadable(b"/" + path, words_of(error)) from error
            self._found(problem_of(error, b"/" + path, "open the directory"))
            return None
        status = os.fstat(fd)
        frame = Frame(path, fd, status.st_dev, status.st_ino, way if passing else None)
        if way is None and parent.rules is not None:
            frame.rule = parent.rules.rule_for(name, directory=True)
        return frame

    def _leave(self) -> None:
        frame = self._stack.pop()
        if self._stack and self._stack[-1].fd < 0:
            self._open_again(self._stack[-1], frame.fd)
        _close(frame)

    def _let_go(self) -> None:
        if len(self._stack) > _HELD_OPEN:
            far = self._stack[-1 - _HELD_OPEN]
            _close(far)

    def _open_again(self, frame: Frame, child: int) -> None:
        if child >= 0:
            with suppress(OSError):
                frame.fd = _same(os.open(b"..", _flags(frame), dir_fd=child), frame)
        if frame.fd < 0:
            with suppress(OSError):
                frame.fd = _same(_open_by_parts(frame), frame)
        if frame.fd < 0 and frame.pending:
            frame.pending.clear()
            reason = "directory was moved away while it was scanned"
            path = b"/" + frame.path
            self._found(Problem(kind=ProblemKind.VANISHED, path=path, reason=reason))

    def _listings(self, frame: Frame) -> Iterator[Scanned]:
        if frame.way is not None:
            yield self._way_listing(frame, frame.way)
            return
        try:
            names = _sorted_names(frame.fd)
            names, doubtful = self._selection.by_name(frame, names)
        except OSError as error:
            self._found(problem_of(error, b"/" + frame.path, "list the directory"))
            return
        if self._options.warn_live_databases:
            for problem in live_databases(frame.fd, frame.path, names):
                self._found(problem)
        start = 0
        for end in part_ends(names):
            yield self._part(frame, names[start:end], doubtful)
            start = end
        frame.pending.reverse()

    def _part(self, frame: Frame, names: list[bytes], doubtful: frozenset[bytes]) -> Scanned:
        started_ns = self._clock.now_ns()
        rows = stat_names(frame.fd, names)
        for name, error in rows.failed:
            self._found(problem_of(error, b"/" + join(frame.path, name), "look at the entry"))
        rows = self._selection.by_status(frame, rows, doubtful)
        for name, device in rows.folders:
            if device == frame.device or self._may_cross(device):
                frame.pending.append(name)
        return self._scanned(frame, rows, started_ns)

    def _way_listing(self, frame: Frame, way: Way) -> Scanned:
        started_ns = self._clock.now_ns()
        rows = stat_names(frame.fd, sorted(way.below))
        for name, error in rows.failed:
            raise unreadable(b"/" + join(frame.path, name), words_of(error)) from error
        folders = {name for name, _ in rows.folders}
        for name in rows.names:
            if name in folders:
                frame.pending.append(name)
            elif not way.below[name].whole:
                raise unreadable(b"/" + join(frame.path, name), "no longer a directory")
        frame.pending.reverse()
        return self._scanned(frame, rows, started_ns)

    def _scanned(self, frame: Frame, rows: Rows, started_ns: int) -> Scanned:
        self.uids.update(rows.numbers[1::WIDTH])
        self.gids.update(rows.numbers[2::WIDTH])
        self.sparse = {rows.position(name) for name in rows.sparse}
        extras = {rows.position(name): Extra(link_group=group) for name, group in rows.linked}
        listing = Listing(frame.path, rows.names, columns_of(rows.numbers), extras)
        return Scanned(listing, rows.racy(started_ns))

    def _may_cross(self, device: int) -> bool:
        if self._options.one_file_system:
            return False
        if self._kernel is None:
            self._kernel = kernel_devices()
        return device not in self._kernel

    def _found(self, problem: Problem) -> None:
        self._observer(Found(problem=problem))


def _sorted_names(fd: int) -> list[bytes]:
    # With a descriptor listdir gives text; by a path under /proc it would touch the access time.
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    names = [name.encode(encoding, errors) for name in os.listdir(fd)]
    names.sort()
    first = bisect_left(names, PART_PREFIX)
    if first < len(names) and names[first].startswith(PART_PREFIX):
        names = [name for name in names if not name.startswith(PART_PREFIX)]
    return names


def _close(frame: Frame) -> None:
    if frame.fd >= 0:
        os.close(frame.fd)
        frame.fd = -1


def _flags(frame: Frame) -> int:
    return DIRECTORY_FLAGS if frame.way is None else WAY_FLAGS


def _same(fd: int, frame: Frame) -> int:
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) == (frame.device, frame.ino):
        return fd
    os.close(fd)
    return -1


def _open_by_parts(frame: Frame) -> int:
    fd = os.open(b"/", WAY_FLAGS)
    parts: Sequence[bytes] = frame.path.split(b"/") if frame.path else []
    for at, part in enumerate(parts, 1):
        try:
            below = os.open(part, WAY_FLAGS if at < len(parts) else _flags(frame), dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _open_top(way: Way) -> Frame:
    try:
        fd = os.open(b"/", DIRECTORY_FLAGS if way.whole else WAY_FLAGS)
    except OSError as error:
        raise unreadable(b"/", words_of(error)) from error
    status = os.fstat(fd)
    return Frame(b"", fd, status.st_dev, status.st_ino, None if way.whole else way)
