"""Hashes: SHA-256 for names and signatures, keyed BLAKE3 for the ids of chunks."""

from __future__ import annotations

import hashlib
from typing import Protocol

from blake3 import blake3

Buffer = bytes | bytearray | memoryview

HASH_BYTES = 32
"""Length of every hash of this module."""


class Sha256(Protocol):
    """A SHA-256 under way."""

    def update(self, data: Buffer, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """Return the hash of all bytes so far, 32 bytes."""


def sha256(data: Buffer) -> bytes:
    """Return the SHA-256 of ``data``, 32 bytes."""
    return hashlib.sha256(data).digest()


def sha256_stream() -> Sha256:
    """Return a SHA-256 that takes its bytes piece by piece."""
    return hashlib.sha256()


def keyed_hash(key: bytes, data: Buffer) -> bytes:
    """Return the keyed BLAKE3 of ``data``, 32 bytes: the id of a chunk.

    Runs on the calling thread only and releases the interpreter while it works.

    Args:
        key: 32 bytes.
        data: Any contiguous buffer.
    """
    return blake3(data, key=key).digest()


def content_hash(data: Buffer) -> bytes:
    """Return the BLAKE3 of ``data`` without a key, 32 bytes: for comparing, not for names."""
    return blake3(data).digest()
