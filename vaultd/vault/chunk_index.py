"""Where every chunk of one host lies, and which snapshot may rely on it: flat in memory.

What a snapshot may depend on is kept as sets of *holdings*: a pack is *held since* the session that
brought it into a snapshot, and a session lists in ``includes`` the sessions whose holdings its
snapshot needs. A new snapshot may use exactly the holdings of its base and its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from vaultd.format.pack import CHUNK_ID_BYTES, Record
from vaultd.format.session import PartRef
from vaultd.vault.index_file import DEAD, LOST, IndexFile, SessionRow

_LENGTH = 0xFFFFFF


def index_path(folder: Path, host: str) -> Path:
    """Return where a machine keeps the index of a host's chunks, be it its own or another's."""
    return folder / f"index-{host}.sqlite"


class PackRow(Struct, frozen=True):
    """One pack: session in its name, SHA-256, bytes, kind, and the index part that describes it."""

    pack: int
    seq: int
    sha256: bytes
    size: int
    kind: int
    part: int | None


class Location(Struct, frozen=True):
    """Where a chunk lies: the pack's row number and the record in it."""

    pack: int
    record: Record


class ChunkIndex(IndexFile):
    """Packs and chunks of one host; every method may be called from any thread."""

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
                    f"INSERT OR IGNORE INTO {self.chunk_table} VALUES (?,?,?,?,?,?)",  # noqa: S608 - ours
                    [
                        (r.chunk_id, number, r.position, r.offset, r.stored, r.method << 24 | r.raw)
                        for r in records
                    ],
                )
                if row.part is None and since is not None:
                    ids = b"".join(record.chunk_id for record in records)
                    db.execute("INSERT INTO journal VALUES (?,?)", (number, ids))
            else:
                number = known[0]
                if row.part is not None:
                    db.execute(
                        "UPDATE pack SET part=? WHERE id=? AND part IS NULL", (row.part, number)
                    )
                    db.execute("DELETE FROM journal WHERE pack=?", (number,))
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
            db.executemany(
                "INSERT OR IGNORE INTO holding VALUES (?,?)", [(pack, since) for pack in packs]
            )

    def commit(self, row: SessionRow, parts: dict[PartRef, list[int]]) -> None:
        """Record a committed session, and which of its index parts describes which packs."""
        with self.transaction() as db:
            for part, packs in parts.items():
                number = self.add_part(part)
                db.executemany(
                    "UPDATE pack SET part=? WHERE id=?", [(number, pack) for pack in packs]
                )
                db.executemany("DELETE FROM journal WHERE pack=?", [(pack,) for pack in packs])
            self.save_session(row)

    def inherit(self, dead: int, since: int, kept: set[bytes]) -> int:
        """Let a session hold what a dead one held, as far as it is in ``kept``; forget the rest.

        Only then the dead one is marked so: until then a later session can still take it over.

        Returns:
            How many packs were taken over.
        """
        with self.transaction() as db:
            rows = list(
                db.execute(
                    "SELECT pack.id, sha256 FROM holding JOIN pack ON pack.id=pack"
                    " WHERE since=? AND part IS NULL",
                    (dead,),
                )
            )
            taken = [number for number, sha256 in rows if sha256 in kept]
            self.hold_numbers(taken, since)
            self._drop([number for number, sha256 in rows if sha256 not in kept])
            db.execute("DELETE FROM holding WHERE since=?", (dead,))
            self.mark([dead], DEAD)
            return len(taken)

    def avoid(self, packs: Iterable[int]) -> None:
        """Let no new snapshot rely on packs that are lost; readers may still try them."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE pack SET avoided=? WHERE id=?", [(LOST, number) for number in packs]
            )

    def weigh(self, since: Iterable[int]) -> tuple[int, int]:
        """Return the bytes of all packs held since any of these sessions, and how many to avoid."""
        with self._lock:
            row = self._db.execute(
                "SELECT coalesce(sum(size), 0), count(nullif(avoided, 0)) FROM pack WHERE id IN"
                " (SELECT pack FROM holding WHERE since IN (SELECT value FROM json_each(?)))",
                (json.dumps(sorted(since)),),
            ).fetchone()
        return int(row[0]), int(row[1])

    def _drop(self, packs: Iterable[int]) -> None:
        """Forget packs that no part describes, and their chunks."""
        with self.transaction() as db:
            for number in packs:
                db.executemany(
                    "DELETE FROM chunk WHERE id=? AND pack=?",
                    [(record.chunk_id, number) for record in self.records_of(number)],
                )
                db.execute("DELETE FROM journal WHERE pack=?", (number,))
                db.execute("DELETE FROM holding WHERE pack=?", (number,))
                db.execute("DELETE FROM pack WHERE id=?", (number,))

    def locate(self, chunk_id: bytes, kind: int, since: frozenset[int]) -> Location | None:
        """Return a place of a chunk that a new snapshot may rely on.

        Args:
            chunk_id: The chunk.
            kind: Kind of pack that it must lie in.
            since: Only packs held since one of these sessions, and not to be avoided.
        """
        for number, held, avoided, *place in self._places(chunk_id, kind):
            if held in since and not avoided:
                return Location(number, _record(chunk_id, *place))
        return None

    def _places(self, chunk_id: bytes, kind: int) -> list[tuple[int, int, int, int, int, int, int]]:
        with self._lock:
            return self._db.execute(
                "SELECT chunk.pack, since, avoided, position, offset, stored, raw FROM chunk"
                " JOIN pack ON pack.id=chunk.pack AND pack.kind=?"
                " LEFT JOIN holding ON holding.pack=chunk.pack WHERE chunk.id=?",
                (kind, chunk_id),
            ).fetchall()

    def places(self, chunk_id: bytes, kind: int) -> list[Location]:
        """Return every known place of a chunk: copies are tried one after the other."""
        found: dict[int, Location] = {}
        for number, _, _, *place in self._places(chunk_id, kind):
            found.setdefault(number, Location(number, _record(chunk_id, *place)))
        return list(found.values())

    def pack(self, number: int) -> PackRow:
        """Return one pack by number."""
        with self._lock:
            row = self._db.execute(
                "SELECT id, seq, sha256, size, kind, part FROM pack WHERE id=?", (number,)
            ).fetchone()
        return PackRow(*row)

    def packs_held(self, since: Iterable[int]) -> Iterator[PackRow]:
        """Yield packs held since any of these sessions, but those to avoid, by session and hash."""
        marks = json.dumps(sorted(since))
        with self._lock:
            cursor = self._db.execute(
                "SELECT DISTINCT pack.id, seq, sha256, size, kind, part FROM holding"
                " JOIN pack ON pack.id=holding.pack"
                " WHERE since IN (SELECT value FROM json_each(?)) AND NOT avoided"
                " ORDER BY seq, sha256",
                (marks,),
            )
            while rows := cursor.fetchmany(1000):
                yield from (PackRow(*row) for row in rows)

    def records_of(self, pack: int) -> list[Record]:
        """Return the records of a pack that no index part describes yet, by position."""
        with self._lock:
            (ids,) = self._db.execute("SELECT ids FROM journal WHERE pack=?", (pack,)).fetchone()
            places = [
                self._db.execute(
                    "SELECT id, position, offset, stored, raw FROM chunk WHERE id=? AND pack=?",
                    (ids[at : at + CHUNK_ID_BYTES], pack),
                ).fetchone()
                for at in range(0, len(ids), CHUNK_ID_BYTES)
            ]
        return [_record(*place) for place in places]


def _record(chunk_id: bytes, position: int, offset: int, stored: int, raw: int) -> Record:
    return Record(chunk_id, position, offset, stored, raw >> 24, raw & _LENGTH)
