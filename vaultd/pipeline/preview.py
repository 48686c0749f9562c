"""What a backup would read, without reading it: a scan beside the tree of the last snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from msgspec import Struct

from vaultd.core.errors import IntegrityError, KeyringError, ObjectNotFoundError
from vaultd.core.events import Advanced, Event, Found, PhaseStarted, Problem
from vaultd.core.snapshot import Counts, Kind
from vaultd.core.tree import MODE, SIZE, is_regular, join
from vaultd.format.session import RootBody
from vaultd.pipeline.backup import BackupRequest, MakeCapture, tree_path
from vaultd.pipeline.base_tree import BaseTree, CachedBlock, open_cache
from vaultd.pipeline.intake import Tally
from vaultd.policy.chain import Decision, Link, decide
from vaultd.stores.base import Scanned
from vaultd.vault import layout, roots
from vaultd.vault.catalog import summarise
from vaultd.vault.host import HostVault
from vaultd.vault.index_file import SessionRow

_REPORT_S = 0.1
_REMEMBERED = 1000
"""Touched entries looked at again in the end: many more than there are folders on a way."""


class Preview(Struct, frozen=True, kw_only=True):
    """What a backup would do.

    Attributes:
        kind: Of the snapshot that it would make.
        reason: Why it is of that kind.
        compared: There is a tree to compare with; otherwise every file is read.
        counts: What the snapshot would hold; ``files_read`` is what would be read.
        data_read: Bytes of the files that would be read.
        gone: Entries of directories that are still there, and are in them no more.
        touched: Directories and links that are new or not as they were.
        problems: Entries that cannot be looked at.
        warnings: Entries that deserve a look.
    """

    kind: Kind
    reason: str
    compared: bool
    counts: Counts
    data_read: int
    gone: int
    touched: int
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    @property
    def is_unchanged(self) -> bool:
        """Nothing is new, changed or gone since the snapshot that this one would build on."""
        return self.compared and not (
            self.counts.files_read or self.gone or self.touched or self.problems
        )


def preview(host: HostVault, request: BackupRequest, make_capture: MakeCapture) -> Preview:
    """Scan a store and compare it with what this machine knows of its last snapshot.

    Args:
        host: The vault as this host sees it; nothing is written to it.
        request: What would be made.
        make_capture: Opens the store, given the observer of problems.

    Raises:
        SourceUnreadableError: A root of the store is missing.
    """
    rows = _live_rows(host, request.store_id)
    decision = decide(request.kind, [_link(row) for row in rows], host.clock.now_ns(), request.rule)
    look = _Look(host)
    host.observer(PhaseStarted(name="scan"))
    with _base(host, request, rows, decision) as stream, make_capture(look.observe) as capture:
        base = BaseTree(stream)
        for scanned in capture.scan():
            look.take(scanned, base.overlapping(scanned.listing))
        look.leave()
        look.ignore_way(capture.facts().roots)
    return look.result(decision, compared=stream is not None)


def last_counts(host: HostVault, store_id: bytes) -> Counts | None:
    """Return what the last snapshot of a store held, for estimates; ``None`` when not known.

    Raises:
        StorageError: The vault does not answer.
    """
    rows = _live_rows(host, store_id)
    if not rows:
        return None
    session = host.session_id(rows[-1].seq)
    try:
        data = host.backend.get(layout.outcome(session))
        body = roots.open_outcome(data, session, host.trust)
        if not isinstance(body, RootBody):
            return None
        return summarise(body, rows[-1].root_sha256, host.keys.of_epoch(body.epoch)).counts
    except (IntegrityError, KeyringError, ObjectNotFoundError):
        # The backup itself raises the alarm, and goes on.
        return None


class _Look:
    """Adds up one scan."""

    def __init__(self, host: HostVault) -> None:
        self._host = host
        self._tally = Tally()
        self._data_read = self._gone = self._touched = 0
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._touched_paths: list[bytes] = []
        self._path: bytes | None = None
        self._here: set[bytes] = set()
        self._known: set[bytes] = set()
        self._next_s = 0.0

    def observe(self, event: Event) -> None:
        """Keep problems, and pass everything on."""
        if isinstance(event, Found):
            (self._warnings if event.problem.warning else self._problems).append(event.problem)
        self._host.observer(event)

    def take(self, scanned: Scanned, before: list[CachedBlock]) -> None:
        """Add one directory part."""
        listing = scanned.listing
        self._tally.add(listing, scanned.dropped)
        same = len(before) == 1 and not scanned.racy
        if same and before[0].is_same(listing, b"\0".join(listing.names)):
            self._report(listing.path)
            return
        known = {
            name: (block, at)
            for block in before
            for at, name in enumerate(block.block.listing.names)
        }
        if listing.path != self._path:
            self.leave()
            self._path = listing.path
        self._here.update(listing.names)
        self._known.update(known)
        for position, name in enumerate(listing.names):
            if position not in scanned.dropped:
                self._compare(scanned, position, known.get(name))
        self._report(listing.path)

    def leave(self) -> None:
        """Count what a directory has lost, once all of its parts were seen."""
        self._gone += len(self._known - self._here)
        self._here.clear()
        self._known.clear()

    def ignore_way(self, store_roots: tuple[bytes, ...]) -> None:
        """Leave out folders on the way to the roots: others write into them all the time."""
        way = {root[1:] for root in store_roots}
        self._touched -= sum(
            any(root.startswith(path + b"/") for root in way) for path in self._touched_paths
        )

    def _compare(
        self, scanned: Scanned, position: int, old: tuple[CachedBlock, int] | None
    ) -> None:
        listing = scanned.listing
        if old is not None and position not in scanned.racy:
            before, at = old[0].block.listing, old[1]
            same = before.stats[at :: len(before.names)]
            extra = before.extras.get(at)
            if same == listing.stats[position :: len(listing.names)] and not (
                extra is not None and extra.changed
            ):
                return
        if not is_regular(listing.get(MODE, position)):
            self._touched += 1
            if len(self._touched_paths) < _REMEMBERED:
                self._touched_paths.append(join(listing.path, listing.names[position]))
            return
        self._tally.files_read += 1
        self._data_read += listing.get(SIZE, position)
        if old is None:
            self._tally.files_new += 1
        else:
            self._tally.files_changed += 1

    def _report(self, path: bytes) -> None:
        now_s = self._host.clock.monotonic_s()
        if now_s >= self._next_s:
            self._next_s = now_s + _REPORT_S
            tally = self._tally
            self._host.observer(Advanced(files=tally.files, data=tally.data, stored=0, path=path))

    def result(self, decision: Decision, *, compared: bool) -> Preview:
        """Return what was seen."""
        return Preview(
            kind=decision.kind,
            reason=decision.reason,
            compared=compared,
            counts=self._tally.counts(len(self._problems)),
            data_read=self._data_read,
            gone=self._gone,
            touched=self._touched,
            problems=tuple(self._problems),
            warnings=tuple(self._warnings),
        )


def _live_rows(host: HostVault, store_id: bytes) -> list[SessionRow]:
    try:
        host.catalog.refresh_log(host.backend, host.trust)
    except IntegrityError:
        # The backup itself raises the alarm, and builds on nothing.
        return []
    return host.live_sessions(store_id)


def _link(row: SessionRow) -> Link:
    return Link(seq=row.seq, kind=Kind(row.kind), chain=row.chain, started_ns=row.started_ns)


def _is_there(host: HostVault, row: SessionRow) -> bool:
    try:
        host.backend.head(layout.outcome(host.session_id(row.seq)))
    except ObjectNotFoundError:
        return False
    return True


@contextmanager
def _base(
    host: HostVault, request: BackupRequest, rows: list[SessionRow], decision: Decision
) -> Iterator[BinaryIO | None]:
    """Open the tree of the snapshot that the new one would build on, if it may be compared with."""
    row = next((row for row in rows if row.seq == decision.base), None)
    if row is None or row.options != request.options or not _is_there(host, row):
        yield None
        return
    stream = open_cache(tree_path(host, request.store_id, row.seq))
    if stream is None:
        yield None
        return
    with stream:
        yield stream
