"""Capturing and restoring files in tests: a capture as values, and those values put back."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vaultd.core.clock import Clock, SystemClock
from vaultd.core.entry import NO_EXTRA, Entry
from vaultd.core.events import Event, Found, Problem
from vaultd.core.tree import COLUMNS, MODE, Listing, is_regular, join
from vaultd.stores.base import Scanned, SourceFacts
from vaultd.stores.files.capture import FilesCapture
from vaultd.stores.files.options import CaptureOptions, TargetOptions
from vaultd.stores.files.site import Tally
from vaultd.stores.files.target import FilesTarget

NOBODY = 65534


class StoodClock(SystemClock):
    """A clock that shows one wall-clock time."""

    def __init__(self, ns: int) -> None:
        self._ns = ns

    def now_ns(self) -> int:
        return self._ns


class Heard:
    """An observer that keeps the problems it hears of."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, Found)
        self.problems.append(event.problem)

    @property
    def kinds(self) -> list[tuple[str, bytes]]:
        """Kind and path of each problem."""
        return [(str(problem.kind), problem.path) for problem in self.problems]


@dataclass
class Taken:
    """Everything that one capture gave."""

    listings: list[Listing] = field(default_factory=list)
    scans: list[Scanned] = field(default_factory=list)
    contents: dict[bytes, bytes] = field(default_factory=dict)
    heard: Heard = field(default_factory=Heard)
    facts: SourceFacts | None = None

    @property
    def paths(self) -> list[bytes]:
        """Paths of all entries that are stored, in the order of the scan."""
        return [entry.full_path for entry in self.entries()]

    def below(self, root: Path | bytes) -> set[str]:
        """Paths of the entries below a directory, relative to it, as text."""
        start = os.fsencode(root).lstrip(b"/") + b"/"
        return {os.fsdecode(path[len(start) :]) for path in self.paths if path.startswith(start)}

    def entries(self) -> Iterator[Entry]:
        """Entries as the pipeline would store them."""
        for scanned in self.scans:
            one = scanned.listing
            for at, name in enumerate(one.names):
                if at not in scanned.dropped:
                    mode, uid, gid, size, mtime_ns, _, _ = one.stats[at :: len(one.names)]
                    extra = one.extras.get(at, NO_EXTRA)
                    yield Entry(one.path, name, mode, uid, gid, size, mtime_ns, extra)


def take(
    *roots: Path | bytes,
    options: CaptureOptions | None = None,
    clock: Clock | None = None,
    before_open: Callable[[Listing], None] | None = None,
) -> Taken:
    """Capture roots with everything in them, contents included."""
    taken = Taken()
    wanted = [os.fsencode(root) for root in roots]
    with FilesCapture(
        wanted, options or CaptureOptions(), clock or SystemClock(), taken.heard
    ) as capture:
        for scanned in capture.scan():
            one = scanned.listing
            taken.listings.append(one)
            taken.scans.append(scanned)
            if before_open is not None:
                before_open(one)
            regular = [at for at, mode in enumerate(one.column(MODE)) if is_regular(mode)]
            capture.complete(scanned, sorted(set(range(len(one.names))) - set(regular)))
            for position, fd in capture.open(scanned, regular):
                with open(fd, "rb", closefd=False) as file:
                    taken.contents[join(one.path, one.names[position])] = file.read()
                assert capture.settle(scanned, position, fd)
        taken.facts = capture.facts()
    return taken


Order = Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]


def put(
    taken: Taken,
    root: Path | bytes,
    target: Path,
    options: TargetOptions | None = None,
    order: Order = lambda pieces: pieces,
) -> tuple[Tally, Heard]:
    """Restore what was below ``root`` into ``target``."""
    heard = Heard()
    top = os.fsencode(root).lstrip(b"/")
    with FilesTarget(target, options or TargetOptions(), heard) as place:
        entries = list(taken.entries())
        for listing in taken.listings:
            path = relative(listing.path, top)
            folder = place.folder(path) if path is not None else None
            for entry in entries if folder is not None else ():
                if entry.path != listing.path or entry.name not in listing.names:
                    continue
                contents = taken.contents.get(entry.full_path, b"")
                entry.path = path or b""
                assert folder is not None
                if not stat.S_ISREG(entry.mode):
                    folder.add(entry)
                    continue
                pieces = order(pieces_of(entry, contents))
                pending = folder.begin_file(entry, len(pieces))
                for offset, piece in pieces if pending is not None else ():
                    assert pending is not None
                    pending.write(offset, piece)
        tally = place.finish()
    return tally, heard


def pieces_of(entry: Entry, contents: bytes, cut: int = 1 << 16) -> list[tuple[int, bytes]]:
    """Cut the data of a file, not its holes, into pieces."""
    segments = entry.extra.segments
    if segments is None:
        segments = ((0, len(contents)),) if contents else ()
    return [
        (at, contents[at : min(at + cut, offset + length)])
        for offset, length in segments
        for at in range(offset, offset + length, cut)
    ]


def relative(path: bytes, top: bytes) -> bytes | None:
    """Return a path below ``top``, or ``None`` when it does not lie there."""
    if path == top:
        return b""
    return path[len(top) + 1 :] if path.startswith(top + b"/") else None


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Let the tests go on without the rights of root, where they have them."""
    if os.geteuid() != 0:
        yield
        return
    group = os.getegid()
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def row(listing: Listing, name: bytes) -> Sequence[int]:
    """Return the stat row of an entry, in the order of `COLUMNS`."""
    at = listing.names.index(name)
    return [listing.get(which, at) for which in range(len(COLUMNS))]
