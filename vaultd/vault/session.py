"""One backup session: what it builds on, its writer, and the commit (FORMAT.md 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from vaultd.core.errors import (
    BrokenChainError,
    CorruptObjectError,
    KeyringError,
    ObjectExistsError,
    ObjectNotFoundError,
    SessionRevokedError,
)
from vaultd.core.events import Note, Problem
from vaultd.core.snapshot import Counts, Kind, SessionId, Snapshot
from vaultd.crypto import hashing
from vaultd.crypto.recipients import Recipient
from vaultd.format import index as index_format
from vaultd.format.session import (
    MAX_PROBLEMS,
    CountsBody,
    LabelSection,
    MetaSection,
    PackRef,
    PartRef,
    Previous,
    ProblemBody,
    RefsSection,
    RootBody,
    TreeChunk,
    pack_columns,
)
from vaultd.format.signed import OUTCOME
from vaultd.policy import chain as chain_policy
from vaultd.vault import layout, parts, roots
from vaultd.vault.bundles import newest_bundle
from vaultd.vault.catalog import summarise
from vaultd.vault.chunk_index import COMMITTED, SessionRow
from vaultd.vault.host import HostVault, Opened, continue_session, open_session
from vaultd.vault.packing import PackContext
from vaultd.vault.trust import sign_object
from vaultd.vault.writer import DATA, META, PackWriter

_RECORDS_PER_PART = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """What is asked of a session.

    Attributes:
        store: Name of the store.
        store_id: Which store, 16 bytes.
        kind: The kind wanted; ``None`` chooses.
        verified: A full may use any pack that the host's live snapshots use, instead of only its own.
        options: Fingerprint of the capture options.
        rule: When a chain is too long.
    """

    store: str
    store_id: bytes
    kind: Kind | None = None
    verified: bool = False
    options: bytes = b""
    rule: chain_policy.ChainRule = field(default_factory=chain_policy.ChainRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What the pipeline knows when everything is stored.

    Attributes:
        tree: The tree's chunks in order.
        roots: Captured paths.
        hostname: The machine.
        username: Who ran it.
        users: User id to name.
        groups: Group id to name.
        tags: Tags.
        counts: Numbers; ``stored_added`` is filled in here.
        problems: Entries missing or flagged.
        started_ns: When the capture began.
        ended_ns: When it ended.
    """

    tree: tuple[TreeChunk, ...]
    roots: tuple[bytes, ...]
    hostname: str
    username: str
    users: dict[int, str]
    groups: dict[int, str]
    tags: tuple[str, ...]
    counts: Counts
    problems: Sequence[Problem]
    started_ns: int
    ended_ns: int


