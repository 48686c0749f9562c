"""Files on this machine, SQLite's above all: caches and journals that the vault can replace."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from vaultd.core.errors import LockedError, NoSpaceError, StorageError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def open_database(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open a file, made when it is not there; a damaged one is put aside and begun anew.

    Commits do not wait for the disk (``synchronous=NORMAL``): a power cut may lose the last ones
    and never damages the file.

    Args:
        path: The file.
        schema: Statements that make what is missing, separated by semicolons.
        version: Of the schema.

    Raises:
        StorageError: It was written by a newer vaultd, or cannot be used.
        NoSpaceError: The disk is full.
    """
    with _alone_in(path.parent):
        try:
            return _open(path, schema, version)
        except sqlite3.OperationalError as error:
            raise translated(path, error) from error
        except sqlite3.DatabaseError:
            _put_aside(path)
            return _open(path, schema, version)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from opening files of this folder meanwhile.

    Where several make a file at once, SQLite does not wait for its turn but fails.
    """
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise refused(folder, error) from error
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _put_aside(path: Path) -> None:
    """Let a damaged file be begun anew when it is opened next: what it held is in the vault."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.rename(path.with_name(path.name + ".damaged"))


class _Connection(sqlite3.Connection):
    """Says in our words what goes wrong, once it is said which file this is."""

    path: Path | None = None

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor that does the same."""
        return super().cursor(factory or _Cursor)

    def execute(self, *statement: Any) -> Any:
        """Run a statement."""
        return self.cursor().execute(*statement)

    def executemany(self, *statement: Any) -> Any:
        """Run a statement many times."""
        return self.cursor().executemany(*statement)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn an error into one of ours."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if self.path is None:
                raise
            raise translated(self.path, error) from error


class _Cursor(sqlite3.Cursor):
    """Runs statements; pages are read, and found damaged, while rows are fetched."""

    connection: _Connection

    def execute(self, *statement: Any) -> Self:
        """Run a statement."""
        with self.connection.told():
            return super().execute(*statement)

    def executemany(self, *statement: Any) -> Self:
        """Run a statement many times."""
        with self.connection.told():
            return super().executemany(*statement)

    def fetchone(self) -> Any:
        """Return the next row."""
        with self.connection.told():
            return super().fetchone()

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        """Return the next rows."""
        with self.connection.told():
            return super().fetchmany(size)

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        with self.connection.told():
            return super().fetchall()

    def __next__(self) -> Any:
        """Return the next row."""
        try:  # `told` would cost more than the row
            return super().__next__()
        except sqlite3.DatabaseError as error:
            with self.connection.told():
                raise error from None


def _open(path: Path, schema: str, version: int) -> sqlite3.Connection:
    db = sqlite3.connect(
        path, check_same_thread=False, isolation_level=None, timeout=30, factory=_Connection
    )
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA cache_size=-2048")
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    if found > version:
        raise StorageError(
            f"{path}: version {found}, this vaultd knows {version}",
            hint="Upgrade vaultd, or remove the file: it is rebuilt from the vault.",
        )
    if found < version:
        db.execute("BEGIN IMMEDIATE")
        for statement in schema.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={version}")
        db.execute("COMMIT")
    db.path = path
    return db


@contextmanager
def transaction(db: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """Run statements as one transaction; nested ones join the outer.

    Raises:
        NoSpaceError: The disk is full.
        LockedError: Another process has held the file for too long.
        StorageError: The file cannot be used.
    """
    if db.in_transaction:
        yield db
        return
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.rollback()
            raise
        db.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        raise translated(path, error) from error


@contextmanager
def savepoint(db: sqlite3.Connection) -> Iterator[None]:
    """Undo what is done inside when it fails, in a transaction that goes on."""
    db.execute("SAVEPOINT attempt")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK TO attempt")
        raise
    finally:
        db.execute("RELEASE attempt")


def translated(path: Path, error: sqlite3.DatabaseError) -> StorageError | LockedError:
    """Return the error of ours that says what a SQLite error means for this file."""
    words = str(error)
    if "full" in words:
        hint = f"Free space on the file system of {path.parent}."
        return NoSpaceError(f"{path}: {words}", hint=hint)
    if "locked" in words:
        return LockedError(f"{path}: {words}", hint="Wait for the other vaultd process to finish.")
    hint = "Remove the file when no vaultd runs: it is rebuilt from the vault."
    if not isinstance(error, sqlite3.OperationalError) and path.exists():
        _put_aside(path)
        hint = "Do it again: the file was put aside, and is rebuilt from the vault."
    return StorageError(f"{path}: {words}", hint=hint)


def refused(path: Path, error: OSError) -> StorageError:
    """Return the error of ours that says what the system refused to do with a file of ours."""
    if error.errno in _NO_SPACE:
        hint = f"Free space on the file system of {path.parent}."
        return NoSpaceError(f"{path}: no space left", hint=hint)
    return StorageError(f"{path}: {error.strerror}")
