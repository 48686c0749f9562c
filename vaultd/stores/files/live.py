"""Database files that may be in use: a copy of them taken file by file may not open again."""

from __future__ import annotations

import os
from collections.abc import Iterator

from msgspec import Struct

from vaultd.core.events import Problem, ProblemKind
from vaultd.core.tree import join
from vaultd.stores.files.descriptors import FILE_FLAGS

_SQLITE_MAGIC = b"SQLite format 3\0"


class _Sign(Struct, frozen=True):
    """Entries of one directory that show a database in use when all of them are there."""

    names: tuple[bytes, ...]
    product: str
    advice: str


_SIGNS = (
    _Sign(
        (b"PG_VERSION", b"postmaster.pid"),
        "PostgreSQL",
        "add a store of kind postgres and exclude this directory",
    ),
    _Sign(
        (b"ibdata1", b"ib_logfile0"),
        "MariaDB or MySQL",
        "add a store of kind mariadb and exclude this directory",
    ),
    _Sign(
        (b"aria_log_control", b"ibdata1"),
        "MariaDB",
        "add a store of kind mariadb and exclude this directory",
    ),
    _Sign((b"appendonlydir",), "Redis", "add a store of kind redis and exclude this directory"),
    _Sign((b"appendonly.aof",), "Redis", "add a store of kind redis and exclude this file"),
    _Sign((b"dump.rdb",), "Redis", "add a store of kind redis; this dump may be old"),
    _Sign(
        (b"data.mdb", b"lock.mdb"),
        "LMDB",
        "copy it with mdb_copy before the backup, or stop the program that writes it",
    ),
    _Sign(
        (b"WiredTiger", b"WiredTiger.lock"),
        "MongoDB",
        "dump it with mongodump in a store of kind command and exclude this directory",
    ),
)


def live_databases(fd: int, path: bytes, names: list[bytes]) -> Iterator[Problem]:
    """Yield one warning for each database of a directory that looks as if it were in use.

    Args:
        fd: The directory.
        path: The directory, below ``/``.
        names: Names in it that are captured, ascending.
    """
    # One search in one piece of memory costs less than one look-up per name.
    joined = b"\0" + b"\0".join(names) + b"\0"
    products = set()
    for sign in _SIGNS:
        if sign.product in products or sign.names[0] not in joined:
            continue
        if all(b"\0" + name + b"\0" in joined for name in sign.names):
            products.add(sign.product)
            if sign.product == "MariaDB or MySQL":
                products.add("MariaDB")
            yield _warning(path, sign.product, sign.advice)
    if b"-wal\0" in joined:
        known = set(names)
        for name in names:
            if name.endswith(b"-wal") and name[:-4] in known and _is_sqlite(fd, name[:-4]):
                yield _warning(
                    join(path, name[:-4]), "SQLite", "add a store of kind sqlite for this file"
                )


def _warning(path: bytes, product: str, advice: str) -> Problem:
    return Problem(
        kind=ProblemKind.LIVE_DATABASE,
        path=b"/" + path,
        reason=f"{product} files may be in use and a copy of them may not open again; {advice}",
        warning=True,
    )


def _is_sqlite(folder: int, name: bytes) -> bool:
    try:
        fd = os.open(name, FILE_FLAGS, dir_fd=folder)
    except OSError:
        return False
    try:
        return os.read(fd, len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except OSError:
        return False
    finally:
        os.close(fd)
