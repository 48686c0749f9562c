"""From a store to a committed snapshot (architecture: the life of a byte)."""

from __future__ import annotations

import io
import os
from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct, field

from vaultd.chunking.bundle import BundleRule
from vaultd.chunking.gear import Chunker, ChunkerParams
from vaultd.compression import Level
from vaultd.core.errors import LostPacksError, SessionRevokedError
from vaultd.core.events import (
    Event,
    Found,
    Note,
    Observer,
    PhaseStarted,
    Problem,
    ProblemKind,
)
from vaultd.core.snapshot import Kind, Snapshot
from vaultd.core.tree import Listing
from vaultd.format.session import TreeChunk
from vaultd.pipeline.aside import Aside
from vaultd.pipeline.base_tree import BaseTree, open_cache
from vaultd.pipeline.feeder import Feeder
from vaultd.pipeline.intake import Intake, Tally
from vaultd.pipeline.reporting import Progress
from vaultd.pipeline.storing import Storing
from vaultd.pipeline.tree_writer import TreeWriter
from vaultd.pipeline.workers import Buffers, bulk_work
from vaultd.policy.chain import ChainRule
from vaultd.stores.base import Capture
from vaultd.vault.commit import Captured
from vaultd.vault.host import HostVault
from vaultd.vault.local_db import refused
from vaultd.vault.session import Session, SessionRequest, begin, resume
from vaultd.vault.writer import DATA

MakeCapture = Callable[[Observer], AbstractContextManager[Capture]]
"""Opens a store for one pass, given who hears of its problems."""


class BackupRequest(Struct, frozen=True, kw_only=True):
    """What to make.

    Attributes:
        store: Name of the store.
        store_id: Which store, 16 bytes.
        kind: The kind wanted; ``None`` chooses.
        verified: See `SessionRequest`.
        options: Fingerprint of the capture options: a base made with others is not compared with.
        tags: Tags of the snapshot.
        username: Who runs it.
        rule: When a chain is too long.
        level: Of compression.
        workers: Threads that compress.
        uploads: Threads that upload.
    """

    store: str
    store_id: bytes
    kind: Kind | None = None
    verified: bool = False
    options: bytes = b""
    tags: tuple[str, ...] = ()
    username: str = ""
    rule: ChainRule = field(default_factory=ChainRule)
    level: Level = "fast"
    workers: int = 2
    uploads: int = 2


