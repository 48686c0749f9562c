"""One host's side of a vault: opening sessions, closing dead ones, recovering lost state.

Order is everything here (FORMAT.md 5): the intent is created *before* the log is read, so that a
keeper that marks packs sees either the intent or a commit. Nothing needs a clock, a lease or a
remote lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from vaultd.backends.base import Backend
from vaultd.core.clock import Clock
from vaultd.core.errors import (
    BrokenChainError,
    IntegrityError,
    KeyringError,
    LockedError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from vaultd.core.events import Note, Observer
from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.format.session import IntentBody, RootBody, SupersededBody, pack_refs
from vaultd.format.signed import INTENT, OUTCOME
from vaultd.vault import layout, roots
from vaultd.vault.catalog import Catalog
from vaultd.vault.chunk_index import ChunkIndex
from vaultd.vault.index_file import COMMITTED, DEAD, OPEN, SessionRow, block
from vaultd.vault.keyring import HostKeys
from vaultd.vault.loading import load_parts
from vaultd.vault.locks import file_lock
from vaultd.vault.log import LogHead
from vaultd.vault.presence import presence
from vaultd.vault.trust import Trust, sign_object


class HostVault(Struct, frozen=True, kw_only=True):
    """A vault as one enrolled host sees it.

    Attributes:
        backend: Where objects lie.
        trust: Whom to believe.
        keys: What this host holds.
        index: Its sessions, packs and chunks.
        catalog: Outcomes and log.
        folder: State directory of this vault.
        spool: Folder for spool files.
        clock: The time.
        random: Source of random bytes.
        observer: Takes notes.
        software: Name and version of the program.
    """

    backend: Backend
    trust: Trust
    keys: HostKeys
    index: ChunkIndex
    catalog: Catalog
    folder: Path
    spool: Path
    clock: Clock
    random: Callable[[int], bytes]
    observer: Observer
    software: str

    def session_id(self, seq: int) -> SessionId:
        """Return the id of one of this host's sessions."""
        return SessionId(host=self.keys.host, seq=seq)

    def live_sessions(self, store_id: bytes | None = None) -> list[SessionRow]:
        """Return this host's committed sessions that the log has not forgotten, ascending.

        Args:
            store_id: Of one store only.
        """
        forgotten = self.catalog.forgotten()
        rows = self.index.sessions(COMMITTED, store_id=store_id)
        return [row for row in rows if self.session_id(row.seq) not in forgotten]


class Opened(Struct, frozen=True, kw_only=True):
    """A session that has begun: intent written, dead sessions closed, log read.

    Attributes:
        seq: Its number.
        adopted: Dead sessions whose packs it may use.
        head: Newest log entry, read after the intent.
        trusted_log: The log is what it was; when not, nothing is deduplicated.
    """

    seq: int
    adopted: tuple[int, ...]
    head: LogHead
    trusted_log: bool


@contextmanager
def open_session(host: HostVault, store_id: bytes) -> Iterator[Opened]:
    """Begin a session and keep it marked as alive.

    Raises:
        LockedError: The same store is being captured by another process.
        StorageError: The intent could not be written.
    """
    locks = _locks(host)
    with file_lock(locks / f"store-{store_id.hex()}", "this store"):
        if not host.index.last_session():
            recover(host)
        with _opened(host, store_id, _dead_sessions(host, locks)) as opened:
            yield opened


@contextmanager
def continue_session(host: HostVault, store_id: bytes, revoked: int) -> Iterator[Opened]:
    """Begin a session in place of one of this process that was revoked, and adopt its packs.

    Raises:
        StorageError: The intent could not be written.
    """
    with _opened(host, store_id, (revoked,)) as opened:
        yield opened


@contextmanager
def _opened(host: HostVault, store_id: bytes, dead: tuple[int, ...]) -> Iterator[Opened]:
    seq = _create_intent(host, store_id, dead)
    lock = _locks(host) / f"session-{seq}"
    with file_lock(lock, f"session {seq}"):
        host.index.save_session(_row(seq, store_id, host.clock.now_ns()))
        adopted = tuple(one for one in dead if _close_dead(host, one, seq))
        head, trusted = _read_log(host)
        _take_over(host, adopted if trusted else (), seq)
        yield Opened(seq=seq, adopted=adopted, head=head, trusted_log=trusted)
    lock.unlink(missing_ok=True)


def _locks(host: HostVault) -> Path:
    locks = host.folder / "locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    return locks


def _row(seq: int, store_id: bytes, started_ns: int) -> SessionRow:
    return SessionRow(
        seq=seq,
        state=OPEN,
        kind="",
        chain=0,
        base=0,
        store_id=store_id,
        includes=(seq,),
        started_ns=started_ns,
    )


def _dead_row(seq: int) -> SessionRow:
    return replace(_row(seq, b"", 0), state=DEAD)


def _dead_sessions(host: HostVault, locks: Path) -> tuple[int, ...]:
    """Return own sessions that began and ended without an outcome, as far as known here."""
    dead = []
    for row in host.index.sessions(OPEN):
        try:
            with file_lock(locks / f"session-{row.seq}", "session"):
                dead.append(row.seq)
        except LockedError:
            continue
        (locks / f"session-{row.seq}").unlink(missing_ok=True)
    return tuple(dead)


def _create_intent(host: HostVault, store_id: bytes, dead: tuple[int, ...]) -> int:
    seq = host.index.last_session() + 1
    while True:
        _check_grant(host, seq)
        body = IntentBody(
            host.trust.vault_id, host.keys.host, seq, store_id, host.clock.now_ns(),
            host.catalog.log_head().number, dead, host.software,
        )  # fmt: skip
        try:
            host.backend.put(
                layout.intent(host.session_id(seq)), sign_object(INTENT, body, host.keys.signer)
            )
        except ObjectExistsError:
            # Sessions exist that this machine does not remember: its state is older than the vault.
            seq = max(recover(host), seq) + 1
            continue
        return seq