class Session:
    """A running session; made by `begin`.

    Attributes:
        id: Host and number.
        decision: Kind, base and chain, with the reason.
        writer: Takes chunks.
        must_check_reuse: Some earlier pack is gone, so contents of unchanged files may only be
            reused after looking up each of their chunks.
    """

    def __init__(self, host: HostVault, request: SessionRequest, opened: Opened) -> None:
        self._host = host
        self._request = request
        self._opened = opened
        self.id = host.session_id(opened.seq)
        self.decision, self.must_check_reuse = self._choose()
        self._includes = self._usable()
        self.writer = PackWriter(
            backend=host.backend,
            index=host.index,
            contexts={kind: self._pack_context(kind) for kind in (DATA, META)},
            since=frozenset(self._includes),
            pack_bytes=host.trust.vault.pack_bytes,
        )

    # What to build on

    def _choose(self) -> tuple[chain_policy.Decision, bool]:
        """Choose kind and base, looking the base up in the vault; return also if packs are missing."""
        unusable: set[int] = set()
        while True:
            decision = chain_policy.decide(
                self._request.kind, self._links(unusable), self._host.clock.now_ns(), self._request.rule
            )
            if decision.base == 0:
                return decision, False
            if self._is_there(decision.base):
                return decision, self._drop_missing(self._row(decision.base)) > 0
            unusable.add(decision.base)

    def _links(self, unusable: set[int]) -> list[chain_policy.Link]:
        return [
            chain_policy.Link(
                seq=row.seq, kind=Kind(row.kind), chain=row.chain, started_ns=row.started_ns,
                usable=row.seq not in unusable,
            )
            for row in self._live_rows()
            if row.store_id == self._request.store_id
        ]  # fmt: skip

    def _live_rows(self) -> list[SessionRow]:
        if not self._opened.trusted_log:
            return []
        forgotten = self._host.catalog.forgotten()
        rows = self._host.index.sessions(COMMITTED)
        return [row for row in rows if self._host.session_id(row.seq) not in forgotten]

    def _row(self, seq: int) -> SessionRow:
        return next(row for row in self._host.index.sessions(COMMITTED) if row.seq == seq)

    def _is_there(self, seq: int) -> bool:
        session = self._host.session_id(seq)
        try:
            self._host.backend.head(layout.outcome(session))
        except ObjectNotFoundError:
            text = f"ALARM: snapshot {session} was committed by this host and is gone from the vault"
            self._host.observer(Note(text=text, warning=True))
            return False
        return True

    def _drop_missing(self, base: SessionRow) -> int:
        """Forget packs that the vault no longer has, so that their chunks are stored again."""
        listed = _Listed(self._host)
        lost = [row for row in self._host.index.packs_held(base.includes) if listed.size(row.seq, row.sha256) != row.size]
        if lost:
            text = f"ALARM: {len(lost)} packs of earlier snapshots are gone or damaged; their contents are stored again"
            self._host.observer(Note(text=text, warning=True))
            self._host.index.drop(row.pack for row in lost)
        return len(lost)

    def _usable(self) -> tuple[int, ...]:
        """Return the sessions whose packs this snapshot may use."""
        if self.decision.base:
            return (*self._row(self.decision.base).includes, self.id.seq)
        if self._request.verified:
            live = {seq for row in self._live_rows() for seq in row.includes}
            return (*sorted(live), self.id.seq)
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
        self.decision = revoked.decision
        kept = tuple(seq for seq in revoked._includes if seq != revoked.id.seq)  # noqa: SLF001 - same class
        self._includes = (*kept, self.id.seq)
        self.writer.used = revoked.writer.used
        self.writer.written = revoked.writer.written

    @property
    def base_options(self) -> bytes | None:
        """Fingerprint of the capture options of the base; ``None`` without a base."""
        return self._row(self.decision.base).options if self.decision.base else None

    # Commit

    def commit(self, captured: Captured) -> Snapshot:
        """Write index parts and the root: the moment from which the snapshot exists.

        Every pack must have been uploaded. Nothing before the last put can be seen by a reader.

        Raises:
            SessionRevokedError: A keeper closed this session meanwhile; a new one must adopt it.
            BrokenChainError: A pack that the snapshot relies on is gone.
            StorageError: Something could not be put; the session can be resumed.
        """
        index = self._host.index
        if self.decision.base == 0:
            index.hold_numbers(self.writer.used, self.id.seq)
            self._includes = (self.id.seq,)
        own = self._put_parts()
        refs = self._refs(captured, own)
        root = self._root(captured, refs)
        data = sign_object(OUTCOME, root, self._host.keys.signer)
        self._put_outcome(data)
        sha256 = hashing.sha256(data)
        with index.transaction() as db:
            for part, packs in own.items():
                number = index.add_part(part)
                db.executemany("UPDATE pack SET part=? WHERE id=?", [(number, pack) for pack in packs])
            index.save_session(
                SessionRow(
                    seq=self.id.seq, state=COMMITTED, kind=root.kind, chain=root.chain, base=root.base,
                    store_id=root.store_id, includes=self._includes, root_sha256=sha256,
                    options=self._request.options, started_ns=root.started_ns,
                )
            )  # fmt: skip
        return summarise(root, sha256, self._host.keys.current)

    def _put_parts(self) -> dict[PartRef, list[int]]:
        """Put index parts for the packs that this session brings in; return which holds which."""
        done: dict[PartRef, list[int]] = {}
        batch: list[index_format.IndexedPack] = []
        numbers: list[int] = []
        records = 0
        for row in self._host.index.packs_held([self.id.seq]):
            if row.part is not None:
                continue
            found = self._host.index.records_of(row.pack)
            batch.append(index_format.indexed_pack(row.seq, row.sha256, row.size, row.kind, found))
            numbers.append(row.pack)
            records += len(found)
            if records >= _RECORDS_PER_PART:
                done[self._put_part(len(done), batch)] = numbers
                batch, numbers, records = [], [], 0
        if batch:
            done[self._put_part(len(done), batch)] = numbers
        return done

    def _put_part(self, number: int, packs: list[index_format.IndexedPack]) -> PartRef:
        keys = self._host.keys.current
        header = index_format.PartHeader(
            self._host.trust.vault_id, self.id.host, self.id.seq, number, keys.domain, keys.epoch, self._host.random(16)
        )
        data = parts.seal_part(header, tuple(packs), keys)
        sha256 = hashing.sha256(data)
        self._host.backend.put(layout.part(self.id, sha256), data, sha256=sha256)
        return PartRef(self.id.seq, sha256, len(data))

    def _refs(self, captured: Captured, own: dict[PartRef, list[int]]) -> RefsSection:
        """List every pack and index part that restoring needs, each checked to be there."""
        part_of = {pack: part for part, packs in own.items() for pack in packs}
        positions: dict[PartRef, int] = {}
        listed = _Listed(self._host)
        known: dict[int, PartRef] = {}

        def refs() -> Iterator[PackRef]:
            for row in self._host.index.packs_held(self._includes):
                if row.part is None:
                    part = part_of[row.pack]
                else:
                    part = known.get(row.part) or known.setdefault(row.part, self._host.index.part(row.part))
                if row.seq != self.id.seq and listed.size(row.seq, row.sha256) != row.size:
                    raise BrokenChainError(
                        f"pack {row.sha256.hex()[:8]} of session {row.seq}: gone or damaged while this run relied on it",
                        hint="Run the backup again: it stores the missing contents anew.",
                    )
                yield PackRef(row.seq, row.sha256, row.size, positions.setdefault(part, len(positions)))

        columns = pack_columns(refs())
        counts = replace(captured.counts, stored_added=self.writer.written.stored, data_added=self.writer.written.raw)
        body = CountsBody(*(getattr(counts, name) for name in CountsBody.__struct_fields__))
        return RefsSection(1, self._request.store, captured.tags, body, columns, tuple(positions))

    def _root(self, captured: Captured, refs: RefsSection) -> RootBody:
        host, keys = self._host, self._host.keys.current
        vault_id = host.trust.vault_id
        label = LabelSection(1, captured.hostname, captured.roots, captured.username)
        problems = tuple(ProblemBody(one.kind, one.path, one.reason) for one in captured.problems[:MAX_PROBLEMS])
        meta = MetaSection(1, captured.tree, captured.users, captured.groups, self._request.options, problems)
        return RootBody(
            vault_id, self.id.host, self.id.seq, self._request.store_id, str(self.decision.kind),
            self.decision.chain or self.id.seq, self.decision.base, self._previous(),
            captured.started_ns, captured.ended_ns, self._opened.head.number, self._opened.head.sha256,
            keys.epoch, host.trust.vault.chunker, 0, host.software,
            roots.seal_refs(refs, keys, vault_id, self.id),
            roots.seal_label(label, keys, vault_id, self.id),
            roots.seal_meta(meta, keys, vault_id, self.id, host.random),
            self._bundle_copy(),
        )  # fmt: skip

    def _previous(self) -> Previous | None:
        rows = [row for row in self._host.index.sessions(COMMITTED) if row.store_id == self._request.store_id]
        return Previous(rows[-1].seq, rows[-1].root_sha256) if rows else None

    def _bundle_copy(self) -> bytes:
        """Return a copy of the domain bundle for full snapshots: without it no recovery key helps."""
        if self.decision.kind is not Kind.FULL:
            return b""
        domain = self._host.keys.current.domain
        try:
            return newest_bundle(self._host.backend, self._host.trust, domain).raw
        except KeyringError as error:
            self._host.observer(Note(text=f"ALARM: {error.message}", warning=True))
            return b""

    def _put_outcome(self, data: bytes) -> None:
        name = layout.outcome(self.id)
        try:
            self._host.backend.put(name, data, sha256=hashing.sha256(data))
        except ObjectExistsError as error:
            found = self._host.backend.get(name)
            if found == data:
                return
            body = roots.open_outcome(found, self.id, self._host.trust)
            if isinstance(body, RootBody):
                raise CorruptObjectError(f"snapshot {self.id}: another root was committed under this number") from error
            raise SessionRevokedError(f"session {self.id} was closed by somebody else before it committed") from error


class _Listed:
    """Sizes of the packs that the vault lists, one session at a time."""

    def __init__(self, host: HostVault) -> None:
        self._host = host
        self._seq = -1
        self._sizes: dict[bytes, int] = {}

    def size(self, seq: int, sha256: bytes) -> int | None:
        """Return the size of a pack, ``None`` when it is not there; sessions should come in order."""
        if seq != self._seq:
            prefix = f"{layout.PACKS}{self._host.session_id(seq)}/"
            self._sizes = {layout.hashed_of(info.name)[1]: info.size for info in self._host.backend.list(prefix)}
            self._seq = seq
        return self._sizes.get(sha256)


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
    """Begin a session that adopts the packs of one that was revoked, to commit what that one stored.

    The store's lock is still held by the revoked session, which is done with everything else.
    """
    with continue_session(host, request.store_id, revoked.id.seq) as opened:
        session = Session(host, request, opened)
        session.take_over(revoked)
        yield session
