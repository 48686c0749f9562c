"""Which objects must be locked until when, beside the versions that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from vaultd.backends.versions import Version
from vaultd.vault.local_db import open_database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS known (
  name TEXT PRIMARY KEY, version TEXT NOT NULL, until_ns INTEGER NOT NULL) WITHOUT ROWID;
"""
_VERSION = 1
_NEED = (
    "CREATE TEMP TABLE need (name TEXT PRIMARY KEY, size INTEGER, promise_ns INTEGER NOT NULL,"
    " snapshot INTEGER NOT NULL) WITHOUT ROWID"
)
_THERE = (
    "CREATE TEMP TABLE there (name TEXT PRIMARY KEY, id TEXT NOT NULL, size INTEGER NOT NULL,"
    " modified_ns INTEGER NOT NULL, newest INTEGER NOT NULL) WITHOUT ROWID"
)


class Due(Struct, frozen=True, kw_only=True):
    """One object whose lock is to be looked at.

    Attributes:
        version: The version that snapshots need; ``None``: there is none.
        name: The object.
        promise_ns: Until when it must be locked.
        snapshot: Position of the snapshot that needs it for longest.
    """

    version: Version | None
    name: str
    promise_ns: int
    snapshot: int


class Ledger:
    """What is needed, what is there, and what is known of its locks from earlier runs.

    Locks are only ever extended, so what was seen once holds: a run asks the server for those
    objects alone of which it does not know that they are locked for long enough.

    Args:
        path: SQLite file of what is known; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._db = open_database(path, _SCHEMA, _VERSION)
        self._db.execute(_NEED)
        self._db.execute(_THERE)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def need(
        self, objects: Iterable[tuple[str, int | None]], promise_ns: int, snapshot: int
    ) -> None:
        """Note that a snapshot needs objects until a time; the longest promise counts.

        Args:
            objects: Names, and sizes as far as they are known.
            promise_ns: Until when.
            snapshot: Its position.
        """
        self._many(
            "INSERT INTO need VALUES (?,?,?,?) ON CONFLICT (name) DO UPDATE SET"
            " promise_ns=excluded.promise_ns, snapshot=excluded.snapshot"
            " WHERE excluded.promise_ns > promise_ns",
            ((name, size, promise_ns, snapshot) for name, size in objects),
        )

    def found(self, versions: Iterable[Version]) -> None:
        """Note what is there, oldest first: the first of the right size is what was put."""
        self._many(
            "INSERT OR IGNORE INTO there SELECT need.name,?,?,?,? FROM need"
            " WHERE need.name=? AND coalesce(need.size,?)=?",
            (
                (one.id, one.size, one.modified_ns, one.is_newest, one.name, one.size, one.size)
                for one in versions
                if not one.is_marker
            ),
        )

    def due(self, *, even_known: bool) -> Iterator[Due]:
        """Yield what must be locked, by name.

        Args:
            even_known: Also what is known to be locked for long enough.
        """
        rows = self._db.execute(
            "SELECT need.name, need.promise_ns, need.snapshot,"
            " there.id, there.size, there.modified_ns, there.newest FROM need"
            " LEFT JOIN there ON there.name=need.name"
            " LEFT JOIN known ON known.name=need.name AND known.version=there.id"
            " WHERE ? OR known.until_ns IS NULL OR known.until_ns < need.promise_ns"
            " ORDER BY need.name",
            (even_known,),
        ).fetchall()
        for name, promise_ns, snapshot, version_id, size, modified_ns, newest in rows:
            version = None
            if version_id is not None:
                version = Version(
                    name=name,
                    id=version_id,
                    size=size,
                    modified_ns=modified_ns,
                    is_newest=bool(newest),
                )
            yield Due(version=version, name=name, promise_ns=promise_ns, snapshot=snapshot)

    def count(self) -> int:
        """Return how many objects are needed."""
        return int(self._db.execute("SELECT count(*) FROM need").fetchone()[0])

    def remember(self, locked: Iterable[tuple[Version, int]]) -> None:
        """Note until when versions are locked, 0: not at all."""
        self._many(
            "INSERT OR REPLACE INTO known VALUES (?,?,?)",
            ((version.name, version.id, until_ns) for version, until_ns in locked),
        )

    def _many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._db.execute("BEGIN")
        try:
            self._db.executemany(statement, rows)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
