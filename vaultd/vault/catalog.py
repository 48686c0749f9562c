"""What is live in a vault, remembered on this machine: outcomes and the log, verified once.

The catalog is a cache; everything in it was verified when it was read, and it can be thrown away.
What was once seen here and is gone from the vault is reported: a provider that drops snapshots or
shows an older state is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from vaultd.backends.base import Backend
from vaultd.core.errors import IntegrityError, ObjectNotFoundError
from vaultd.core.snapshot import Counts, Kind, SessionId, Snapshot
from vaultd.crypto import aead, hashing
from vaultd.format.codec import decode, encode
from vaultd.format.log import CheckpointBody, HeadsBody, LogBody, TagBody, TagNames
from vaultd.format.session import RefsSection, RootBody, pack_bytes
from vaultd.vault import contexts, layout, roots
from vaultd.vault.keyring import ListingKeys
from vaultd.vault.local_db import open_database
from vaultd.vault.log import EMPTY, LogEntry, LogHead, read_after, read_newest
from vaultd.vault.log_state import LogState
from vaultd.vault.trust import Trust

KeyFinder = Callable[[str, int], ListingKeys | None]
"""Returns the keys of a domain and epoch, or ``None`` when they are not at hand."""

_SCHEMA = """
DROP TABLE IF EXISTS outcome;
CREATE TABLE outcome (
  host TEXT NOT NULL, seq INTEGER NOT NULL, summary BLOB, shown INTEGER NOT NULL,
  PRIMARY KEY (host, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
  number INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, body BLOB NOT NULL);
"""
_VERSION = 3
_SUMMARY_LIMIT = 16 << 20
_NOTHING, _REFS, _ALL = range(3)
"""How much of a snapshot is remembered: its bare root, what a keeper sees, or its paths too."""


class Catalog:
    """Outcomes and log entries of one vault.

    Args:
        path: SQLite file; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._db = open_database(path, _SCHEMA, _VERSION)
        self._state = LogState()
        self._folded = 0

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def refresh_log(self, backend: Backend, trust: Trust) -> LogHead:
        """Read what was appended to the log since the last time, and return its head.

        Raises:
            BrokenChainError: What was seen before is gone or was rewritten.
            IntegrityError: An entry cannot be believed.
        """
        if self.log_head() == EMPTY:
            for entry in read_newest(backend, trust):
                self._keep(entry)
        for entry in read_after(backend, trust, self.log_head()):
            self._keep(entry)
        return self.log_head()

    def _keep(self, entry: LogEntry) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO log VALUES (?,?,?)",
            (entry.head.number, entry.head.sha256, encode(entry.body)),
        )
        if isinstance(entry.body.event, CheckpointBody):
            standing = json.dumps([one.number for one in entry.body.event.standing])
            self._db.execute(
                "DELETE FROM log WHERE number<? AND number NOT IN (SELECT value FROM json_each(?))",
                (entry.head.number, standing),
            )

    def log_head(self) -> LogHead:
        """Return the newest log entry seen."""
        row = self._db.execute(
            "SELECT number, sha256 FROM log ORDER BY number DESC LIMIT 1"
        ).fetchone()
        return EMPTY if row is None else LogHead(*row)

    def state(self) -> LogState:
        """Return what the log says, as far as it was read.

        Raises:
            MalformedObjectError: An entry cannot follow what was before it.
        """
        rows = self._db.execute(
            "SELECT number, body FROM log WHERE number>? ORDER BY number", (self._folded,)
        )
        for number, body in rows:
            what = "log entry in the catalog"
            self._state.apply(decode(LogBody, body, what=what, limit=_SUMMARY_LIMIT))
            self._folded = number
        return self._state

    def entries(self) -> dict[int, bytes]:
        """Return the hashes of the log entries that are remembered, by number."""
        return dict(self._db.execute("SELECT number, sha256 FROM log").fetchall())

    def forgotten(self) -> set[SessionId]:
        """Return the snapshots that the log says are forgotten."""
        return set(self.state().forgotten)

    def pinned(self) -> dict[SessionId, str]:
        """Return the snapshots that no rule may forget, each with the reason."""
        return {session: pin.reason for session, pin in self.state().pinned.items()}

    def refresh(self, backend: Backend, trust: Trust, keys: KeyFinder) -> list[str]:
        """Read what is new in the vault.

        Returns:
            What is wrong with it, one sentence each: outcomes that cannot be believed, tags that
            cannot be opened, and snapshots that were here before and are gone.

        Raises:
            BrokenChainError: The log is not what it was.
        """
        self.refresh_log(backend, trust)
        heads = self.state().heads  # before outcomes are listed: later ones may name newer ones
        known = {
            SessionId(host=host, seq=seq): shown
            for host, seq, shown in self._db.execute("SELECT host, seq, shown FROM outcome")
        }
        findings: list[str] = []
        seen = set()
        for info in backend.list(layout.OUTCOMES):
            with _noting(findings, f"outcome {info.name}"):
                session = layout.session_of(info.name)
                seen.add(session)
                if self._can_show_more(session, known.get(session), trust, keys):
                    try:
                        self._remember(session, backend.get(info.name), trust, keys)
                    except ObjectNotFoundError:  # a keeper has deleted it since it was listed
                        seen.discard(session)
        findings += self._log_end(backend, trust)
        findings += self._tags(trust, keys)[1]
        forgotten = self.forgotten()
        findings += [
            f"snapshot {session}: seen before and gone from the vault"
            for session in sorted(known.keys() - seen - forgotten)
        ]
        return findings + self._gaps(forgotten) + self._hidden(heads, forgotten)

    def _log_end(self, backend: Backend, trust: Trust) -> list[str]:
        """Read the log once more: what happened meanwhile is no reason to be alarmed."""
        numbers = (layout.log_number(info.name) for info in backend.list(layout.LOG))
        last = max((number for number in numbers if number is not None), default=0)
        head = self.refresh_log(backend, trust)
        if last <= head.number:
            return []
        return [f"log: entry {head.number + 1} is gone, and {layout.log_entry(last)} is there"]

    def _hidden(self, heads: HeadsBody | None, forgotten: set[SessionId]) -> list[str]:
        """Return what a keeper saw at the head of a store, and what is not there now."""
        if heads is None:
            return []
        known = {snapshot.session: snapshot.root_sha256 for snapshot in self.all_snapshots()}
        findings = []
        for head in heads.heads:
            session = SessionId(host=head.host, seq=head.seq)
            if session not in forgotten and known.get(session) != head.root_sha256:
                findings.append(
                    f"snapshot {session}: a keeper has seen it as the newest of its store, and it "
                    "is gone or replaced without having been forgotten"
                )
        return findings

    def _gaps(self, forgotten: set[SessionId]) -> list[str]:
        """Return what the snapshots say was there before them and is not (FORMAT.md 11.5)."""
        head = self.log_head().number
        snapshots = self.all_snapshots()
        known = {snapshot.session: snapshot.root_sha256 for snapshot in snapshots}
        findings = []
        for snapshot in snapshots:
            if snapshot.log_seen > head:
                findings.append(
                    f"log: snapshot {snapshot.short_id} has seen entry {snapshot.log_seen}, "
                    f"the log ends at {head}: entries were removed"
                )
            if snapshot.previous is None:
                continue
            seq, sha256 = snapshot.previous
            before = SessionId(host=snapshot.session.host, seq=seq)
            if before not in forgotten and known.get(before) != sha256:
                findings.append(
                    f"snapshot {before}: {snapshot.short_id} was made after it, and it is gone "
                    "or replaced without having been forgotten"
                )
        return findings

    def all_snapshots(self) -> list[Snapshot]:
        """Return every snapshot seen, forgotten ones too, in no order; tags as they were made."""
        rows = self._db.execute("SELECT summary FROM outcome WHERE summary IS NOT NULL")
        return [decode(Snapshot, row[0], what="catalog", limit=_SUMMARY_LIMIT) for row in rows]

    def _remember(self, session: SessionId, data: bytes, trust: Trust, keys: KeyFinder) -> None:
        body = roots.open_outcome(data, session, trust)
        summary = None
        shown = _ALL
        if isinstance(body, RootBody):
            found = keys(trust.host_domain(session.host), body.epoch)
            shown = _shown_by(found)
            summary = encode(summarise(body, hashing.sha256(data), found))
        self._db.execute(
            "INSERT OR REPLACE INTO outcome VALUES (?,?,?,?)",
            (session.host, session.seq, summary, shown),
        )

    def _can_show_more(
        self, session: SessionId, shown: int | None, trust: Trust, keys: KeyFinder
    ) -> bool:
        """Tell whether reading an outcome (again) would show what is not remembered."""
        if shown is None or shown == _ALL:
            return shown is None
        (summary,) = self._db.execute(
            "SELECT summary FROM outcome WHERE host=? AND seq=?", (session.host, session.seq)
        ).fetchone()
        epoch = decode(Snapshot, summary, what="catalog", limit=_SUMMARY_LIMIT).epoch
        return _shown_by(keys(trust.host_domain(session.host), epoch)) > shown

    def snapshots(self, trust: Trust, keys: KeyFinder) -> list[Snapshot]:
        """Return the live snapshots, oldest first."""
        forgotten = self.forgotten()
        tags, _ = self._tags(trust, keys)
        found = []
        for snapshot in self.all_snapshots():
            if snapshot.session in forgotten:
                continue
            if snapshot.session in tags:
                changed = _changed(snapshot.tags, tags[snapshot.session])
                found.append(replace(snapshot, tags=changed))
            else:
                found.append(snapshot)
        return sorted(found, key=lambda snapshot: (snapshot.started_ns, snapshot.session))

    def _tags(
        self, trust: Trust, keys: KeyFinder
    ) -> tuple[dict[SessionId, list[TagNames]], list[str]]:
        """Return the tags that the log changes, and what is wrong with entries left out.

        A keeper may write rubbish; that must not keep anybody from restoring.
        """
        changes: dict[SessionId, list[TagNames]] = {}
        findings = []
        for number, event in self.state().tags:
            found = keys(event.domain, event.epoch)
            if found is None:
                continue
            session = SessionId(host=event.host, seq=event.seq)
            try:
                names = open_tags(number, event, trust, found)
            except IntegrityError as error:
                findings.append(f"tags in log entry {number}: {error.message}")
            else:
                changes.setdefault(session, []).append(names)
        return changes, findings


