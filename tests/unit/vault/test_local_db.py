"""SQLite files of this machine: made, shared, damaged, locked, written by somebody newer."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.crash import at_once
from vaultd.core.errors import LockedError, NoSpaceError, StorageError
from vaultd.vault.local_db import open_database, refused, transaction, translated

SCHEMA = "CREATE TABLE IF NOT EXISTS one (value INTEGER);"


@contextmanager
def opened(path: Path, version: int = 1) -> Iterator[sqlite3.Connection]:
    with closing(open_database(path, SCHEMA, version)) as db:
        yield db


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.sqlite"


def test_a_file_is_made_and_found_again(path: Path) -> None:
    with opened(path) as db:
        db.execute("INSERT INTO one VALUES (1)")
    with opened(path) as db:
        assert [(1,)] == list(db.execute("SELECT value FROM one"))


def test_several_processes_may_make_it_at_once(tmp_path: Path) -> None:
    def make(number: int) -> None:
        with opened(tmp_path / f"{number}.sqlite") as db:
            db.execute("INSERT INTO one VALUES (1)")

    for number in range(20):
        at_once([lambda number=number: make(number)] * 5)  # type: ignore[misc]  # bound here
        with opened(tmp_path / f"{number}.sqlite") as db:
            assert (5,) == db.execute("SELECT count(*) FROM one").fetchone()


def test_a_file_of_a_newer_program_is_left_alone(path: Path) -> None:
    with opened(path, version=7):
        pass

    with pytest.raises(StorageError, match="version 7, this vaultd knows 1"):
        open_database(path, SCHEMA, 1)


def test_what_is_no_database_is_put_aside(path: Path) -> None:
    path.write_bytes(b"rubbish" * 1000)

    with opened(path) as db:
        assert [] == list(db.execute("SELECT * FROM one"))

    assert b"rubbish" * 1000 == path.with_name("file.sqlite.damaged").read_bytes()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        open_database(tmp_path / "none" / "file.sqlite", SCHEMA, 1)


def test_a_file_that_cannot_be_a_file_is_told(path: Path) -> None:
    path.mkdir()

    with pytest.raises(StorageError, match="unable to open"):
        open_database(path, SCHEMA, 1)


def insert_and_fail(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO one VALUES (2)")
    raise KeyboardInterrupt


def test_a_transaction_is_done_as_a_whole_or_not_at_all(path: Path) -> None:
    with opened(path) as db:
        with transaction(db, path), transaction(db, path):
            db.execute("INSERT INTO one VALUES (1)")
        with pytest.raises(KeyboardInterrupt), transaction(db, path):
            insert_and_fail(db)

        assert [(1,)] == list(db.execute("SELECT value FROM one"))


def test_damage_is_told_when_it_shows_and_the_file_is_put_aside(path: Path) -> None:
    with opened(path) as db:
        db.executemany("INSERT INTO one VALUES (?)", [(number,) for number in range(5000)])
    contents = bytearray(path.read_bytes())
    contents[4096:] = b"\xff" * (len(contents) - 4096)
    path.write_bytes(contents)

    with opened(path) as db, pytest.raises(StorageError, match="malformed") as caught:
        db.execute("SELECT sum(value) FROM one").fetchall()

    assert "rebuilt" in (caught.value.hint or "")
    with opened(path) as db:
        assert [] == db.execute("SELECT * FROM one").fetchmany(5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("database or disk is full", NoSpaceError),
        ("database is locked", LockedError),
        ("disk I/O error", StorageError),
    ],
)
def test_errors_say_what_they_mean_and_what_to_do(
    path: Path, words: str, expected: type[Exception]
) -> None:
    error = translated(path, sqlite3.OperationalError(words))

    assert expected is type(error)
    assert words in error.message
    assert str(path) in error.message
    assert error.hint


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_apart(path: Path, number: int) -> None:
    error = refused(path, OSError(number, "words"))

    assert isinstance(error, NoSpaceError)
    assert str(path.parent) in (error.hint or "")


def test_other_refusals_are_told_in_the_words_of_the_system(path: Path) -> None:
    error = refused(path, OSError(errno.EACCES, "Permission denied"))

    assert StorageError is type(error)
    assert f"{path}: Permission denied" == error.message
