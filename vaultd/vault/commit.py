"""The commit of a session: index parts, reference check, root (FORMAT.md 5).

Everything before the last put is invisible to readers; the last put is create-if-absent, so a
session either commits as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from vaultd.core.errors import (
    CorruptObjectError,
    LostPacksError,
    ObjectExistsError,
    ObjectNotFoundError,
    SessionRevokedError,
)
from vaultd.core.events import Note, Problem
from vaultd.core.snapshot import Counts, Kind, SessionId
from vaultd.crypto import hashing
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
from vaultd.policy.chain import Decision
from vaultd.vault import layout, parts, roots
from vaultd.vault.bundles import read_bundles
from vaultd.vault.host import HostVault, Opened
from vaultd.vault.index_file import COMMITTED
from vaultd.vault.lock_options import promised_until_ns
from vaultd.vault.presence import presence
from vaultd.vault.trust import sign_object
from vaultd.vault.writer import Written

STORE_AGAIN = "Run the backup again: it stores the missing contents anew."

_RECORDS_PER_PART = 50_000


class Captured(Struct, frozen=True, kw_only=True):
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


class CommitPlan(Struct, frozen=True, kw_only=True):
    """What a session commits.

    Attributes:
        session: The session.
        store: Name of the store.
        store_id: Which store.
        options: Fingerprint of the capture options.
        decision: Kind, base and chain.
        opened: How the session began.
        includes: Sessions whose holdings the snapshot needs, its own included.
        written: Totals of its writer.
    """

    session: SessionId
    store: str
    store_id: bytes
    options: bytes
    decision: Decision
    opened: Opened
    includes: tuple[int, ...]
    written: Written


class Committed(Struct, frozen=True):
    """What was committed: the root, the SHA-256 of its object, and which part holds which packs."""

    root: RootBody
    sha256: bytes
    parts: dict[PartRef, list[int]]


class Commit:
    """Writes index parts and the root of one session.

    Args:
        host: The vault as this host sees it.
        plan: What to commit.
    """

    def __init__(self, host: HostVault, plan: CommitPlan) -> None:
        self._host = host
        self._plan = plan

    def run(self, captured: Captured) -> Committed:
        """Write everything; the last put is the moment from which the snapshot exists.

        Raises:
            SessionRevokedError: A keeper closed this session meanwhile; a new one must adopt it.
            LostPacksError: Packs that the snapshot relies on are gone; a new session does without.
            StorageError: Something could not be put; the session can be resumed.
        """
        own = self._put_parts()
        root = self._root(captured, self._refs(captured, own))
        data = sign_object(OUTCOME, root, self._host.keys.signer)
        self._put_outcome(data)
        self._confirm(len(data), own)
        return Committed(root, hashing.sha256(data), own)

    def _confirm(self, root_bytes: int, own: dict[PartRef, list[int]]) -> None:
        """Look whether what was acknowledged is there: a server may lie."""
        written = {layout.outcome(self._plan.session): root_bytes}
        written |= {layout.part(self._plan.session, part.sha256): part.size for part in own}
        for name, size in written.items():
            try:
                found = self._host.backend.head(name).size
            except ObjectNotFoundError:
                found = -1
            if found != size:
                raise CorruptObjectError(
                    f"object {name}: acknowledged with {size} bytes, and "
                    + ("not there" if found < 0 else f"there with {found}"),
                    hint="Examine the storage with `vaultctl doctor`, then run the backup again.",
                )

    def _put_parts(self) -> dict[PartRef, list[int]]:
        """Put index parts for the packs that this session brings in; return which holds which."""
        done: dict[PartRef, list[int]] = {}
        batch: list[index_format.IndexedPack] = []
        numbers: list[int] = []
        records = 0
        for row in self._host.index.packs_held([self._plan.session.seq]):
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
            self._host.trust.vault_id,
            self._plan.session.host,
            self._plan.session.seq,
            number,
            keys.domain,
            keys.epoch,
            self._host.random(16),
        )
        data = parts.seal_part(header, tuple(packs), keys)
        sha256 = hashing.sha256(data)
        self._host.backend.put(layout.part(self._plan.session, sha256), data, sha256=sha256)
        return PartRef(self._plan.session.seq, sha256, len(data))

    def _refs(self, captured: Captured, own: dict[PartRef, list[int]]) -> RefsSection:
        """List every pack and index part that restoring needs, each checked to be there."""
        part_of = {pack: part for part, packs in own.items() for pack in packs}
        positions: dict[PartRef, int] = {}
        lost: list[int] = []
        known: dict[int, PartRef] = {}

        def refs() -> Iterator[PackRef]:
            packs = self._host.index.packs_held(self._plan.includes)
            # Those of this session too: an acknowledged write may have been lost.
            for row, is_there in presence(self._host.backend, self._plan.session.host, packs):
                if not is_there:
                    lost.append(row.pack)
                if row.part is None:
                    part = part_of[row.pack]
                else:
                    part = known.get(row.part) or known.setdefault(
                        row.part, self._host.index.part(row.part)
                    )
                yield PackRef(
                    row.seq, row.sha256, row.size, positions.setdefault(part, len(positions))
                )

        columns = pack_columns(refs())
        if lost:
            self._host.index.avoid(lost)
            raise LostPacksError(
                f"{len(lost)} packs that snapshot {self._plan.session} needs are gone or damaged",
                hint=STORE_AGAIN,
            )
        counts = replace(
            captured.counts,
            stored_added=self._plan.written.stored,
            data_added=self._plan.written.raw,
        )
        body = CountsBody(*(getattr(counts, name) for name in CountsBody.__struct_fields__))
        return RefsSection(1, self._plan.store, captured.tags, body, columns, tuple(positions))

    def _root(self, captured: Captured, refs: RefsSection) -> RootBody:
        plan = self._plan
        host, keys = self._host, self._host.keys.current
        vault_id = host.trust.vault_id
        label = LabelSection(1, captured.hostname, captured.roots, captured.username)
        problems = tuple(
            ProblemBody(one.kind, one.path, one.reason) for one in captured.problems[:MAX_PROBLEMS]
        )
        meta = MetaSection(
            1, captured.tree, captured.users, captured.groups, self._plan.options, problems
        )
        session, decision, head = plan.session, plan.decision, plan.opened.head
        return RootBody(
            vault_id, session.host, session.seq, plan.store_id, str(decision.kind),
            decision.chain or session.seq, decision.base, self._previous(),
            captured.started_ns, captured.ended_ns, head.number, head.sha256,
            keys.epoch, host.trust.vault.chunker, promised_until_ns(host.backend), host.software,
            roots.seal_refs(refs, keys, vault_id, session),
            roots.seal_label(label, keys, vault_id, session),
            roots.seal_meta(meta, keys, vault_id, session, host.random),
            self._bundle_copy(),
        )  # fmt: skip

    def _previous(self) -> Previous | None:
        rows = self._host.index.sessions(COMMITTED, store_id=self._plan.store_id)
        return Previous(rows[-1].seq, rows[-1].root_sha256) if rows else None

    def _bundle_copy(self) -> bytes:
        """Return a copy of the domain bundle in full snapshots: no recovery key helps without."""
        if self._plan.decision.kind is not Kind.FULL:
            return b""
        host, keys = self._host, self._host.keys.current
        damages: list[str] = []
        for bundle in read_bundles(
            host.backend, host.trust, domain=keys.domain, damaged=damages.append
        ):
            if bundle.body.epoch > keys.epoch:
                text = f"the keys of domain {keys.domain} were rotated: renew those of this host"
                host.observer(Note(text=text, warning=True))
            if bundle.body.epoch == keys.epoch:
                return bundle.raw
        reason = "; ".join(damages) or "it is gone"
        text = f"ALARM: no usable key bundle of domain {keys.domain} epoch {keys.epoch}: {reason}"
        host.observer(Note(text=text, warning=True))
        return b""

    def _put_outcome(self, data: bytes) -> None:
        name = layout.outcome(self._plan.session)
        try:
            self._host.backend.put(name, data, sha256=hashing.sha256(data))
        except ObjectExistsError as error:
            found = self._host.backend.get(name)
            if found == data:
                return
            body = roots.open_outcome(found, self._plan.session, self._host.trust)
            if isinstance(body, RootBody):
                raise CorruptObjectError(
                    f"snapshot {self._plan.session}: another root was committed under this number"
                ) from error
            raise SessionRevokedError(
                f"session {self._plan.session} was closed by somebody else before it committed"
            ) from error
