"""From a committed snapshot back to files: plan, execute, report, verify."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct, field

from vaultd.compression import Decompressor
from vaultd.core.clock import Clock
from vaultd.core.entry import Entry
from vaultd.core.errors import (
    ConfigError,
    IntegrityError,
    NoSpaceError,
    TargetNotEmptyError,
)
from vaultd.core.events import (
    Event,
    Found,
    Note,
    Observer,
    PhaseStarted,
    Problem,
    ProblemKind,
)
from vaultd.core.tree import is_regular
from vaultd.core.units import format_size
from vaultd.pipeline.browse import pieces_of
from vaultd.pipeline.distribute import Distributor
from vaultd.pipeline.reporting import Progress
from vaultd.pipeline.select import Part, Selection, Selector
from vaultd.pipeline.workers import Crew, bulk_work
from vaultd.stores.base import Destination, OwnerNames, Target, TargetFolder
from vaultd.vault.reader import SnapshotReader

MARKER = ".vaultd-part-restore"
"""Lies in the target while a restore is not finished, and says of which snapshot."""


class RestoreRequest(Struct, frozen=True, kw_only=True):
    """What to restore, where, and how.

    Attributes:
        destination: Where, and the rules for it.
        selection: What to take.
        verify: Read everything back and compare it with the vault.
        workers: Threads that fetch, open and write.
    """

    destination: Destination
    selection: Selection = field(default_factory=Selection)
    verify: bool = False
    workers: int = 2


class RestoreReport(Struct, frozen=True, kw_only=True):
    """What a restore did.

    Attributes:
        data: Bytes written.
        tally: The target's own numbers.
        problems: Entries that are not as they should be; empty means complete.
        warnings: Entries that deserve a look.
        resumed: It went on where an interrupted restore of the same snapshot had ended.
        verified: Everything was read back and compared.
        elapsed_s: Wall-clock seconds.
    """

    data: int
    tally: object
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    resumed: bool
    verified: bool
    elapsed_s: float


def execute_restore(
    reader: SnapshotReader, request: RestoreRequest, clock: Clock, observer: Observer
) -> RestoreReport:
    """Restore what is selected; what is damaged is left out and reported.

    A restore that was killed is resumed by running it again: finished files are kept.

    Raises:
        ConfigError: Nothing is selected, or options contradict each other.
        TargetNotEmptyError: The target holds something, and nothing was said about it.
        NoSpaceError: The target is too small or has become full.
        StorageError: The vault does not answer.
    """
    check_request(request, reader)
    return _Restore(reader, request, clock, observer).run()


class _Restore:
    """One restore: the walk on this thread, fetching and writing on others."""

    def __init__(
        self, reader: SnapshotReader, request: RestoreRequest, clock: Clock, observer: Observer
    ) -> None:
        self._reader = reader
        self._request = request
        self._clock = clock
        self._observer = observer
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._entries = 0
        self._deletes = request.destination.deletes

    def run(self) -> RestoreReport:
        began = self._clock.monotonic_s()
        request, names = self._request, owner_names(self._reader)
        marker = _Marker(request, self._reader)
        resume = marker.is_mine()
        if resume:
            self._observer(
                Note(text="going on with an interrupted restore: finished files are kept")
            )
        elif not request.destination.overwrites:
            self._check_room()
        counts = self._reader.snapshot.counts
        if counts.problems:
            text = (
                f"the snapshot is incomplete: {counts.problems} entries could not be captured "
                "as they were when it was made"
            )
            self._observer(Note(text=text, warning=True))
        whole = request.selection.is_everything
        self._observer(
            PhaseStarted(
                name="restore", files=counts.files if whole else 0, data=counts.data if whole else 0
            )
        )
        with request.destination.open(names, self._observe, resume=resume) as target:
            if not resume:
                # What is there must not be lost for a moment: a process may die at any.
                marker.put()
            written = self._fill(target)
            tally = target.finish()
        if request.verify:
            self._observer(
                PhaseStarted(name="verify", files=counts.files if whole else 0, data=written)
            )
            with request.destination.compare(names, self._observe) as comparison:
                self._fill(comparison)
        marker.remove()
        return RestoreReport(
            data=written,
            tally=tally,
            problems=tuple(self._problems),
            warnings=tuple(self._warnings),
            resumed=resume,
            verified=request.verify,
            elapsed_s=self._clock.monotonic_s() - began,
        )

    def _observe(self, event: Event) -> None:
        if isinstance(event, Found):
            (self._warnings if event.problem.warning else self._problems).append(event.problem)
        self._observer(event)

    def _check_room(self) -> None:
        if not self._request.selection.is_everything:
            return
        free, needed = free_bytes(self._request.destination.path), self._reader.snapshot.counts.data
        if needed > free:
            raise NoSpaceError(
                f"restore target {self._request.destination.path}: {format_size(free)} free, "
                f"the snapshot holds {format_size(needed)}",
                hint="Choose a larger file system, or restore a part with --include.",
            )

    def _fill(self, target: Target) -> int:
        """Hand everything selected to a target; return the bytes of file contents."""
        progress = Progress(self._clock, self._observer)
        extras = _Extras()
        decompressor = Decompressor()
        with (
            bulk_work(),
            Crew("restore", self._request.workers, 2, Decompressor) as crew,
        ):
            distributor = Distributor(self._reader, crew)
            for part in Selector(self._reader, self._request.selection, self._damaged).parts():
                folder = target.folder(part.path)
                if folder is None:
                    continue
                if self._deletes:
                    extras.see(part.path, folder, part.names)
                self._put(part, folder, distributor, decompressor)
                done = distributor.written
                progress.report(self._entries, done, done, part.path)
            if self._deletes:
                extras.end()
            distributor.finish()
            progress.finish(self._entries, distributor.written, distributor.written)
        return distributor.written

    def _damaged(self, error: IntegrityError) -> None:
        """Report a part of the tree that cannot be read: what it listed cannot be restored."""
        # Nor is it known any more what the snapshot does not have.
        self._deletes = False
        problem = Problem(kind=ProblemKind.DAMAGED, path=b"", reason=error.message)
        self._observe(Found(problem=problem))

    def _put(
        self, part: Part, folder: TargetFolder, distributor: Distributor, decompressor: Decompressor
    ) -> None:
        for stored in part.entries:
            entry = stored.entry
            self._entries += 1
            if not is_regular(entry.mode):
                folder.add(entry)
                continue
            try:
                pieces = pieces_of(stored, self._reader.extents(stored.content, decompressor))
            except IntegrityError as error:
                problem = Problem(
                    kind=ProblemKind.DAMAGED, path=entry.full_path, reason=error.message
                )
                self._observe(Found(problem=problem))
                continue
            file = folder.begin_file(entry, len(pieces))
            if file is not None:
                distributor.add(file, pieces)


class _Extras:
    """Removes what a snapshot's directories do not have, once all names of one are known."""

    def __init__(self) -> None:
        self._path: bytes | None = None
        self._folder: TargetFolder | None = None
        self._names: list[bytes] = []

    def see(self, path: bytes, folder: TargetFolder, names: list[bytes]) -> None:
        """Take the names of one part of a directory."""
        if path != self._path:
            self.end()
            self._path, self._folder, self._names = path, folder, []
        self._names += names

    def end(self) -> None:
        """Remove what the directory seen last has beyond its names."""
        if self._folder is None:
            return
        for name in self._folder.surplus(self._names):
            self._folder.remove(name)


