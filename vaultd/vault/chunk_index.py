"""What one machine remembers of one host's sessions, packs and chunks: SQLite, flat in memory.

The vault is the truth; this is a cache that can be rebuilt from index parts and roots, and a journal
of packs that were acknowledged but not yet committed. One file per host. Commits do not wait for the
disk (``synchronous=NORMAL``): after a power cut the last acknowledged packs may be unknown here and
are uploaded again, which costs time and loses nothing.

What a snapshot may depend on is kept as sets of *holdings*: a pack is *held since* the session that
brought it into a snapshot, and a session lists in ``includes`` the sessions whose holdings its
snapshot needs. A new snapshot may use exactly the holdings of its base and its own.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vaultd.core.errors import StorageError
from vaultd.format.pack import Record
from vaultd.format.session import PartRef

OPEN, COMMITTED, DEAD = "open", "committed", "dead"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
  seq INTEGER PRIMARY KEY, state TEXT NOT NULL, kind TEXT NOT NULL, chain INTEGER NOT NULL,
  base INTEGER NOT NULL, store_id BLOB NOT NULL, includes TEXT NOT NULL, root_sha256 BLOB NOT NULL,
  options BLOB NOT NULL, started_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS part (
  id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, sha256 BLOB NOT NULL UNIQUE, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pack (
  id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, sha256 BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
  kind INTEGER NOT NULL, part INTEGER);
CREATE TABLE IF NOT EXISTS holding (
  pack INTEGER NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (pack, since)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS holding_since ON holding (since);
CREATE TABLE IF NOT EXISTS chunk (
  id BLOB NOT NULL, pack INTEGER NOT NULL, position INTEGER NOT NULL, offset INTEGER NOT NULL,
  stored INTEGER NOT NULL, raw INTEGER NOT NULL, PRIMARY KEY (id, pack)) WITHOUT ROWID;
"""
_VERSION = 1
_LENGTH = 0xFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
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


@dataclass(frozen=True, slots=True)
class PackRow:
    """One pack: session in its name, SHA-256, bytes, kind, and the index part that describes it."""

    pack: int
    seq: int
    sha256: bytes
    size: int
    kind: int
    part: int | None


@dataclass(frozen=True, slots=True)
class Location:
    """Where a chunk lies: the pack's row number and the record in it."""

    pack: int
    record: Record


