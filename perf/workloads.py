"""Seeded folders of customer data: the same name, scale and seed give the same bytes.

=========  ========================================================================================
mix        about 900 MB: CSV exports, documents that cannot be compressed, one SQLite file, 40,000
           small JSON files
tiny       400,000 JSON files of about 140 bytes in 4,096 directories
customer   a few MB with readable names, for demonstrations
=========  ========================================================================================

`change` alters a share of such a folder, as a day of work would.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

MB = 1_000_000

_CSV_TOTAL, _CSV_FILE = 400 * MB, 20 * MB
_DOCUMENTS_TOTAL = 330 * MB
_SQLITE_ROWS = 1_000_000
_MIX_JSON_FILES = 40_000
_TINY_FILES, _TINY_FOLDERS = 400_000, 64 * 64
_LARGE = 1 << 20

_FIRST = (
    "Ada Alan Barbara Claude Donald Edsger Frances Grace Hedy Ivan Joan Ken Leslie Ruth".split()
)
_LAST = (
    "Adams Borg Chen Dijkstra Evans Fischer Garcia Hopper Ito Jones Knuth Meyer Nkosi Po".split()
)
_TOWN = (
    "Berlin Boston Cairo Delhi Essen Geneva Kyoto Lagos Lima Lyon Oslo Porto Quito Turin".split()
)
_STREET = "Bridge Castle Church Garden Harbour High Hill Market Mill Park River School".split()
_STATE = ("active", "dormant", "blocked", "new")
_WORDS = (
    "agreed annual balance between clause contract customer data delivery each early final general"
    " hours invoice item later month notice offer party payment period price quarter rate renewal"
    " report schedule service signed sum tax term under update value volume written year"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What `change` did.

    Attributes:
        altered: Files with other contents, same name.
        added: New files.
        removed: Files that are gone.
        data: Bytes written.
    """

    altered: int
    added: int
    removed: int
    data: int


def mix(folder: Path, scale: float = 1.0, seed: int = 1) -> None:
    """Make an office server's folder: few large files, many small ones; ``scale`` 1 is 900 MB."""
    source = random.Random(seed)
    exports = folder / "exports"
    exports.mkdir(parents=True)
    left, number = int(_CSV_TOTAL * scale), 0
    while left > 0:
        size = min(left, _CSV_FILE)
        with exports.joinpath(f"export-{number:03d}.csv").open("wb") as file:
            _write_csv(file.write, size, source, first_id=number * 1_000_000)
        left -= size
        number += 1
    _documents(folder / "documents", int(_DOCUMENTS_TOTAL * scale), source)
    _database(folder / "crm.sqlite", max(1, int(_SQLITE_ROWS * scale)), source)
    _records(folder / "records", max(1, int(_MIX_JSON_FILES * scale)), 200, source, long=True)


