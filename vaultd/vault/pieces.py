"""Compression of index parts and root sections, in pieces of bounded length (FORMAT.md 2).

``(u32 method << 24 | raw length | u32 stored length | body)`` again and again; a piece has at most
4 MiB raw, so that nothing has to be allocated on the word of a header alone.
"""

from __future__ import annotations

import struct

from vaultd.compression import Compressor, Decompressor
from vaultd.core.errors import MalformedObjectError

PIECE_BYTES = 4 << 20

_HEAD = struct.Struct("<II")
_LENGTH = 0xFFFFFF


def compress(raw: bytes) -> bytes:
    """Compress bytes of any length."""
    compressor = Compressor("better")
    packed = bytearray()
    for at in range(0, len(raw), PIECE_BYTES):
        piece = raw[at : at + PIECE_BYTES]
        method, body = compressor.compress(piece)
        packed += _HEAD.pack(method << 24 | len(piece), len(body))
        packed += body
    return bytes(packed)


def decompress(packed: bytes, *, limit: int, what: str) -> bytes:
    """Undo `compress`.

    Args:
        packed: What `compress` returned.
        limit: Most bytes that may come out.
        what: Names the object in messages.

    Raises:
        MalformedObjectError: Lengths do not add up, or go beyond the limits.
        CorruptObjectError: A piece does not decompress to what it promises.
    """
    decompressor = Decompressor()
    view = memoryview(packed)
    raw = bytearray()
    while view:
        if len(view) < _HEAD.size:
            raise MalformedObjectError(f"{what}: ends inside the head of a piece")
        head, stored = _HEAD.unpack_from(view)
        length = head & _LENGTH
        if length > PIECE_BYTES or len(raw) + length > limit or _HEAD.size + stored > len(view):
            raise MalformedObjectError(
                f"{what}: piece of {length} raw and {stored} stored bytes is out of bounds"
            )
        raw += decompressor.decompress(head >> 24, view[_HEAD.size : _HEAD.size + stored], length)
        view = view[_HEAD.size + stored :]
    return bytes(raw)
