"""What the live snapshots need, and what of it is there: one table for whoever asks.

Checking, scrubbing, pruning and adding up ask the same of a vault. What snapshots need and what the
backend lists meet in a temporary database, so that memory stays flat however many packs there are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Self

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.errors import IntegrityError, ObjectNotFoundError
from vaultd.core.snapshot import SessionId, Snapshot
from vaultd.vault import layout, roots
from vaultd.vault.catalog import KeyFinder
from vaultd.vault.committed import read_root
from vaultd.vault.trust import Trust

_SCHEMA = """
CREATE TABLE object (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER, modified_ns INTEGER);
CREATE TABLE need (object INTEGER, snapshot INTEGER, size INTEGER,
  PRIMARY KEY (object, snapshot)) WITHOUT ROWID;
CREATE TABLE incoming (name TEXT, size INTEGER)
"""


class UnreadableRoot(Struct, frozen=True, kw_only=True):
    """A live snapshot of which nobody can say what it needs.

    Attributes:
        snapshot: The snapshot.
        reason: Lower-case clause without final stop.
    """

    snapshot: Snapshot
    reason: str


class Needed(Struct, frozen=True, kw_only=True):
    """An object that live snapshots need.

    Attributes:
        name: The object.
        size: Its bytes, as the snapshots say.
        found: Its bytes, as the backend says; ``None``: it is missing.
        snapshots: Who needs it, oldest first.
    """

    name: str
    size: int
    found: int | None
    snapshots: tuple[Snapshot, ...]

    @property
    def reason(self) -> str:
        """What is wrong with it: a lower-case clause without final stop."""
        if self.found is None:
            return "is missing"
        return f"has {self.found} bytes, expected {self.size}"


class Totals(Struct, frozen=True, kw_only=True):
    """How many objects, and their bytes together."""

    count: int
    size: int


class References:
    """Packs and index parts: needed by live snapshots, listed by the backend; a context manager.

    One thread fills it; any thread may ask.

    Attributes:
        snapshots: The snapshots that were live, oldest first.
        live: Those of them that still are.
        hidden: Those whose keys are not at hand: what they need is not known here.
        unreadable: Those whose roots are gone or cannot be believed.
        roots: Names of the roots that were read and are good.

    Args:
        snapshots: See above.
    """

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self.snapshots = tuple(snapshots)
        self.hidden: list[Snapshot] = []
        self.unreadable: list[UnreadableRoot] = []
        self.roots: list[str] = []
        self.live = self.snapshots
        # A nameless SQLite database lives in a temporary file and vanishes with the connection.
        self.db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self.db.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        """Return the references themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the temporary file back."""
        self.db.close()

    # Filling

    def add_needs(self, backend: Backend, trust: Trust, find_keys: KeyFinder) -> None:
        """Read the root of every snapshot, and note what it needs.

        Raises:
            StorageError: The backend does not answer.
        """
        for number, snapshot in enumerate(self.snapshots):
            keys = find_keys(trust.host_domain(snapshot.session.host), snapshot.epoch)
            if keys is None:
                self.hidden.append(snapshot)
                continue
            name = layout.outcome(snapshot.session)
            try:
                root = read_root(backend, trust, snapshot)
                self._add(number, roots.needed(root, roots.open_refs(root, keys.index_key)))
                self.roots.append(name)
            except (IntegrityError, ObjectNotFoundError) as error:
                reason = error.message.removeprefix(f"{name}: ")  # it is told with its name
                self.unreadable.append(UnreadableRoot(snapshot=snapshot, reason=reason))

    def _add(self, number: int, needs: Iterable[tuple[str, int]]) -> None:
        with self.db:  # all of them or, when the root turns out to be malformed, none
            self.db.execute("BEGIN")
            self.db.executemany("INSERT INTO incoming VALUES (?,?)", needs)
            self.db.execute("INSERT OR IGNORE INTO object (name) SELECT name FROM incoming")
            self.db.execute(
                "INSERT OR IGNORE INTO need SELECT id, ?, incoming.size"
                " FROM incoming JOIN object USING (name)",
                (number,),
            )
            self.db.execute("DELETE FROM incoming")

    def add_listed(self, backend: Backend, *prefixes: str) -> None:
        """Note what the backend lists; packs and index parts by default.

        Raises:
            StorageError: The backend does not answer.
        """
        for prefix in prefixes or (layout.PACKS, layout.PARTS):
            with self.db:
                self.db.execute("BEGIN")
                self.db.executemany(
                    "INSERT INTO object (name, size, modified_ns) VALUES (?,?,?) ON CONFLICT (name)"
                    " DO UPDATE SET size=excluded.size, modified_ns=excluded.modified_ns",
                    ((info.name, info.size, info.modified_ns) for info in backend.list(prefix)),
                )

    def replace(self, name: str, by: str, size: int) -> None:
        """Say that another object does for one that snapshots need.

        Args:
            name: What the snapshots name.
            by: What is needed in its place.
            size: Its bytes.
        """
        with self.db:
            self.db.execute("BEGIN")
            self.db.execute("INSERT OR IGNORE INTO object (name) VALUES (?)", (by,))
            self.db.execute(
                "INSERT OR REPLACE INTO need SELECT stands.id, snapshot, ? FROM need"
                " JOIN object AS lost ON object=lost.id JOIN object AS stands"
                " WHERE lost.name=? AND stands.name=?",
                (size, name, by),
            )
            self.db.execute(
                "DELETE FROM need WHERE object=(SELECT id FROM object WHERE name=?)", (name,)
            )

    def leave_out(self, sessions: Collection[SessionId]) -> None:
        """Take snapshots out that are not live any more, with what they needed."""
        gone = [at for at, one in enumerate(self.snapshots) if one.session in sessions]
        self.db.executemany("DELETE FROM need WHERE snapshot=?", ((at,) for at in gone))
        self.hidden = [one for one in self.hidden if one.session not in sessions]
        self.unreadable = [one for one in self.unreadable if one.snapshot.session not in sessions]
        self.live = tuple(one for one in self.live if one.session not in sessions)

    # Asking

    def broken(self) -> Iterator[Needed]:
        """Yield what is needed and is missing, or has another length, by name."""
        rows = self.db.execute(
            "SELECT name, need.size, object.size, group_concat(snapshot)"
            " FROM object JOIN need ON object=id"
            " WHERE object.size IS NULL OR object.size<>need.size GROUP BY id ORDER BY name"
        )
        for name, size, found, numbers in rows:
            yield Needed(name=name, size=size, found=found, snapshots=self._snapshots(numbers))

    def needed(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Return name and bytes of what is needed and there, by name."""
        return self.db.execute(
            "SELECT name, size FROM object WHERE name GLOB ? AND EXISTS (SELECT 1 FROM need"
            " WHERE object=id AND need.size=object.size) ORDER BY name",
            (f"{prefix}*",),
        )

    def unneeded(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Return name and bytes of what is listed and needed by no snapshot known, by name."""
        return self.db.execute(
            "SELECT name, size FROM object WHERE size IS NOT NULL AND name GLOB ?"
            " AND id NOT IN (SELECT object FROM need) ORDER BY name",
            (f"{prefix}*",),
        )

    def users(self, name: str) -> tuple[Snapshot, ...]:
        """Return the snapshots that need an object, oldest first."""
        row = self.db.execute(
            "SELECT group_concat(snapshot) FROM object JOIN need ON object=id WHERE name=?", (name,)
        ).fetchone()
        return self._snapshots(row[0] or "")

    def totals(self, prefix: str = layout.PACKS) -> Totals:
        """Return how much the snapshots need, there or not."""
        row = self.db.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM (SELECT max(need.size) AS size"
            " FROM object JOIN need ON object=id WHERE name GLOB ? GROUP BY id)",
            (f"{prefix}*",),
        ).fetchone()
        return Totals(count=row[0], size=row[1])

    def _snapshots(self, numbers: str) -> tuple[Snapshot, ...]:
        found = sorted(int(number) for number in numbers.split(",") if number)
        return tuple(self.snapshots[number] for number in found)


def gather(
    backend: Backend, trust: Trust, find_keys: KeyFinder, snapshots: Sequence[Snapshot]
) -> References:
    """Return what live snapshots need and what is there; the caller's ``with`` closes it.

    Args:
        backend: Where the vault lies.
        trust: Whom to believe.
        find_keys: Keys of domains, as far as they are at hand.
        snapshots: The live ones, oldest first.

    Raises:
        StorageError: The backend does not answer.
    """
    references = References(snapshots)
    try:
        references.add_needs(backend, trust, find_keys)
        references.add_listed(backend)
    except BaseException:
        references.db.close()
        raise
    return references
