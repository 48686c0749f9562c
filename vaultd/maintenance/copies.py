"""Evidence for 3-2-1-1-0: what each target holds of each store, by listing, and nothing changed.

That an object is listed with its size says that it is there, not that it is whole: what was read
and proven elsewhere (a scrub, a check of everything) comes in as a `Reading`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.clock import rfc3339
from vaultd.core.errors import IntegrityError, ObjectNotFoundError, VaultdError
from vaultd.core.events import Advanced, Observer, PhaseStarted
from vaultd.core.snapshot import Snapshot
from vaultd.crypto import hashing
from vaultd.format.session import RootBody
from vaultd.policy.copies import Digit, Held, Media, count_copies
from vaultd.vault import layout, roots
from vaultd.vault.catalog import KeyFinder
from vaultd.vault.readings import Reading
from vaultd.vault.trust import Trust

_KEYS = "keys/"


class Target(Struct, frozen=True, kw_only=True):
    """One place where the vault lies.

    Attributes:
        name: What people call it.
        backend: It; ``None`` when it cannot be reached.
        media: What it lies on.
        offsite: It is in another building than the data.
        locked: Nobody can delete there before a date; ``None``: not known.
        reading: When all of it was last read; ``None``: never, or nobody noted it.
        failure: Why it cannot be reached.
    """

    name: str
    backend: Backend | None
    media: Media
    offsite: bool
    locked: bool | None = None
    reading: Reading | None = None
    failure: str = ""


class CopiesContext(Struct, frozen=True, kw_only=True):
    """What looking needs.

    Attributes:
        backend: Where roots are read from: all targets as one.
        trust: Whom to believe.
        find_keys: Keys of domains, as far as they are at hand.
        observer: Takes progress.
    """

    backend: Backend
    trust: Trust
    find_keys: KeyFinder
    observer: Observer


class StoreCopies(Struct, frozen=True, kw_only=True):
    """One store of one host.

    Attributes:
        host: The host.
        store: The store's name; the beginning of its id when no key shows the name.
        newest: Short id of its newest live snapshot.
        newest_ns: When that was begun.
        held: What each target holds of it.
        digits: The five digits of 3-2-1-1-0.
        hidden: Live snapshots whose keys are not at hand: they count as complete nowhere.
    """

    host: str
    store: str
    newest: str
    newest_ns: int
    held: tuple[Held, ...]
    digits: tuple[Digit, ...]
    hidden: int

    @property
    def reached(self) -> bool:
        """Whether the rule is kept in all of its digits."""
        return all(digit.reached for digit in self.digits)


def look_at_copies(
    context: CopiesContext, targets: Sequence[Target], snapshots: Iterable[Snapshot]
) -> tuple[StoreCopies, ...]:
    """Count the copies of each store.

    Args:
        context: What looking needs.
        targets: Where the vault lies, the first target first.
        snapshots: The live ones, oldest first.

    Returns:
        One for each store of each host, by name.
    """
    looking = _Looking(context, targets)
    try:
        return looking.run(list(snapshots))
    finally:
        looking.close()


class _Looking:
    """What is needed and what is there meet in a temporary database."""

    def __init__(self, context: CopiesContext, targets: Sequence[Target]) -> None:
        self._context = context
        self._targets = targets
        self._failures = {target.name: target.failure for target in targets}
        # A nameless SQLite database lives in a temporary file and vanishes with the connection.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(
            "CREATE TABLE need (snapshot INTEGER, name TEXT, size INTEGER,"
            " PRIMARY KEY (snapshot, name)) WITHOUT ROWID"
        )
        self._db.execute(
            "CREATE TABLE have (target TEXT, name TEXT, size INTEGER,"
            " PRIMARY KEY (target, name)) WITHOUT ROWID"
        )

    def close(self) -> None:
        self._db.close()

    def run(self, snapshots: list[Snapshot]) -> tuple[StoreCopies, ...]:
        context = self._context
        context.observer(PhaseStarted(name="count copies", files=len(snapshots)))
        for target in self._targets:
            self._list(target)
        stores: dict[tuple[str, str], list[tuple[int, Snapshot]]] = {}
        hidden = set()
        for number, snapshot in enumerate(snapshots):
            if not self._needs(number, snapshot):
                hidden.add(number)
            store = snapshot.store or snapshot.store_id.hex()[:8]
            stores.setdefault((snapshot.session.host, store), []).append((number, snapshot))
            context.observer(Advanced(files=number + 1, data=0, stored=0))
        return tuple(
            self._store(host, store, group, hidden)
            for (host, store), group in sorted(stores.items())
        )

    def _list(self, target: Target) -> None:
        if target.backend is None:
            return
        self._db.execute("BEGIN")
        try:
            for prefix in (layout.VAULT, _KEYS, layout.PACKS, layout.PARTS, layout.OUTCOMES):
                listed = ((target.name, one.name, one.size) for one in target.backend.list(prefix))
                self._db.executemany("INSERT OR REPLACE INTO have VALUES (?,?,?)", listed)
        except VaultdError as error:
            self._failures[target.name] = error.message
        self._db.execute("COMMIT")

    def _needs(self, number: int, snapshot: Snapshot) -> bool:
        """Note what a snapshot needs; return whether that is known."""
        context, session = self._context, snapshot.session
        name = layout.outcome(session)
        domain = context.trust.host_domain(session.host)
        keys = context.find_keys(domain, snapshot.epoch)
        if keys is None:
            return False
        try:
            data = context.backend.get(name)
            root = roots.open_outcome(data, session, context.trust)
            if not isinstance(root, RootBody) or hashing.sha256(data) != snapshot.root_sha256:
                return False
            rows = list(roots.needed(root, roots.open_refs(root, keys.index_key)))
        except (IntegrityError, ObjectNotFoundError):
            return False
        rows.append((name, len(data)))
        policies = range(1, context.trust.policy.number + 1)
        keys_needed = [layout.VAULT, *(layout.policy(at) for at in policies)]
        # Any copy of the bundle will do, so its name is the beginning of one.
        keys_needed.append(layout.bundle(domain, snapshot.epoch))
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT OR IGNORE INTO need VALUES (?,?,?)",
            [(number, *row) for row in rows] + [(number, one, None) for one in keys_needed],
        )
        self._db.execute("COMMIT")
        return True

    def _store(
        self, host: str, store: str, group: list[tuple[int, Snapshot]], hidden: set[int]
    ) -> StoreCopies:
        newest = group[-1][1]
        held = tuple(self._held(target, group, hidden) for target in self._targets)
        return StoreCopies(
            host=host,
            store=store,
            newest=newest.short_id,
            newest_ns=newest.started_ns,
            held=held,
            digits=count_copies(held),
            hidden=sum(number in hidden for number, _ in group),
        )

    def _held(self, target: Target, group: list[tuple[int, Snapshot]], hidden: set[int]) -> Held:
        failure = self._failures[target.name]
        missing: set[str] = set()
        complete = []
        for number, _ in group:
            lacking = self._lacking(target, number) if not failure else set()
            missing |= lacking
            if not failure and not lacking and number not in hidden:
                complete.append(number)
        reading = target.reading
        return Held(
            target=target.name,
            media=target.media,
            offsite=target.offsite,
            locked=target.locked,
            live=len(group),
            complete=len(complete),
            has_newest=group[-1][0] in complete,
            missing=len(missing),
            errors=None if reading is None else reading.errors,
            read_at="" if reading is None else rfc3339(reading.at_ns),
            unreachable=failure,
        )

    def _lacking(self, target: Target, number: int) -> set[str]:
        rows = self._db.execute(
            "SELECT need.name FROM need"
            " LEFT JOIN have ON have.target=? AND have.name=need.name"
            " WHERE need.snapshot=? AND (have.name IS NULL OR have.size<>need.size)",
            (target.name, number),
        )
        return {name for (name,) in rows if not self._has_copy(target, name)}

    def _has_copy(self, target: Target, name: str) -> bool:
        if not name.startswith(layout.BUNDLES):
            return False
        row = self._db.execute(
            "SELECT 1 FROM have WHERE target=? AND name GLOB ?", (target.name, f"{name}.*")
        ).fetchone()
        return row is not None
