"""The SQLite file in which one machine remembers one host's sessions, packs and chunks.

The vault is the truth; this is a cache that can be rebuilt from roots and index parts, and a
journal of packs that were acknowledged but not yet committed. One file per host. After a power cut
the last acknowledged packs may be unknown here and are uploaded again: that costs time and loses
nothing.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from vaultd.format.session import PartRef
from vaultd.vault.local_db import open_database, transaction

OPEN, COMMITTED, DEAD = "open", "committed", "dead"
NOT_AVOIDED, LOST, BLOCKED = 0, 1, 2
"""Why new snapshots avoid a pack: this host has seen that it is gone, or the log says so."""

_SCHEMA = """
DROP TABLE IF EXISTS session;
DROP TABLE IF EXISTS part;
DROP TABLE IF EXISTS pack;
DROP TABLE IF EXISTS holding;
DROP TABLE IF EXISTS chunk;
CREATE TABLE session (
  seq INTEGER PRIMARY KEY, state TEXT NOT NULL, kind TEXT NOT NULL, chain INTEGER NOT NULL,
  base INTEGER NOT NULL, store_id BLOB NOT NULL, includes TEXT NOT NULL, root_sha256 BLOB NOT NULL,
  options BLOB NOT NULL, started_ns INTEGER NOT NULL);
CREATE TABLE part (
  id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, sha256 BLOB NOT NULL UNIQUE, size INTEGER NOT NULL);
CREATE TABLE pack (
  id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, sha256 BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
  kind INTEGER NOT NULL, part INTEGER, avoided INTEGER NOT NULL DEFAULT 0);
CREATE TABLE holding (
  pack INTEGER NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (pack, since)) WITHOUT ROWID;
CREATE INDEX holding_since ON holding (since);
CREATE TABLE chunk (
  id BLOB NOT NULL, pack INTEGER NOT NULL, position INTEGER NOT NULL, offset INTEGER NOT NULL,
  stored INTEGER NOT NULL, raw INTEGER NOT NULL, PRIMARY KEY (id, pack)) WITHOUT ROWID;
CREATE TABLE journal (pack INTEGER PRIMARY KEY, ids BLOB NOT NULL);
"""
_VERSION = 2


class SessionRow(Struct, frozen=True, kw_only=True):
    """One session as remembered; see `vaultd.format.session.RootBody` for the fields.

    Attributes:
        state: `OPEN`, `COMMITTED` or `DEAD`.
        includes: Sessions whose holdings the snapshot needs, itself included.
        options: Fingerprint of the capture options.
    """

    seq: int
    state: str
    kind: str
    chain: int
    base: int
    store_id: bytes
    includes: tuple[int, ...]
    root_sha256: bytes = b""
    options: bytes = b""
    started_ns: int = 0


class IndexFile:
    """Sessions and index parts of one host; every method may be called from any thread.

    Args:
        path: The SQLite file; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._db = open_database(path, _SCHEMA, _VERSION)
        self.chunk_table = "chunk"
        """Where chunks are put at this moment."""

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run statements as one transaction; nested ones join the outer."""
        with self._lock, transaction(self._db, self.path) as db:
            yield db

    @contextmanager
    def adding_many(self) -> Iterator[sqlite3.Connection]:
        """Add many packs as one transaction: their chunks are put in order before they go in.

        Ids are random, so each chunk would touch a page of its own in a file of any size.
        """
        with self.transaction() as db:
            db.execute("CREATE TEMP TABLE IF NOT EXISTS incoming AS SELECT * FROM chunk LIMIT 0")
            self.chunk_table = "incoming"
            try:
                yield db
            finally:
                self.chunk_table = "chunk"
            db.execute("INSERT OR IGNORE INTO chunk SELECT * FROM incoming ORDER BY id, pack")
            db.execute("DELETE FROM incoming")

    def save_session(self, row: SessionRow) -> None:
        """Add or replace one session."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO session VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    row.seq, row.state, row.kind, row.chain, row.base, row.store_id,
                    json.dumps(row.includes), row.root_sha256, row.options, row.started_ns,
                ),
            )  # fmt: skip

    def sessions(
        self, state: str | None = None, *, store_id: bytes | None = None
    ) -> list[SessionRow]:
        """Return sessions, ascending: all, or those of one state, or of one store."""
        with self._lock:
            rows = self._db.execute(
                "SELECT * FROM session WHERE (?1 IS NULL OR state=?1)"
                " AND (?2 IS NULL OR store_id=?2) ORDER BY seq",
                (state, store_id),
            )
            return [_session(row) for row in rows]

    def session(self, seq: int) -> SessionRow | None:
        """Return one session; ``None`` when it is not known."""
        with self._lock:
            row = self._db.execute("SELECT * FROM session WHERE seq=?", (seq,)).fetchone()
            return None if row is None else _session(row)

    def last_session(self) -> int:
        """Return the highest number of a session that is known; 0 when none is."""
        with self._lock:
            found: int | None = self._db.execute("SELECT MAX(seq) FROM session").fetchone()[0]
            return found or 0

    def mark(self, seqs: Iterable[int], state: str) -> None:
        """Set the state of sessions."""
        with self.transaction() as db:
            db.executemany("UPDATE session SET state=? WHERE seq=?", [(state, seq) for seq in seqs])

    def add_part(self, part: PartRef) -> int:
        """Remember an index part and return its number."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO part (seq, sha256, size) VALUES (?,?,?)",
                (part.seq, part.sha256, part.size),
            )
            return int(
                db.execute("SELECT id FROM part WHERE sha256=?", (part.sha256,)).fetchone()[0]
            )

    def part_number(self, sha256: bytes) -> int | None:
        """Return the number of an index part whose packs are all known here."""
        with self._lock:
            row = self._db.execute("SELECT id FROM part WHERE sha256=?", (sha256,)).fetchone()
        return None if row is None else int(row[0])

    def part(self, number: int) -> PartRef:
        """Return an index part by number."""
        with self._lock:
            return PartRef(
                *self._db.execute(
                    "SELECT seq, sha256, size FROM part WHERE id=?", (number,)
                ).fetchone()
            )


def knows_pack(index: IndexFile, sha256: bytes) -> bool:
    """Tell whether it is known what lies in a pack."""
    with index.transaction() as db:
        found = db.execute("SELECT 1 FROM pack WHERE sha256=?", (sha256,)).fetchone()
    return found is not None


def block(index: IndexFile, sha256s: Iterable[bytes]) -> None:
    """Let no new snapshot rely on these packs, and on those blocked before let it again."""
    with index.transaction() as db:
        db.execute("UPDATE pack SET avoided=? WHERE avoided=?", (NOT_AVOIDED, BLOCKED))
        db.executemany(
            "UPDATE pack SET avoided=? WHERE sha256=? AND avoided=?",
            [(BLOCKED, sha256, NOT_AVOIDED) for sha256 in sha256s],
        )


def _session(row: tuple[Any, ...]) -> SessionRow:
    return SessionRow(
        seq=row[0], state=row[1], kind=row[2], chain=row[3], base=row[4],
        store_id=row[5], includes=tuple(json.loads(row[6])), root_sha256=row[7],
        options=row[8], started_ns=row[9],
    )  # fmt: skip