def _shown_by(keys: ListingKeys | None) -> int:
    """Return how much of a snapshot keys show."""
    if keys is None:
        return _NOTHING
    return _REFS if keys.chunk_id_key is None else _ALL


@contextmanager
def _noting(findings: list[str], what: str) -> Iterator[None]:
    """Turn what cannot be believed into a finding."""
    try:
        yield
    except IntegrityError as error:
        findings.append(f"{what}: {error.message}")


def seal_tags(names: TagNames, number: int, trust: Trust, keys: ListingKeys) -> bytes:
    """Seal tag names for log entry ``number``."""
    return aead.seal_once(
        contexts.tags_key(keys.index_key, trust.vault_id, number), encode(names), b""
    )


def open_tags(number: int, event: TagBody, trust: Trust, keys: ListingKeys) -> TagNames:
    """Open the tag names of log entry ``number``.

    Raises:
        IntegrityError: They are not what was sealed.
    """
    key = contexts.tags_key(keys.index_key, trust.vault_id, number)
    opened = aead.open_once(key, event.sealed, b"")
    return decode(TagNames, opened, what=f"tags in log entry {number}", limit=_SUMMARY_LIMIT)


def _changed(tags: tuple[str, ...], changes: list[TagNames]) -> tuple[str, ...]:
    current = list(tags)
    for change in changes:
        current = [tag for tag in current if tag not in change.remove]
        current += [tag for tag in change.add if tag not in current]
    return tuple(current)


