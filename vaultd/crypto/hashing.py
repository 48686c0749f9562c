"""Hashes: SHA-256 for names and signatures, keyed BLAKE3 for the ids of chunks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from blake3 import blake3

if TYPE_CHECKING:
    from cryptography.utils import Buffer
    from hashlib import _Hash

HASH_BYTES = 32
"""Length of every hash of this module."""


def sha256(data: Buffer) -> bytes:
    """Return the SHA-256 of ``data``, 32 bytes."""
    return hashlib.sha256(data).digest()


def sha256_stream() -> _Hash:
    """Return an empty incremental SHA-256: ``update(buffer)``, then ``digest()``."""
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