class _Marker:
    """A file in the target that says which restore is under way there."""

    def __init__(self, request: RestoreRequest, reader: SnapshotReader) -> None:
        self._path = request.destination.path / MARKER
        selection = request.selection
        self._text = f"{reader.snapshot.id} {selection!r}\n"
        self._is_needed = not request.destination.overwrites

    def is_mine(self) -> bool:
        """Tell whether an interrupted restore of the same selection has left its marker.

        Raises:
            TargetNotEmptyError: Another restore was interrupted here.
        """
        if not self._is_needed:
            return False
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            # Not there, or a link: somebody else's.
            return False
        with os.fdopen(fd, encoding="utf-8", errors="surrogateescape") as file:
            found = file.read()
        if not found:
            # A process died between making the marker and writing it: nothing else is there yet.
            return False
        if found != self._text:
            raise TargetNotEmptyError(
                f"restore target {self._path.parent}: "
                f"an interrupted restore of snapshot {found[:8]} lies here",
                hint="Finish that restore, or choose another target.",
            )
        return True

    def put(self) -> None:
        """Leave the marker."""
        if self._is_needed:
            # Whatever has its name goes: what a link there points to must not be overwritten.
            self._path.unlink(missing_ok=True)
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(self._text)

    def remove(self) -> None:
        """Take the marker away: the restore is complete, as far as it could be."""
        if self._is_needed:
            self._path.unlink(missing_ok=True)


def check_request(request: RestoreRequest, reader: SnapshotReader) -> None:
    """Refuse what contradicts itself, or would delete what the snapshot failed to capture.

    Raises:
        ConfigError: It does.
    """
    missing = reader.snapshot.counts.problems
    if request.destination.deletes and missing:
        raise ConfigError(
            f"snapshot {reader.snapshot.short_id} is incomplete: {missing} entries could not be "
            "captured as they were, and deleting what it does not have would delete them",
            hint="Leave --delete out, or restore a complete snapshot.",
        )
    if request.destination.deletes and not request.destination.overwrites:
        raise ConfigError(
            "deleting what the snapshot does not have needs a rule for what it has",
            hint="Add --overwrite always (or if-changed) to --delete.",
        )
    if request.destination.deletes and (request.selection.include or request.selection.exclude):
        raise ConfigError(
            "deleting cannot be combined with a selection: what is not selected would be deleted",
            hint="Restore a whole directory with ID:DIR, or leave --delete out.",
        )


def owner_names(reader: SnapshotReader) -> OwnerNames:
    """Return the names of the owners in a snapshot."""
    return OwnerNames(users=reader.meta.users, groups=reader.meta.groups)


def data_bytes(entry: Entry) -> int:
    """Return how many bytes of a file are data, and not holes."""
    segments = entry.extra.segments
    return entry.size if segments is None else sum(length for _, length in segments)


def free_bytes(path: Path) -> int:
    """Return what is free on the file system where a path lies or would lie."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
