"""When each object was last read, and what came of it: a file for each place in the state folder.

Proving that a backup is whole means reading it, and reading costs money and time. The ledger
remembers what was read, so that nothing is read twice before everything was read once. It is
written as reading goes on: whoever is killed in the middle goes on behind what was read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.vault import layout
from vaultd.vault.local_db import open_database, transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS reading (
  kind INTEGER NOT NULL, host TEXT NOT NULL, seq INTEGER NOT NULL, sha256 BLOB NOT NULL,
  size INTEGER NOT NULL, read_ns INTEGER NOT NULL, result INTEGER NOT NULL,
  opened INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (kind, host, seq, sha256)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
  day INTEGER PRIMARY KEY, size INTEGER NOT NULL, requests INTEGER NOT NULL);
"""
_VERSION = 1
_DAY_NS = 86_400 * 10**9
_KINDS = (layout.PACKS, layout.PARTS, layout.OUTCOMES)
_KEY = "kind=? AND host=? AND seq=? AND sha256=?"


class Result(StrEnum):
    """What came of reading an object."""

    GOOD = "good"
    DAMAGED = "damaged"
    LOST = "lost"


_RESULTS = tuple(Result)


class Reading(Struct, frozen=True, kw_only=True):
    """One object, as it was when it was last read.

    Attributes:
        name: A pack, an index part, or an outcome.
        size: Its bytes, as the snapshots say; 0 for an outcome.
        read_ns: When, by the clock of this machine.
        result: What came of it.
        opened: Its contents were decrypted and compared with their ids, not only hashed.
        reason: What is wrong: a lower-case clause; empty when nothing is.
    """

    name: str
    size: int
    read_ns: int
    result: Result
    opened: bool = False
    reason: str = ""


class Spent(Struct, frozen=True, kw_only=True):
    """What reading has cost on one day (UTC): bytes and requests."""

    size: int = 0
    requests: int = 0


class Ledger:
    """The readings of one vault at one place; every method may be called from any thread.

    Args:
        folder: The state folder of the vault.
        location: The place: what was read of a copy says nothing of the vault.

    Raises:
        StorageError: The file cannot be used.
    """

    def __init__(self, folder: Path, location: str) -> None:
        self._path = folder / f"ledger-{hashing.sha256(location.encode()).hex()[:8]}.sqlite"
        self._db = open_database(self._path, _SCHEMA, _VERSION)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def note(self, readings: Iterable[Reading], spent: Spent | None = None) -> None:
        """Remember readings, and what they have cost.

        Args:
            readings: They replace earlier ones of the same objects.
            spent: Added to what was spent on the day of the newest of them.
        """
        with self._lock, transaction(self._db, self._path):
            newest_ns = 0
            for one in readings:
                newest_ns = max(newest_ns, one.read_ns)
                self._db.execute(
                    "INSERT OR REPLACE INTO reading VALUES (?,?,?,?,?,?,?,?,?)",
                    (
                        *_key(one.name),
                        one.size,
                        one.read_ns,
                        _RESULTS.index(one.result),
                        one.opened,
                        one.reason,
                    ),
                )
            if spent is not None:
                self._db.execute(
                    "INSERT INTO spent VALUES (?,?,?) ON CONFLICT (day) DO UPDATE SET"
                    " size=size+excluded.size, requests=requests+excluded.requests",
                    (newest_ns // _DAY_NS, spent.size, spent.requests),
                )

    def spent(self, now_ns: int) -> Spent:
        """Return what reading has cost on the day of an instant."""
        with self._lock:
            row = self._db.execute(
                "SELECT size, requests FROM spent WHERE day=?", (now_ns // _DAY_NS,)
            ).fetchone()
        return Spent() if row is None else Spent(size=row[0], requests=row[1])

    def reading(self, name: str) -> Reading | None:
        """Return the last reading of an object; ``None``: it was never read."""
        with self._lock:
            row = self._db.execute(
                f"SELECT * FROM reading WHERE {_KEY}",  # noqa: S608 - ours
                _key(name),
            ).fetchone()
        return None if row is None else _reading(*row)

    def readings(self) -> Iterator[Reading]:
        """Yield the last reading of every object; nothing may be noted meanwhile."""
        for row in self._db.execute("SELECT * FROM reading"):
            yield _reading(*row)

    def drop(self, names: Iterable[str]) -> None:
        """Forget objects that are gone and that nobody needs."""
        with self._lock, transaction(self._db, self._path):
            self._db.executemany(f"DELETE FROM reading WHERE {_KEY}", map(_key, names))  # noqa: S608 - ours


def _key(name: str) -> tuple[int, str, int, bytes]:
    """Return how a name is kept: a third of its length.

    An outcome is known by its session: its hash stands in the catalog.
    """
    kind = next(at for at, prefix in enumerate(_KINDS) if name.startswith(prefix))
    if _KINDS[kind] == layout.OUTCOMES:
        session = layout.session_of(name)
        return kind, session.host, session.seq, b""
    session, sha256 = layout.hashed_of(name)
    return kind, session.host, session.seq, sha256


def _reading(
    kind: int,
    host: str,
    seq: int,
    sha256: bytes,
    *rest: int | str,
) -> Reading:
    size, read_ns, result, opened, reason = rest
    session = SessionId(host=host, seq=seq)
    name = f"{_KINDS[kind]}{session}" + (f"/{sha256.hex()}" if sha256 else "")
    return Reading(
        name=name,
        size=int(size),
        read_ns=int(read_ns),
        result=_RESULTS[int(result)],
        opened=bool(opened),
        reason=str(reason),
    )
