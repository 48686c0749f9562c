"""What names, paths, numbers and segments of a tree may be: a host may be evil (FORMAT.md 8.3)."""

from __future__ import annotations

from array import array

from vaultd.core.errors import MalformedObjectError
from vaultd.core.tree import COLUMNS, GID, MODE, SIZE, UID

MAX_PATH_BYTES = 256 << 10
MAX_NAME_BYTES = 255
MAX_DEPTH = 1024

_NOT_NAMES = frozenset({b"", b".", b".."})
_BOUNDS = {MODE: 0xFFFF, UID: (1 << 32) - 1, GID: (1 << 32) - 1, SIZE: (1 << 63) - 1}
"""Highest values of the stat columns that no value below 0 may have."""


def check_stats(stats: array[int], count: int, what: str) -> None:
    """Refuse modes, owners and sizes that no system has.

    Raises:
        MalformedObjectError: One is out of bounds.
    """
    for column, highest in _BOUNDS.items():
        values = stats[column * count : (column + 1) * count]
        if count and not 0 <= min(values) <= max(values) <= highest:
            raise MalformedObjectError(f"{what}: {COLUMNS[column]} out of bounds")


def check_path(path: bytes, what: str) -> None:
    """Refuse a path that is too long, too deep, or leads elsewhere.

    Raises:
        MalformedObjectError: It does.
    """
    if len(path) > MAX_PATH_BYTES or path.count(b"/") >= MAX_DEPTH:
        raise MalformedObjectError(f"{what}: path of {len(path)} bytes, {path.count(b'/')} deep")
    if b"\0" in path:
        raise MalformedObjectError(f"{what}: path with a zero byte")
    if path:
        _check_each(path.split(b"/"), what)


def check_names(joined: bytes, what: str) -> list[bytes]:
    """Return the names of a block, none of which leads elsewhere, and which ascend.

    Args:
        joined: The names with a zero byte between two; none when empty.
        what: Names the block in messages.

    Raises:
        MalformedObjectError: One does lead elsewhere, or does not ascend.
    """
    names = joined.split(b"\0") if joined else []
    if b"/" in joined:
        raise MalformedObjectError(f"{what}: a name with a slash")
    _check_each(names, what)
    if names != sorted(names) or len(names) != len(set(names)):
        raise MalformedObjectError(f"{what}: names do not ascend")
    return names


def _check_each(names: list[bytes], what: str) -> None:
    # Restores decode millions of names: a loop in the library, none here.
    found = _NOT_NAMES.intersection(names)
    longest = max(map(len, names), default=0)
    if found or longest > MAX_NAME_BYTES:
        raise MalformedObjectError(f"{what}: names {sorted(found)}, one of {longest} bytes")


def segments_of(numbers: tuple[int, ...], size: int, what: str) -> tuple[tuple[int, int], ...]:
    """Return the (offset, length) of a sparse file's data from its flattened numbers.

    Raises:
        MalformedObjectError: They overlap, are empty, or end behind the file.
    """
    if len(numbers) % 2:
        raise MalformedObjectError(f"{what}: {len(numbers)} numbers of sparse segments")
    segments = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    end = 0
    for offset, length in segments:
        if offset < end or length <= 0:
            raise MalformedObjectError(f"{what}: sparse segments overlap or are empty")
        end = offset + length
    if end > size:
        raise MalformedObjectError(f"{what}: sparse segments end at {end} of {size}")
    return segments
