"""What all backends do with the bytes of an object, in memory or in an open file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from vaultd.backends.base import Body
from vaultd.core.errors import StorageError
from vaultd.core.units import MIB, format_size

MAX_BODY_BYTES = 64 * MIB
"""Biggest object: every S3 server takes it in one request, so its checksum is that of the whole."""


def size_of(name: str, body: Body) -> int:
    """Return how many bytes a body has.

    Raises:
        StorageError: More than an object may have.
    """
    size = len(body) if isinstance(body, bytes) else body.size
    if size > MAX_BODY_BYTES:
        raise StorageError(
            f"object {name}: {format_size(size)}, expected at most {format_size(MAX_BODY_BYTES)}"
        )
    return size


def check_range(name: str, offset: int, length: int | None) -> None:
    """Refuse a range that begins or ends before byte 0.

    Raises:
        StorageError: It does.
    """
    if offset < 0 or (length is not None and length < 0):
        raise StorageError(f"object {name}: no bytes {length} from {offset}")


def span(name: str, size: int, offset: int, length: int | None) -> int:
    """Return how many bytes an object of ``size`` has to give for a range; 0 beyond its end.

    Raises:
        StorageError: More than an object may have: nobody put that, so nobody should load it.
    """
    rest = max(0, size - offset)
    wanted = rest if length is None else min(rest, length)
    if wanted > MAX_BODY_BYTES:
        raise StorageError(
            f"object {name}: {format_size(size)}, expected at most {format_size(MAX_BODY_BYTES)}"
        )
    return wanted


def read_exactly(fd: int, length: int, offset: int) -> bytes:
    """Return ``length`` bytes of a file from ``offset`` without moving its own offset.

    Raises:
        OSError: The file cannot be read.
        EOFError: It ends before that.
    """
    block = os.pread(fd, length, offset)
    if len(block) == length:
        return block
    blocks = [block]  # the system gives less at a signal, or more than 2 GiB at once
    while block and (missing := length - sum(map(len, blocks))):
        block = os.pread(fd, missing, offset + length - missing)
        blocks.append(block)
    whole = b"".join(blocks)
    if len(whole) != length:
        raise EOFError(f"file ends at byte {offset + len(whole)}, expected {offset + length}")
    return whole


def blocks_of(body: Body, block_bytes: int = MIB) -> Iterator[bytes]:
    """Yield a body in order, in blocks of at most ``block_bytes``.

    Raises:
        StorageError: The file of a spooled body cannot be read, or ends early.
    """
    if isinstance(body, bytes):
        for start in range(0, len(body), block_bytes):
            yield body[start : start + block_bytes]
        return
    for start in range(0, body.size, block_bytes):
        try:
            yield read_exactly(body.fd, min(block_bytes, body.size - start), start)
        except (EOFError, OSError) as exc:
            raise StorageError(f"spooled body: {exc}") from exc


def bytes_of(body: Body) -> bytes:
    """Return a body as bytes; those of a spooled one are copied.

    Raises:
        StorageError: The file of a spooled body cannot be read, or ends early.
    """
    return body if isinstance(body, bytes) else b"".join(blocks_of(body, max(1, body.size)))


def sha256_of(body: Body) -> bytes:
    """Return the SHA-256 of a body.

    Raises:
        StorageError: The file of a spooled body cannot be read, or ends early.
    """
    digest = hashlib.sha256()
    for block in blocks_of(body):
        digest.update(block)
    return digest.digest()