def _may_sign(host: HostVault, seq: int) -> bool:
    return host.keys.signer.public in host.trust.host_keys(host.keys.host, seq)


def _check_grant(host: HostVault, seq: int) -> None:
    if not _may_sign(host, seq):
        raise KeyringError(
            f"host {host.keys.host}: its key may not sign session {seq}, nobody would believe it",
            hint="Enrol this host again: its key was revoked or replaced.",
        )


def _close_dead(host: HostVault, dead: int, seq: int) -> bool:
    """Close a dead session; tell whether its packs may be adopted (not when it did commit)."""
    session = host.session_id(dead)
    body = SupersededBody(host.trust.vault_id, host.keys.host, dead, seq)
    try:
        if not _may_sign(host, dead):
            # It belongs to the key before this one: what this key says of it is not believed.
            return _is_closed(host, session)
        host.backend.put(layout.outcome(session), sign_object(OUTCOME, body, host.keys.signer))
    except ObjectExistsError:
        return not _take_in(host, session)
    return True


def _is_closed(host: HostVault, session: SessionId) -> bool:
    try:
        host.backend.head(layout.outcome(session))
    except ObjectNotFoundError:
        host.index.mark([session.seq], DEAD)
        return False
    return not _take_in(host, session)


def _take_over(host: HostVault, adopted: tuple[int, ...], seq: int) -> None:
    taken = 0
    for dead in adopted:
        # The dead session may have taken over packs of others that had died before it.
        packs = (row for row in host.index.packs_held([dead]) if row.part is None)
        there = presence(host.backend, host.keys.host, packs)
        kept = {row.sha256 for row, is_there in there if is_there}
        taken += host.index.inherit(dead, seq, kept)
    if taken:
        host.observer(
            Note(text=f"resuming: {taken} packs of an interrupted run need not be uploaded again")
        )


def _read_log(host: HostVault) -> tuple[LogHead, bool]:
    try:
        head = host.catalog.refresh_log(host.backend, host.trust)
        block(host.index, host.catalog.state().blocked(host.keys.host))
    except (BrokenChainError, IntegrityError) as error:
        # A backup is never skipped; it just relies on nothing that somebody may have tampered with.
        text = (
            f"ALARM: {error.message}; this run stores everything again and trusts no earlier pack"
        )
        host.observer(Note(text=text, warning=True))
        return host.catalog.log_head(), False
    return head, True


# Recovering what this machine has lost


def recover(host: HostVault) -> int:
    """Learn every session of this host from the vault, and return the highest number seen."""
    known = {row.seq: row for row in host.index.sessions()}
    highest = 0
    outcomes = {
        layout.session_of(info.name).seq
        for info in host.backend.list(f"{layout.OUTCOMES}{host.keys.host}/")
    }
    learned = 0
    for seq in sorted(outcomes):
        highest = max(highest, seq)
        if seq in known and known[seq].state != OPEN:
            continue
        if _take_in(host, host.session_id(seq)):
            learned += 1
        elif seq not in known:
            host.index.save_session(_dead_row(seq))
    for info in host.backend.list(f"{layout.SESSIONS}{host.keys.host}/"):
        seq = layout.session_of(info.name).seq
        highest = max(highest, seq)
        if seq not in outcomes and seq not in known:
            host.index.save_session(_row(seq, b"", 0))
    if learned:
        host.observer(
            Note(text=f"the vault holds {learned} snapshots that this machine's state did not know")
        )
    return highest


def _take_in(host: HostVault, session: SessionId) -> bool:
    """Look at the outcome of a session; when it committed, learn what its snapshot holds.

    What cannot be believed or read any more is told, and nothing is built on it: a backup is never
    skipped.
    """
    committed = False
    try:
        data = host.backend.get(layout.outcome(session))
        body = roots.open_outcome(data, session, host.trust)
        committed = isinstance(body, RootBody)
        if isinstance(body, RootBody):
            _learn(host, body, hashing.sha256(data))
    except (IntegrityError, KeyringError, ObjectNotFoundError) as error:
        text = f"ALARM: session {session}: {error.message}; nothing new is built on it"
        host.observer(Note(text=text, warning=True))
        if committed:
            host.index.save_session(_dead_row(session.seq))
    return committed


def _learn(host: HostVault, root: RootBody, sha256: bytes) -> None:
    """Take a committed snapshot into the index: its packs, chunks and holdings."""
    keys = host.keys.of_epoch(root.epoch)
    refs = roots.open_refs(root, keys.index_key)
    what = f"snapshot {root.host}/{root.seq:010d}"
    for failure in load_parts(host.backend, host.index, refs.parts, root, host.keys.index_key):
        raise failure.error
    needed = {ref.sha256 for ref in pack_refs(refs, what=what)}
    includes: tuple[int, ...] = ()
    base = host.index.session(root.base)
    if base is not None and base.state == COMMITTED:
        held = {row.sha256 for row in host.index.packs_held(base.includes)}
        if held <= needed:
            includes, needed = base.includes, needed - held
    with host.index.transaction():
        host.index.hold(sorted(needed), root.seq)
        host.index.save_session(
            SessionRow(
                seq=root.seq, state=COMMITTED, kind=root.kind, chain=root.chain, base=root.base,
                store_id=root.store_id, includes=(*includes, root.seq), root_sha256=sha256,
                started_ns=root.started_ns,
            )
        )  # fmt: skip
