"""The tree of an earlier snapshot, kept on this machine because a host cannot read its own vault.

A file of tree blocks, exactly as they stand in tree chunks, read once from front to back beside the
scan. Most directories are unchanged and are compared as bytes, never decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vaultd.core.tree import SIZE, Listing, path_key
from vaultd.crypto import hashing
from vaultd.format import tree as fmt

_U32 = struct.Struct("<I")
_READ_BYTES = 256 << 10
_DIGEST_BYTES = 32


class CachedBlock:
    """One block of the base, decoded no further than needed.

    Attributes:
        raw: The block as stored, its length before it.
        body: Its outer shape.
        key: Sort key of its directory.
    """

    __slots__ = ("_block", "body", "key", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.body = fmt.decode_body(memoryview(raw)[_U32.size :], what="cached tree")
        self.key = path_key(self.body.path)
        self._block: fmt.Block | None = None

    @property
    def block(self) -> fmt.Block:
        """The block, decoded and checked."""
        if self._block is None:
            self._block = fmt.open_body(self.body, what="cached tree")
        return self._block

    def is_same(self, listing: Listing, joined: bytes) -> bool:
        """Tell whether a directory part has the same names and stat columns."""
        return self.body.names == joined and self.body.stats == listing.stats.tobytes()

    def hole_bytes(self, listing: Listing) -> int:
        """Return how much of the sizes in a listing that is the same are holes."""
        return sum(
            listing.get(SIZE, position) - sum(extra.segments[1::2])
            for position, extra in self.body.extras.items()
            if extra.segments is not None
        )

    def last_name(self) -> bytes:
        """Return the last name, without decoding the rest."""
        return self.body.names.rpartition(b"\0")[2]


class BaseTree:
    """The blocks of one cached tree, in walking order.

    Args:
        stream: The cache file, opened for reading; ``None`` for no base.
    """

    def __init__(self, stream: BinaryIO | None) -> None:
        self._blocks = iter(()) if stream is None else _blocks(stream)
        self._ahead: CachedBlock | None = next(self._blocks, None)
        self._kept: list[CachedBlock] = []

    def overlapping(self, listing: Listing) -> list[CachedBlock]:
        """Return the blocks of the same directory that may hold names of this part.

        Listings must be asked for in walking order, each once.
        """
        key = path_key(listing.path)
        self._kept = (
            [
                block
                for block in self._kept
                if block.key == key and block.last_name() >= listing.names[0]
            ]
            if (listing.names)
            else []
        )
        while self._ahead is not None and self._ahead.key <= key:
            if self._ahead.key == key:
                if listing.names and self._kept and self._kept[-1].last_name() >= listing.names[-1]:
                    break
                self._kept.append(self._ahead)
            self._ahead = next(self._blocks, None)
        return self._kept


def _blocks(stream: BinaryIO) -> Iterator[CachedBlock]:
    left = os.fstat(stream.fileno()).st_size - _DIGEST_BYTES
    while left > 0:
        head = stream.read(_U32.size)
        (length,) = _U32.unpack(head)
        left -= _U32.size + length
        yield CachedBlock(head + stream.read(length))


def open_cache(path: Path) -> BinaryIO | None:
    """Open a cached tree; return ``None`` when there is none, or it is not what was written.

    It is read once before it is believed: what it says is copied into the next snapshot as it is.
    """
    try:
        stream = path.open("rb", buffering=_READ_BYTES)
    except FileNotFoundError:
        return None
    left = os.fstat(stream.fileno()).st_size - _DIGEST_BYTES
    digest = hashing.sha256_stream()
    while left > 0:
        piece = stream.read(min(_READ_BYTES, left))
        digest.update(piece)
        left -= len(piece)
    if left < 0 or stream.read() != digest.digest():
        stream.close()
        return None
    stream.seek(0)
    return stream
