"""MessagePack with limits, and the frame that every object wears (FORMAT.md 2).

A frame is ``magic (8) | u32 length | body (length)`` and whatever the kind puts after it. The last
byte of a magic is the version of the kind, as an ASCII digit.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any, TypeVar

import msgspec

from vaultd.core.errors import MalformedObjectError, UnsupportedVersionError

T = TypeVar("T")

MAGIC_BYTES = 8
FRAME_BYTES = MAGIC_BYTES + 4
MAX_NESTING = 8

_ENCODER = msgspec.msgpack.Encoder()
_U32 = struct.Struct("<I")


class Packed(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, kw_only=False):
    """Base of everything that is encoded: a MessagePack array in field order."""


@cache
def _decoder(kind: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def encode(value: object) -> bytes:
    """Encode a value as MessagePack; the same value always gives the same bytes."""
    return _ENCODER.encode(value)


def decode(kind: type[T], data: bytes | memoryview, *, what: str, limit: int) -> T:
    """Decode MessagePack into one kind of value.

    Args:
        kind: A `Packed` class, or any type that msgspec knows.
        data: Exactly one encoded value.
        what: Names the object in messages.
        limit: Most bytes that are looked at.

    Raises:
        MalformedObjectError: Too long, not MessagePack, or not of that shape.
    """
    if len(data) > limit:
        raise MalformedObjectError(f"{what}: {len(data)} bytes, at most {limit} allowed")
    try:
        value: T = _decoder(kind).decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedObjectError(f"{what}: {error}") from error
    return value


def frame(magic: bytes, body: bytes) -> bytes:
    """Put magic and length before a body."""
    return magic + _U32.pack(len(body)) + body


def unframe(magic: bytes, data: bytes | memoryview, *, what: str, limit: int) -> tuple[memoryview, memoryview]:
    """Split an object into its body and what follows the body.

    Args:
        magic: The magic expected.
        data: The object, or its beginning.
        what: Names the object in messages.
        limit: Most bytes that the body may have.

    Raises:
        UnsupportedVersionError: The kind is right and its version is newer.
        MalformedObjectError: Anything else is wrong.
    """
    view = memoryview(data)
    if len(view) < FRAME_BYTES:
        raise MalformedObjectError(f"{what}: {len(view)} bytes, expected at least {FRAME_BYTES}")
    found = bytes(view[:MAGIC_BYTES])
    if found != magic:
        if found[:-1] == magic[:-1] and found[-1:].isdigit():
            raise UnsupportedVersionError(
                f"{what}: format version {found[-1:].decode()}, this vaultd knows {magic[-1:].decode()}",
                hint="Upgrade vaultd to read this vault.",
            )
        raise MalformedObjectError(f"{what}: begins with {found!r}, expected {magic!r}")
    (length,) = _U32.unpack_from(view, MAGIC_BYTES)
    if length > limit:
        raise MalformedObjectError(f"{what}: body of {length} bytes, at most {limit} allowed")
    end = FRAME_BYTES + length
    if end > len(view):
        raise MalformedObjectError(f"{what}: ends at {len(view)}, its body at {end}")
    return view[FRAME_BYTES:end], view[end:]