def tiny(folder: Path, scale: float = 1.0, seed: int = 1) -> None:
    """Make very many very small files; ``scale`` 1 is 400,000 of them."""
    count = max(1, int(_TINY_FILES * scale))
    folders = max(1, int(_TINY_FOLDERS * scale))
    _records(folder, count, -(-count // folders), random.Random(seed), long=False)


def customer(folder: Path, scale: float = 1.0, seed: int = 1) -> None:
    """Make a small company's folder: tables, a database, contracts, a link, a sparse disk image."""
    source = random.Random(seed)
    for name in ("accounts", "contracts", "invoices/2026"):
        folder.joinpath(name).mkdir(parents=True)
    for month in range(1, 13):
        with folder.joinpath(f"accounts/2026-{month:02d}.csv").open("wb") as file:
            _write_csv(file.write, int(60_000 * scale), source, first_id=month * 10_000)
    for number in range(max(3, int(40 * scale))):
        name = f"{source.choice(_LAST)} & {source.choice(_LAST)}, contract {number + 1}.pdf"
        folder.joinpath("contracts", name).write_bytes(
            _document(source.randrange(20_000, 90_000), source)
        )
    for number in range(max(10, int(250 * scale))):
        record = _record(number, source, long=True)
        folder.joinpath(f"invoices/2026/invoice-{number + 1:05d}.json").write_bytes(record)
    _database(folder / "crm.sqlite", max(10, int(5_000 * scale)), source)
    folder.joinpath("latest invoices").symlink_to("invoices/2026")
    with folder.joinpath("disk image.raw").open("wb") as file:
        for offset in (0, 3 * _LARGE, 15 * _LARGE):
            file.seek(offset)
            file.write(source.randbytes(64 * 1024))
        file.truncate(16 * _LARGE)


WORKLOADS: dict[str, Callable[[Path, float, int], None]] = {
    "mix": mix,
    "tiny": tiny,
    "customer": customer,
}


def change(folder: Path, share: float, seed: int) -> Changed:
    """Alter about ``share`` of a folder's records, of its documents and of the bytes of the rest.

    Tables grow, databases get rows updated, disk images are written to in one place, documents are
    written anew. Of the records chosen, one in ten is removed and one in ten gets a new neighbour.
    """
    source = random.Random(seed)
    records, others = _files(folder)
    chosen = sorted(source.sample(records, min(len(records), max(1, round(len(records) * share)))))
    removed = chosen[8::10]
    added = [path.with_name(f"new-{seed}-{path.name}") for path in chosen[9::10]]
    altered = [path for number, path in enumerate(chosen) if number % 10 < 8]
    for path in removed:
        path.unlink()
    written = [
        path.write_bytes(_record(number, source, long=True))
        for number, path in enumerate(altered + added)
    ]
    grown = [_change_other(path, share, source) for path in others]
    return Changed(
        altered=len(altered) + sum(size > 0 for size in grown),
        added=len(added),
        removed=len(removed),
        data=sum(written) + sum(grown),
    )


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the records (one small file for one thing) and all other regular files, sorted."""
    records: list[Path] = []
    others: list[Path] = []
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top, name)
            if not path.is_symlink() and path.is_file():
                (records if path.suffix == ".json" else others).append(path)
    return sorted(records), sorted(others)


def _change_other(path: Path, share: float, source: random.Random) -> int:
    """Change a file as its kind changes in a day's work, and return the bytes written."""
    size = path.stat().st_size
    match path.suffix:
        case ".csv":
            with path.open("ab") as file:
                return _write_csv(file.write, int(size * share), source, first_id=900_000_000)
        case ".sqlite":
            return _update_database(path, share, source)
        case ".raw":
            with path.open("r+b") as file:
                file.seek(source.randrange(int(size * (1 - share)) + 1))
                return file.write(source.randbytes(int(size * share)))
        case _:
            return path.write_bytes(_document(size, source)) if source.random() < share else 0


def _write_csv(
    write: Callable[[bytes], object], size: int, source: random.Random, *, first_id: int
) -> int:
    """Write at least ``size`` bytes of rows, and return how many it were."""
    written, number = 0, first_id
    while written < size:
        end = number + min(5_000, (size - written) // 90 + 1)
        block = "".join([_row(at, source.getrandbits(224)) for at in range(number, end)]).encode()
        write(block)
        written += len(block)
        number = end
    return written


def _row(number: int, dice: int) -> str:
    """Return one line of a table of customers, drawn from 224 random bits."""
    first, last = _FIRST[dice % 14], _LAST[(dice >> 4) % 14]
    return (
        f"{number},{dice >> 96:032x},{first} {last},"
        f"{first[0].lower()}.{last.lower()}{dice & 0xFFF}@example.org,"
        f"{_STREET[(dice >> 8) % 12]} Street {(dice >> 12) % 250},{_TOWN[(dice >> 20) % 14]},"
        f"+49 {(dice >> 24) & 0xFFFFFF},{_STATE[(dice >> 50) % 4]},"
        f"{(dice >> 52) % 100_000}.{(dice >> 70) % 100:02d},"
        f"2026-{(dice >> 80) % 12 + 1:02d}-{(dice >> 84) % 28 + 1:02d}\n"
    )


def _documents(folder: Path, total: int, source: random.Random) -> None:
    folder.mkdir()
    number = 0
    while total > 0:
        size = min(total, int(50_000 * 100 ** source.random()))
        name = f"{source.choice(_WORDS)}-{number:05d}.pdf"
        folder.joinpath(name).write_bytes(_document(size, source))
        total -= size
        number += 1


def _document(size: int, source: random.Random) -> bytes:
    """Return bytes that look like a PDF's outside and cannot be compressed."""
    head, tail = b"%PDF-1.7\n", b"\n%%EOF\n"
    return head + source.randbytes(max(0, size - len(head) - len(tail))) + tail


def _database(path: Path, rows: int, source: random.Random) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, town TEXT, note TEXT, "
            "balance INTEGER)"
        )
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", _rows(rows, source))
        database.execute("CREATE INDEX customers_by_town ON customers (town, balance)")


def _rows(count: int, source: random.Random) -> Iterator[tuple[int, str, str, str, int]]:
    bits = source.getrandbits
    for number in range(count):
        dice = bits(96)
        name = f"{_FIRST[dice % 14]} {_LAST[(dice >> 4) % 14]}"
        words = (_WORDS[(dice >> shift) % len(_WORDS)] for shift in range(8, 56, 8))
        note = f"{' '.join(words)} {dice >> 40:014x}"
        yield number, name, _TOWN[(dice >> 60) % 14], note, (dice >> 64) % 1_000_000


def _update_database(path: Path, share: float, source: random.Random) -> int:
    """Update runs of rows all over the table, and return about the bytes that this writes."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        (count,) = database.execute("SELECT count(*) FROM customers").fetchone()
        wanted = max(1, int(count * share))
        run = min(wanted, 200)
        for _ in range(-(-wanted // run)):
            start = source.randrange(count)
            database.execute(
                "UPDATE customers SET note = ? || id WHERE id BETWEEN ? AND ?",
                (source.choice(_WORDS), start, start + run - 1),
            )
    return int(path.stat().st_size * share)


def _records(
    folder: Path, count: int, per_folder: int, source: random.Random, *, long: bool
) -> None:
    """Write ``count`` JSON files, ``per_folder`` of them in each folder two levels below."""
    edges = [*range(0, count, per_folder), count]
    for place, (start, end) in enumerate(pairwise(edges)):
        below = folder / f"{place // 64:02x}" / f"{place % 64:02x}"
        below.mkdir(parents=True)
        fd = os.open(below, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for number in range(start, end):
                _write_at(fd, f"record-{number:06d}.json", _record(number, source, long=long))
        finally:
            os.close(fd)


def _write_at(folder_fd: int, name: str, contents: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder_fd)
    try:
        os.write(fd, contents)
    finally:
        os.close(fd)


def _record(number: int, source: random.Random, *, long: bool) -> bytes:
    """Return one JSON object: about 140 bytes, or about 420 when ``long``."""
    dice = source.getrandbits(64)
    note = f',"note":"{" ".join(source.choices(_WORDS, k=40))}"' if long else ""
    return (
        f'{{"id":{number},"customer":"{_FIRST[dice % 14]} {_LAST[(dice >> 4) % 14]}",'
        f'"town":"{_TOWN[(dice >> 8) % 14]}","state":"{_STATE[(dice >> 12) % 4]}",'
        f'"amount":{(dice >> 14) % 1_000_000},"currency":"EUR","key":"{dice:016x}","at":"2026-11-'
        f'{(dice >> 36) % 28 + 1:02d}"{note}}}\n'
    ).encode()


def main() -> None:
    """Make a workload from the command line, or change one."""
    parser = argparse.ArgumentParser(description="Make a seeded folder of customer data.")
    parser.add_argument("workload", choices=[*sorted(WORKLOADS), "change"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--share", type=float, default=0.01, help="of a folder that is changed")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.workload == "change":
        print(change(chosen.folder, chosen.share, chosen.seed))
    else:
        WORKLOADS[chosen.workload](chosen.folder, chosen.scale, chosen.seed)


if __name__ == "__main__":
    main()