def summarise(root: RootBody, sha256: bytes, keys: ListingKeys | None) -> Snapshot:
    """Return a root as it is listed, as far as the keys at hand show it."""
    refs = None if keys is None else roots.open_refs(root, keys.index_key)
    chunk_id_key = None if keys is None else keys.chunk_id_key
    label = None if chunk_id_key is None else roots.open_label(root, chunk_id_key)
    return Snapshot(
        session=SessionId(host=root.host, seq=root.seq),
        root_sha256=sha256,
        kind=Kind(root.kind),
        chain=root.chain,
        base=root.base,
        store_id=root.store_id,
        epoch=root.epoch,
        started_ns=root.started_ns,
        ended_ns=root.ended_ns,
        store="" if refs is None else refs.store,
        tags=() if refs is None else refs.tags,
        hostname="" if label is None else label.hostname,
        username="" if label is None else label.username,
        roots=() if label is None else label.roots,
        counts=Counts() if refs is None else _counts(refs),
        previous=None if root.previous is None else (root.previous.seq, root.previous.sha256),
        log_seen=root.log_seen,
        stored=0 if refs is None else pack_bytes(refs, what="refs"),
        software=root.software,
    )


def _counts(refs: RefsSection) -> Counts:
    body = refs.counts
    return Counts(**{name: getattr(body, name) for name in body.__struct_fields__})