class ChunkIndex:
    """The index of one host; every method may be called from any thread.

    Args:
        path: The SQLite file; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA cache_size=-2048")
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise StorageError(
                f"index {path}: version {version}, this vaultd knows {_VERSION}",
                hint="Upgrade vaultd, or remove the file: it is rebuilt from the vault.",
            )
        with self.transaction() as db:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={_VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run statements as one transaction; nested ones join the outer."""
        with self._lock:
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # Sessions

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

    def sessions(self, state: str | None = None) -> list[SessionRow]:
        """Return sessions, ascending; all, or those of one state."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM session WHERE ? IS NULL OR state=? ORDER BY seq", (state, state))
            return [
                SessionRow(
                    seq=row[0], state=row[1], kind=row[2], chain=row[3], base=row[4], store_id=row[5],
                    includes=tuple(json.loads(row[6])), root_sha256=row[7], options=row[8], started_ns=row[9],
                )
                for row in rows
            ]  # fmt: skip

    def mark(self, seqs: Iterable[int], state: str) -> None:
        """Set the state of sessions."""
        with self.transaction() as db:
            db.executemany("UPDATE session SET state=? WHERE seq=?", [(state, seq) for seq in seqs])

    # Packs and chunks

    def add_pack(self, row: PackRow, records: list[Record], *, since: int | None) -> int:
        """Remember one pack and where its chunks lie; known packs are left as they are.

        Args:
            row: The pack; its number is ignored.
            records: Its records.
            since: Session that it is held since, if any.

        Returns:
            The pack's number.
        """
        with self.transaction() as db:
            known = db.execute("SELECT id FROM pack WHERE sha256=?", (row.sha256,)).fetchone()
            if known is None:
                cursor = db.execute(
                    "INSERT INTO pack (seq, sha256, size, kind, part) VALUES (?,?,?,?,?)",
                    (row.seq, row.sha256, row.size, row.kind, row.part),
                )
                number = int(cursor.lastrowid or 0)
                db.executemany(
                    "INSERT OR IGNORE INTO chunk VALUES (?,?,?,?,?,?)",
                    [(r.chunk_id, number, r.position, r.offset, r.stored, r.method << 24 | r.raw) for r in records],
                )
            else:
                number = known[0]
                if row.part is not None:
                    db.execute("UPDATE pack SET part=? WHERE id=? AND part IS NULL", (row.part, number))
            if since is not None:
                db.execute("INSERT OR IGNORE INTO holding VALUES (?,?)", (number, since))
            return number

    def hold(self, sha256s: Iterable[bytes], since: int) -> None:
        """Record that known packs are held since a session."""
        with self.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO holding SELECT id, ? FROM pack WHERE sha256=?",
                [(since, sha256) for sha256 in sha256s],
            )

    def hold_numbers(self, packs: Iterable[int], since: int) -> None:
        """Record that packs, by number, are held since a session."""
        with self.transaction() as db:
            db.executemany("INSERT OR IGNORE INTO holding VALUES (?,?)", [(pack, since) for pack in packs])

    def inherit(self, dead: int, since: int, kept: set[bytes]) -> int:
        """Let a session hold what a dead one held, as far as it is in ``kept``; forget the rest.

        Returns:
            How many packs were taken over.
        """
        with self.transaction() as db:
            rows = list(
                db.execute(
                    "SELECT pack.id, sha256 FROM holding JOIN pack ON pack.id=pack WHERE since=? AND part IS NULL",
                    (dead,),
                )
            )
            taken = [number for number, sha256 in rows if sha256 in kept]
            self.hold_numbers(taken, since)
            self.drop([number for number, sha256 in rows if sha256 not in kept])
            db.execute("DELETE FROM holding WHERE since=?", (dead,))
            return len(taken)

    def drop(self, packs: Iterable[int]) -> None:
        """Forget packs and their chunks."""
        with self.transaction() as db:
            for number in packs:
                db.execute("DELETE FROM chunk WHERE pack=?", (number,))
                db.execute("DELETE FROM holding WHERE pack=?", (number,))
                db.execute("DELETE FROM pack WHERE id=?", (number,))

    def locate(self, chunk_id: bytes, kind: int, since: frozenset[int] | None) -> Location | None:
        """Return one place of a chunk.

        Args:
            chunk_id: The chunk.
            kind: Kind of pack that it must lie in.
            since: Only packs held since one of these sessions; ``None``: any pack.
        """
        for number, held, position, offset, stored, raw in self._places(chunk_id, kind):
            if since is None or held in since:
                return Location(number, Record(chunk_id, position, offset, stored, raw >> 24, raw & _LENGTH))
        return None

    def _places(self, chunk_id: bytes, kind: int) -> list[tuple[int, int, int, int, int, int]]:
        with self._lock:
            return self._db.execute(
                "SELECT chunk.pack, since, position, offset, stored, raw FROM chunk"
                " JOIN pack ON pack.id=chunk.pack AND pack.kind=?"
                " LEFT JOIN holding ON holding.pack=chunk.pack WHERE chunk.id=?",
                (kind, chunk_id),
            ).fetchall()

    def places(self, chunk_id: bytes, kind: int) -> list[Location]:
        """Return every known place of a chunk: copies are tried one after the other."""
        found: dict[int, Location] = {}
        for number, _, position, offset, stored, raw in self._places(chunk_id, kind):
            record = Record(chunk_id, position, offset, stored, raw >> 24, raw & _LENGTH)
            found.setdefault(number, Location(number, record))
        return list(found.values())

    def pack(self, number: int) -> PackRow:
        """Return one pack by number."""
        with self._lock:
            row = self._db.execute("SELECT id, seq, sha256, size, kind, part FROM pack WHERE id=?", (number,)).fetchone()
        return PackRow(*row)

    def packs_held(self, since: Iterable[int]) -> Iterator[PackRow]:
        """Yield packs held since any of these sessions, by session and hash."""
        marks = json.dumps(sorted(since))
        with self._lock:
            cursor = self._db.execute(
                "SELECT DISTINCT pack.id, seq, sha256, size, kind, part FROM holding JOIN pack ON pack.id=holding.pack"
                " WHERE since IN (SELECT value FROM json_each(?)) ORDER BY seq, sha256",
                (marks,),
            )
            while rows := cursor.fetchmany(1000):
                yield from (PackRow(*row) for row in rows)

    def records_of(self, pack: int) -> list[Record]:
        """Return the records of one pack, by position."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, position, offset, stored, raw FROM chunk WHERE pack=? ORDER BY position", (pack,)
            ).fetchall()
        return [Record(i, position, offset, stored, raw >> 24, raw & _LENGTH) for i, position, offset, stored, raw in rows]

    # Index parts

    def add_part(self, part: PartRef) -> int:
        """Remember an index part and return its number."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO part (seq, sha256, size) VALUES (?,?,?)", (part.seq, part.sha256, part.size)
            )
            return int(db.execute("SELECT id FROM part WHERE sha256=?", (part.sha256,)).fetchone()[0])

    def part_number(self, sha256: bytes) -> int | None:
        """Return the number of an index part whose packs are all known here."""
        with self._lock:
            row = self._db.execute("SELECT id FROM part WHERE sha256=?", (sha256,)).fetchone()
        return None if row is None else int(row[0])

    def part(self, number: int) -> PartRef:
        """Return an index part by number."""
        with self._lock:
            return PartRef(*self._db.execute("SELECT seq, sha256, size FROM part WHERE id=?", (number,)).fetchone())
