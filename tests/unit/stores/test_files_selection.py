"""What tags, sizes and flags leave out, and which databases are noticed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.unit.stores.taking import take
from tests.unit.stores.test_files_capture import set_flags
from vaultd.stores.files.attributes import FLAG_NODUMP
from vaultd.stores.files.options import CaptureOptions
from vaultd.stores.files.selection import CACHE_SIGNATURE


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x" * 10)


def test_a_tagged_cache_keeps_its_tag_alone(tmp_path: Path) -> None:
    make(tmp_path, "cache/x", "cache/sub/y", "fake/x", "late/x", "link/x", "a")
    (tmp_path / "cache/CACHEDIR.TAG").write_bytes(CACHE_SIGNATURE + b"\n# made by a test\n")
    (tmp_path / "fake/CACHEDIR.TAG").write_bytes(b"no signature")
    (tmp_path / "late/CACHEDIR.TAG").write_bytes(b"\n" + CACHE_SIGNATURE)
    (tmp_path / "link/CACHEDIR.TAG").symlink_to("../cache/CACHEDIR.TAG")
    taken = take(tmp_path, options=CaptureOptions(exclude_caches=True))
    expected = {"a", "cache", "cache/CACHEDIR.TAG"}
    for name in ("fake", "late", "link"):
        expected |= {name, f"{name}/x", f"{name}/CACHEDIR.TAG"}
    assert expected == taken.below(tmp_path)
    assert "cache/x" in take(tmp_path).below(tmp_path)


def test_a_directory_with_a_chosen_name_in_it_keeps_that_alone(tmp_path: Path) -> None:
    make(tmp_path, "a/.nobackup", "a/x", "a/b/y", "c/x", "d/.skip", "d/x")
    options = CaptureOptions(exclude_if_present=(".nobackup", ".skip"))
    expected = {"a", "a/.nobackup", "c", "c/x", "d", "d/.skip"}
    assert expected == take(tmp_path, options=options).below(tmp_path)


def test_large_files_are_left_out_and_large_directories_are_not(tmp_path: Path) -> None:
    make(tmp_path, "small", "d/small")
    (tmp_path / "exact").write_bytes(b"x" * 1000)
    (tmp_path / "large").write_bytes(b"x" * 1001)
    options = CaptureOptions(exclude_larger_than_bytes=1000)
    expected = {"small", "d", "d/small", "exact"}
    assert expected == take(tmp_path, options=options).below(tmp_path)


def test_what_is_flagged_not_to_be_dumped_is_left_out_on_request(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "d/x", "e/x")
    for name in ("a", "d"):
        set_flags(tmp_path / name, FLAG_NODUMP)
    options = CaptureOptions(exclude_nodump=True)
    assert {"b", "e", "e/x"} == take(tmp_path, options=options).below(tmp_path)
    assert "a" in take(tmp_path).below(tmp_path)


def test_rows_stay_with_their_names_when_some_are_left_out(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number:02}").write_bytes(b"x" * number)
    (tmp_path / "07").unlink()
    (tmp_path / "07").symlink_to("06")
    (tmp_path / "09").unlink()
    (tmp_path / "09").hardlink_to(tmp_path / "08")
    options = CaptureOptions(exclude=("*[13579]", "!07", "!09"), exclude_larger_than_bytes=40)
    taken = take(tmp_path, options=options)
    found = {entry.name.decode(): entry for entry in taken.entries()}
    even = {f"{number:02}" for number in range(0, 41, 2)}
    assert even | {"07", "09"} == taken.below(tmp_path)
    assert all(found[name].size == int(name) for name in even)
    assert found["07"].extra.link_target == b"06"
    assert found["08"].extra.link_group == found["09"].extra.link_group != b""


# --- live databases ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (("PG_VERSION", "postmaster.pid", "base/1/PG_VERSION"), "PostgreSQL"),
        (("ibdata1", "ib_logfile0", "ib_logfile1"), "MariaDB or MySQL"),
        (("ibdata1", "aria_log_control"), "MariaDB"),
        (("ibdata1", "ib_logfile0", "aria_log_control"), "MariaDB or MySQL"),
        (("appendonlydir/appendonly.aof.1.base.rdb", "dump.rdb"), "Redis"),
        (("dump.rdb",), "Redis"),
        (("data.mdb", "lock.mdb"), "LMDB"),
        (("WiredTiger", "WiredTiger.lock", "mongod.lock"), "MongoDB"),
    ],
)
def test_a_database_in_a_plain_tree_is_warned_of_once(
    tmp_path: Path, names: tuple[str, ...], word: str
) -> None:
    make(tmp_path, *(f"db/{name}" for name in names))
    problems = take(tmp_path).heard.problems
    assert [("live-database", str(tmp_path / "db").encode(), True)] == [
        (str(problem.kind), problem.path, problem.warning) for problem in problems
    ]
    assert word in problems[0].reason


@pytest.mark.parametrize(
    "names",
    [("PG_VERSION",), ("postmaster.pid",), ("ibdata1",), ("data.mdb",), ("x.db", "x.db-wal")],
)
def test_a_single_sign_is_no_database(tmp_path: Path, names: tuple[str, ...]) -> None:
    make(tmp_path, *names)
    assert [] == take(tmp_path).heard.problems


def test_each_sqlite_database_with_a_log_beside_it_is_warned_of(tmp_path: Path) -> None:
    connections = []
    for name in ("a.db", "b"):
        connection = sqlite3.connect(tmp_path / name)
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table t (x)")
        connections.append(connection)
    with sqlite3.connect(tmp_path / "closed.db") as connection:
        connection.execute("create table t (x)")
    connections.append(connection)
    (tmp_path / "gone-wal").touch()
    problems = take(tmp_path).heard.problems
    for connection in connections:
        connection.close()
    expected = [str(tmp_path / name).encode() for name in ("a.db", "b")]
    assert expected == [problem.path for problem in problems]


def test_warnings_can_be_switched_off_and_excluded_databases_are_not_warned_of(
    tmp_path: Path,
) -> None:
    make(tmp_path, "db/ibdata1", "db/ib_logfile0")
    for options in (
        CaptureOptions(warn_live_databases=False),
        CaptureOptions(exclude=("db",)),
        CaptureOptions(exclude=("ibdata1",)),
    ):
        assert [] == take(tmp_path, options=options).heard.problems
