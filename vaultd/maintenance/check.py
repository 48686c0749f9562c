"""Is everything there that the snapshots need, and does it open: looking only, changing nothing.

What is wrong is returned, not raised; an error means that it could not be looked at.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.compression import Decompressor
from vaultd.core.clock import Clock
from vaultd.core.errors import IntegrityError, ObjectNotFoundError
from vaultd.core.events import Advanced, Observer, PhaseStarted
from vaultd.core.snapshot import SessionId, Snapshot
from vaultd.pipeline.reporting import Progress
from vaultd.pipeline.workers import Crew, bulk_work
from vaultd.vault import layout, receipts, roots
from vaultd.vault.catalog import Catalog, KeyFinder
from vaultd.vault.committed import read_root
from vaultd.vault.keyring import ReadKeys
from vaultd.vault.proving import PackProver, TreeProver
from vaultd.vault.reader import ReadContext
from vaultd.vault.trust import Trust


class CheckContext(Struct, frozen=True, kw_only=True):
    """What checking needs.

    Attributes:
        backend: Where the vault lies.
        trust: Whom to believe.
        catalog: What this machine remembers.
        find_keys: Keys of domains, as far as they are at hand.
        keys: What a recovery key opens; ``None``: nothing can be decrypted, hashes still tell.
        folder: Where indexes are kept on this machine.
        clock: For progress.
        observer: Takes progress.
    """

    backend: Backend
    trust: Trust
    catalog: Catalog
    find_keys: KeyFinder
    keys: ReadKeys | None
    folder: Path
    clock: Clock
    observer: Observer


class Damage(Struct, frozen=True, kw_only=True):
    """One thing that is wrong.

    Attributes:
        name: The object.
        reason: Lower-case clause without final stop.
        snapshots: Short ids of the snapshots that it harms; empty when it harms none by itself.
    """

    name: str
    reason: str
    snapshots: tuple[str, ...] = ()


class CheckReport(Struct, frozen=True, kw_only=True):
    """What was looked at, and what is wrong.

    Attributes:
        snapshots: Live snapshots looked at.
        packs: Packs that they need.
        data: Bytes of these packs.
        read: Bytes that were read and proven.
        opened: Contents were decrypted and compared with their ids, not only hashed.
        damages: What is wrong; empty means that everything looked at is good.
        hidden: Short ids of snapshots whose keys were not at hand.
    """

    snapshots: int
    packs: int
    data: int
    read: int
    opened: bool
    damages: tuple[Damage, ...]
    hidden: tuple[str, ...]


def check(context: CheckContext, *, read_data: bool = False, workers: int = 2) -> CheckReport:
    """Check every live snapshot: its root, its index parts, its packs, and with keys its tree.

    Args:
        context: What checking needs.
        read_data: Read every byte of every pack; without a recovery key their hashes are compared,
            with one every record is opened as well.
        workers: Threads that read.

    Raises:
        BrokenChainError: The log or the key policies were rolled back or rewritten.
        StorageError: The backend does not answer.
    """
    run = _Check(context, workers)
    run.references()
    if context.keys is not None:
        run.trees(context.keys)
    if read_data:
        run.contents()
    return run.report(opened=read_data and context.keys is not None)


class _Check:
    """One check: what is needed and what is there meet in a temporary database."""

    def __init__(self, context: CheckContext, workers: int) -> None:
        self._context = context
        self._workers = workers
        self._damages: list[Damage] = []
        self._hidden: list[str] = []
        self._read = 0
        self._lock = threading.Lock()
        # A nameless SQLite database lives in a temporary file and vanishes with the connection.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.execute(
            "CREATE TABLE need (name TEXT, size INTEGER, snapshot INTEGER,"
            " PRIMARY KEY (name, snapshot)) WITHOUT ROWID"
        )
        self._db.execute("CREATE TABLE have (name TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
        self._snapshots: list[Snapshot] = []

    def _damage(self, name: str, reason: str, snapshots: Iterable[str] = ()) -> None:
        with self._lock:
            self._damages.append(Damage(name=name, reason=reason, snapshots=tuple(snapshots)))

    # References

    def references(self) -> None:
        """Compare what the snapshots need with what is there."""
        context = self._context
        context.observer(PhaseStarted(name="check references"))
        for finding in context.catalog.refresh(context.backend, context.trust, context.find_keys):
            self._damages.append(Damage(name="vault", reason=finding))
        self._snapshots = context.catalog.snapshots(context.trust, context.find_keys)
        self._receipts()
        for number, snapshot in enumerate(self._snapshots):
            self._db.execute("BEGIN")
            self._needs(number, snapshot)
            self._db.execute("COMMIT")
        for prefix in (layout.PACKS, layout.PARTS):
            self._db.execute("BEGIN")
            listed = ((info.name, info.size) for info in context.backend.list(prefix))
            self._db.executemany("INSERT OR REPLACE INTO have VALUES (?,?)", listed)
            self._db.execute("COMMIT")
        self._compare()

    def _receipts(self) -> None:
        """Compare with what this machine knows to have been committed, whatever the vault says."""
        context = self._context
        known = {snapshot.session: snapshot.id for snapshot in self._snapshots}
        gone = context.catalog.forgotten()
        for receipt in receipts.read(context.folder):
            session = SessionId(host=receipt.host, seq=receipt.seq)
            if receipt.vault != context.trust.vault_id.hex() or session in gone:
                continue
            if known.get(session) != receipt.root_sha256:
                reason = (
                    "was committed, as this machine's receipt says, and is gone or replaced "
                    "without having been forgotten"
                )
                self._damage(layout.outcome(session), reason, [receipt.root_sha256[:8]])

    def _needs(self, number: int, snapshot: Snapshot) -> None:
        context, session = self._context, snapshot.session
        name = layout.outcome(session)
        keys = context.find_keys(context.trust.host_domain(session.host), snapshot.epoch)
        if keys is None:
            self._hidden.append(snapshot.short_id)
            return
        try:
            root = read_root(context.backend, context.trust, snapshot)
            refs = roots.open_refs(root, keys.index_key)
            rows = [(*one, number) for one in roots.needed(root, refs)]
        except (IntegrityError, ObjectNotFoundError) as error:
            reason = error.message.removeprefix(f"{name}: ")
            self._damage(name, reason, [snapshot.short_id])
            return
        self._db.executemany("INSERT OR IGNORE INTO need VALUES (?,?,?)", rows)

    def _compare(self) -> None:
        rows = self._db.execute(
            "SELECT need.name, need.size, have.size, group_concat(snapshot) FROM need"
            " LEFT JOIN have ON have.name=need.name"
            " WHERE have.size IS NULL OR have.size<>need.size GROUP BY need.name"
        ).fetchall()
        for name, expected, found, numbers in rows:
            reason = "is missing" if found is None else f"has {found} bytes, expected {expected}"
            self._damage(name, reason, self._ids(numbers))

    def _ids(self, numbers: str) -> list[str]:
        return [
            self._snapshots[int(number)].short_id for number in sorted(numbers.split(","), key=int)
        ]

    # Trees

    def trees(self, keys: ReadKeys) -> None:
        """Read every tree, and look up every chunk that it names."""
        context = self._context
        context.observer(PhaseStarted(name="check trees", files=len(self._snapshots)))
        reading = ReadContext(
            backend=context.backend,
            trust=context.trust,
            keys=keys,
            folder=context.folder,
            observer=context.observer,
        )
        prover = TreeProver(reading)
        for number, snapshot in enumerate(self._snapshots):
            if snapshot.short_id in self._hidden:
                continue
            for reason in prover.prove(snapshot):
                self._damage(layout.outcome(snapshot.session), reason, [snapshot.short_id])
            context.observer(Advanced(files=number + 1, data=0, stored=0))

    # Contents

    def contents(self) -> None:
        """Read every pack and index part that a live snapshot needs."""
        context = self._context
        packs, total = self._totals()
        context.observer(PhaseStarted(name="read data", files=packs, data=total))
        prover = PackProver(context.backend, context.trust, context.keys)
        progress = Progress(context.clock, context.observer)
        with bulk_work(), Crew("check", self._workers, 2, Decompressor) as crew:
            for done, (name, size, numbers) in enumerate(self._needed()):
                crew.submit(partial(self._prove, prover, name, size, numbers))
                progress.report(done, self._read, self._read, name.encode())
            crew.drain()
        progress.finish(packs, self._read, self._read)

    def _prove(
        self, prover: PackProver, name: str, size: int, numbers: str, decompressor: Decompressor
    ) -> None:
        try:
            prover.prove(name, size, decompressor)
        except (IntegrityError, ObjectNotFoundError) as error:
            self._damage(name, error.message, self._ids(numbers))
            return
        with self._lock:
            self._read += size

    def _needed(self) -> Iterator[tuple[str, int, str]]:
        """Yield what is needed and there, with its bytes and the snapshots that need it."""
        yield from self._db.execute(
            "SELECT need.name, need.size, group_concat(snapshot) FROM need"
            " JOIN have ON have.name=need.name AND have.size=need.size GROUP BY need.name"
        )

    def _totals(self) -> tuple[int, int]:
        row = self._db.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM"
            " (SELECT DISTINCT name, size FROM need WHERE name LIKE 'packs/%')"
        ).fetchone()
        return int(row[0]), int(row[1])

    def report(self, *, opened: bool) -> CheckReport:
        """Return what was found."""
        packs, size = self._totals()
        self._db.close()
        return CheckReport(
            snapshots=len(self._snapshots),
            packs=packs,
            data=size,
            read=self._read,
            opened=opened,
            damages=tuple(self._damages),
            hidden=tuple(self._hidden),
        )