class BackupReport(Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        snapshot: The committed snapshot.
        reason: Why it is of its kind.
        problems: Entries missing or flagged; empty means complete.
        warnings: Entries that deserve a look and are stored.
        elapsed_s: Wall-clock seconds.
    """

    snapshot: Snapshot
    reason: str
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    elapsed_s: float


def back_up(host: HostVault, request: BackupRequest, make_capture: MakeCapture) -> BackupReport:
    """Capture a store into a new snapshot.

    Args:
        host: The vault as this host sees it.
        request: What to make.
        make_capture: Opens the store, given the observer of problems.

    Raises:
        SourceUnreadableError: A root of the store is missing.
        LockedError: The store is being captured already.
        LostPacksError: Packs that the snapshot relies on went missing, and others did meanwhile.
        StorageError: The vault cannot be written; the next run resumes.
    """
    try:
        return _back_up_once(host, request, make_capture)
    except LostPacksError as error:
        # Nobody was there to see them go, so nobody else will see to it.
        text = f"ALARM: {error.message}; their contents are stored again"
        host.observer(Note(text=text, warning=True))
    return _back_up_once(host, request, make_capture)


def _back_up_once(
    host: HostVault, request: BackupRequest, make_capture: MakeCapture
) -> BackupReport:
    began = host.clock.monotonic_s()
    wanted = SessionRequest(
        store=request.store, store_id=request.store_id, kind=request.kind,
        verified=request.verified,
        options=request.options, rule=request.rule,
    )  # fmt: skip
    with begin(host, wanted) as session:
        host.observer(Note(text=f"{session.decision.kind} snapshot: {session.decision.reason}"))
        run = _Run(host, session, request)
        captured = run.capture(make_capture)
        snapshot = _commit(host, session, wanted, captured)
        _keep_tree(host, snapshot, request.store_id, run.cache_path)
        reason = session.decision.reason
    return BackupReport(
        snapshot=snapshot,
        reason=reason,
        problems=tuple(run.problems),
        warnings=tuple(run.warnings),
        elapsed_s=host.clock.monotonic_s() - began,
    )


def _commit(
    host: HostVault, session: Session, wanted: SessionRequest, captured: Captured
) -> Snapshot:
    """Commit; when a keeper has closed the session, go on in one that adopts its packs."""
    try:
        return session.commit(captured)
    except SessionRevokedError as error:
        host.observer(Note(text=f"{error.message}; going on in a new session", warning=True))
    with resume(session, host, wanted) as heir:
        return heir.commit(captured)


def _trees(host: HostVault) -> Path:
    folder = host.folder / "trees"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def tree_path(host: HostVault, store_id: bytes, seq: int) -> Path:
    """Return where this machine keeps the tree of one of its snapshots."""
    return _trees(host) / f"{store_id.hex()}-{seq:010d}"


def _keep_tree(host: HostVault, snapshot: Snapshot, store_id: bytes, written: Path) -> None:
    """Keep the trees that the next run may compare with: this one and its chain's full."""
    kept = {tree_path(host, store_id, seq) for seq in (snapshot.session.seq, snapshot.chain)}
    written.rename(tree_path(host, store_id, snapshot.session.seq))
    for path in _trees(host).glob(f"{store_id.hex()}-*"):
        if path not in kept:
            path.unlink()


def _was_filled(host: HostVault, store_id: bytes, path: bytes) -> bool:
    """Tell whether a directory held something at the last snapshot, as far as is known here."""
    newest = max(_trees(host).glob(f"{store_id.hex()}-*"), default=None)
    stream = open_cache(newest) if newest is not None else None
    if stream is None:
        return False
    with stream:
        before = BaseTree(stream).overlapping(Listing(path, [], array("q")))
        return any(block.body.names for block in before)


class _Run:
    """One capture: the scan on this thread, everything heavy on others."""

    def __init__(self, host: HostVault, session: Session, request: BackupRequest) -> None:
        self._host = host
        self._session = session
        self._request = request
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.cache_path = _trees(host) / f"{request.store_id.hex()}.part"

    def observe(self, event: Event) -> None:
        """Take note of problems, and pass everything on."""
        if isinstance(event, Found):
            (self.warnings if event.problem.warning else self.problems).append(event.problem)
        self._host.observer(event)

    def capture(self, make_capture: MakeCapture) -> Captured:
        """Bring all contents of the store and its tree into the backend."""
        host, request = self._host, self._request
        started_ns = host.clock.now_ns()
        host.observer(PhaseStarted(name="scan and store"))
        with make_capture(self.observe) as capture:
            chunks, tally = self._store(capture)
            facts = capture.facts()
        self._doubt_empty(facts.roots, set(tally.empty))
        host.observer(PhaseStarted(name="commit"))
        return Captured(
            tree=chunks,
            roots=facts.roots,
            hostname=facts.hostname,
            username=request.username,
            users=facts.users,
            groups=facts.groups,
            tags=request.tags,
            counts=tally.counts(len(self.problems)),
            problems=self.problems,
            started_ns=started_ns,
            ended_ns=host.clock.now_ns(),
        )

    def _doubt_empty(self, roots: tuple[bytes, ...], empty: set[bytes]) -> None:
        """Report roots that have lost everything: what is not mounted looks just so."""
        for root in roots:
            path = root.strip(b"/")
            if path in empty and _was_filled(self._host, self._request.store_id, path):
                reason = "holds nothing any more: is its file system mounted?"
                problem = Problem(kind=ProblemKind.VANISHED, path=root, reason=reason)
                self.observe(Found(problem=problem))

    def _store(self, capture: Capture) -> tuple[tuple[TreeChunk, ...], Tally]:
        writer, request = self._session.writer, self._request
        storing = Storing(
            writer,
            level=request.level,
            workers=request.workers,
            uploads=request.uploads,
            make_chunker=self._chunker,
        )
        with (
            bulk_work(),
            io.BufferedWriter(_StateFile(self.cache_path)) as cache,
            _base_stream(self._host, self._session, request) as base,
            Aside(storing.submit_file) as aside,
            storing,
        ):
            tree = TreeWriter(storing.submit_meta, cache)
            intake = Intake(
                capture=capture,
                base=BaseTree(base),
                tree=tree,
                feeder=self._feeder(storing, aside),
                writer=writer,
                progress=Progress(self._host.clock, self._host.observer),
            )
            intake.must_check_reuse = self._session.must_check_reuse
            for scanned in capture.scan():
                intake.take(scanned)
            intake.finish()
            storing.flush(DATA)
            storing.wait()
            tree.finish()
            storing.finish()
            return tree.chunks(), intake.tally

    def _chunker(self) -> Chunker:
        return Chunker(self._host.keys.current.chunker_key, ChunkerParams())

    def _feeder(self, storing: Storing, aside: Aside) -> Feeder:
        chunker = self._chunker()
        return Feeder(
            sink=storing,
            chunker=chunker,
            buffers=Buffers(self._request.workers + 3, chunker.params.max_bytes),
            rule=BundleRule(),
            aside=aside,
        )


class _StateFile(io.FileIO):
    """A new private file of this machine; what the system refuses becomes an error of ours.

    Args:
        path: Where; what an interrupted run left there goes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.unlink(missing_ok=True)
            super().__init__(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600))
        except OSError as error:
            raise refused(path, error) from error

    def write(self, piece: Any, /) -> int:
        """Write some bytes, and return how many."""
        try:
            return super().write(piece)
        except OSError as error:
            raise refused(self._path, error) from error


@contextmanager
def _base_stream(
    host: HostVault, session: Session, request: BackupRequest
) -> Iterator[BinaryIO | None]:
    """Open the cached tree of the session's base, if it may be compared with."""
    base = session.decision.base
    if not base:
        yield None
        return
    stream = (
        open_cache(tree_path(host, request.store_id, base))
        if session.base_options == request.options
        else None
    )
    if stream is None:
        host.observer(
            Note(
                text="nothing to compare with on this machine: every file is read; "
                "what the vault has is not stored again"
            )
        )
        yield None
        return
    with stream:
        yield stream
