"""One backup session: what it builds on, its writer, and the commit (FORMAT.md 5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct, field

from vaultd.core.errors import LostPacksError, ObjectNotFoundError
from vaultd.core.events import Note
from vaultd.core.snapshot import Kind, Snapshot
from vaultd.crypto.recipients import Recipient
from vaultd.format.machine import Receipt
from vaultd.policy import chain as chain_policy
from vaultd.vault import layout, receipts
from vaultd.vault.catalog import summarise
from vaultd.vault.commit import STORE_AGAIN, Captured, Commit, CommitPlan
from vaultd.vault.host import (
    HostVault,
    Opened,
    continue_session,
    open_session,
)
from vaultd.vault.index_file import COMMITTED, SessionRow
from vaultd.vault.packing import PackContext
from vaultd.vault.writer import DATA, META, PackWriter


class SessionRequest(Struct, frozen=True, kw_only=True):
    """What is asked of a session.

    Attributes:
        store: Name of the store.
        store_id: Which store, 16 bytes.
        kind: The kind wanted; ``None`` chooses.
        verified: A full may use any pack that live snapshots of the host use, not only its own.
        options: Fingerprint of the capture options.
        rule: When a chain is too long.
    """

    store: str
    store_id: bytes
    kind: Kind | None = None
    verified: bool = False
    options: bytes = b""
    rule: chain_policy.ChainRule = field(default_factory=chain_policy.ChainRule)


class Session:
    """A running session; made by `begin`.

    Attributes:
        id: Host and number.
        decision: Kind, base and chain, with the reason.
        writer: Takes chunks.
    """

    def __init__(self, host: HostVault, request: SessionRequest, opened: Opened) -> None:
        self._host = host
        self._request = request
        self._opened = opened
        self.id = host.session_id(opened.seq)
        self._base: SessionRow | None = None
        self.decision, self._lost = self._choose()
        self._includes = self._usable()
        self._adopted_bytes, _ = host.index.weigh([self.id.seq])
        self.writer = PackWriter(
            backend=host.backend,
            index=host.index,
            contexts={kind: self._pack_context(kind) for kind in (DATA, META)},
            since=frozenset(self._includes),
            pack_bytes=host.trust.vault.pack_bytes,
        )

    # What to build on

    def _choose(self) -> tuple[chain_policy.Decision, int]:
        """Choose kind and base, looking the base up; tell also how many of its packs are lost."""
        unusable: set[int] = set()
        while True:
            decision = chain_policy.decide(
                self._request.kind,
                self._links(unusable),
                self._host.clock.now_ns(),
                self._request.rule,
            )
            if decision.base == 0:
                return decision, 0
            base = self._host.index.session(decision.base)
            if base is not None and self._is_there(decision.base):
                self._base = base
                # Packs of the base that were found to be lost: its tree still names their chunks.
                return decision, self._host.index.weigh(base.includes)[1]
            unusable.add(decision.base)

    def _links(self, unusable: set[int]) -> list[chain_policy.Link]:
        return [
            chain_policy.Link(
                seq=row.seq, kind=Kind(row.kind), chain=row.chain, started_ns=row.started_ns,
                usable=row.seq not in unusable,
            )
            for row in self._live_rows(self._request.store_id)
        ]  # fmt: skip

    def _live_rows(self, store_id: bytes | None = None) -> list[SessionRow]:
        if not self._opened.trusted_log:
            return []
        return self._host.live_sessions(store_id)

    def _is_there(self, seq: int) -> bool:
        session = self._host.session_id(seq)
        try:
            self._host.backend.head(layout.outcome(session))
        except ObjectNotFoundError:
            text = (
                f"ALARM: snapshot {session} was committed by this host and is gone from the vault"
            )
            self._host.observer(Note(text=text, warning=True))
            return False
        return True

    def _usable(self) -> tuple[int, ...]:
        """Return the sessions whose packs this snapshot may use."""
        if self._base is not None:
            return (*self._base.includes, self.id.seq)
        if self._request.verified:
            live = sorted({seq for row in self._live_rows() for seq in row.includes})
            return (*live, self.id.seq)
        return (self.id.seq,)

    def _pack_context(self, kind: int) -> PackContext:
        keys = self._host.keys.current
        return PackContext(
            vault_id=self._host.trust.vault_id,
            session=self.id,
            kind=kind,
            recipient=Recipient(keys.data_public if kind == DATA else keys.meta_public),
            chunk_id_key=keys.chunk_id_key,
            random=self._host.random,
            spool=self._host.spool,
        )

    def take_over(self, revoked: Session) -> None:
        """Go on where a revoked session of this process ended: same base, its packs, its totals."""
        self.decision, self._base = revoked.decision, revoked._base
        kept = tuple(seq for seq in revoked._includes if seq != revoked.id.seq)
        self._includes = (*kept, self.id.seq)
        self._lost, self._adopted_bytes = revoked._lost, revoked._adopted_bytes
        self.writer.used = revoked.writer.used
        self.writer.written = revoked.writer.written

    @property
    def must_check_reuse(self) -> bool:
        """Some earlier pack is gone: contents are reused after looking up each of their chunks."""
        return self._lost > 0

    @property
    def base_options(self) -> bytes | None:
        """Fingerprint of the capture options of the base; ``None`` without a base."""
        return None if self._base is None else self._base.options

    # Commit

    def commit(self, captured: Captured) -> Snapshot:
        """Commit what was captured; every pack must have been uploaded.

        Raises:
            SessionRevokedError: A keeper closed this session meanwhile; a new one must adopt it.
            LostPacksError: Packs that the snapshot relies on are gone; a new session does without.
            StorageError: Something could not be put; the session can be resumed.
        """
        index, request = self._host.index, self._request
        held, _ = index.weigh([self.id.seq])
        if self.decision.base == 0:
            index.hold_numbers(self.writer.used, self.id.seq)
            self._includes = (self.id.seq,)
        if (
            held != self._adopted_bytes + self.writer.written.stored
            or index.weigh(self._includes)[1] != self._lost
        ):
            raise LostPacksError(
                f"session {self.id}: packs that it stored or relied on were lost while it ran",
                hint=STORE_AGAIN,
            )
        plan = CommitPlan(
            session=self.id,
            store=request.store,
            store_id=request.store_id,
            options=request.options,
            decision=self.decision,
            opened=self._opened,
            includes=self._includes,
            written=self.writer.written,
        )
        done = Commit(self._host, plan).run(captured)
        root = done.root
        row = SessionRow(
            seq=self.id.seq, state=COMMITTED, kind=root.kind, chain=root.chain, base=root.base,
            store_id=root.store_id, includes=self._includes, root_sha256=done.sha256,
            options=request.options, started_ns=root.started_ns,
        )  # fmt: skip
        index.commit(row, done.parts)
        self._write_receipt(done.sha256)
        return summarise(root, done.sha256, self._host.keys.current)

    def _write_receipt(self, sha256: bytes) -> None:
        host, head = self._host, self._opened.head
        receipt = Receipt(
            vault=host.trust.vault_id.hex(),
            host=self.id.host,
            seq=self.id.seq,
            store=self._request.store,
            root_sha256=sha256.hex(),
            log_number=head.number,
            log_sha256=head.sha256.hex(),
            at_ns=host.clock.now_ns(),
        )
        try:
            receipts.append(host.folder, receipt)
        except OSError as error:
            # The snapshot is committed; what is missing is the proof of it on this machine.
            text = f"receipt of snapshot {self.id} cannot be written: {error.strerror}"
            host.observer(Note(text=text, warning=True))


@contextmanager
def begin(host: HostVault, request: SessionRequest) -> Iterator[Session]:
    """Begin a session for one store.

    Raises:
        LockedError: The store is being captured by another process.
        StorageError: The vault cannot be written.
    """
    with open_session(host, request.store_id) as opened:
        session = Session(host, request, opened)
        try:
            yield session
        finally:
            session.writer.discard()


@contextmanager
def resume(revoked: Session, host: HostVault, request: SessionRequest) -> Iterator[Session]:
    """Begin a session that adopts the packs of one that was revoked, to commit what it stored.

    The store's lock is still held by the revoked session, which is done with everything else.
    """
    with continue_session(host, request.store_id, revoked.id.seq) as opened:
        session = Session(host, request, opened)
        session.take_over(revoked)
        yield session
