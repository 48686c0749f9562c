"""MessagePack with limits, and the frame that every object wears (FORMAT.md 2).

A frame is ``magic (8) | u32 length | body (length)`` and whatever the kind puts after it. The last
byte of a magic is the version of the kind, as an ASCII digit.
"""

from __future__ import annotations

import struct
import threading
from functools import cache
from typing import Any, TypeVar

import msgspec

from vaultd.core.errors import MalformedObjectError, UnsupportedVersionError

T = TypeVar("T")

UPGRADE = "Upgrade vaultd to read this vault."
"""The hint of every `UnsupportedVersionError`."""

MAGIC_BYTES = 8
FRAME_BYTES = MAGIC_BYTES + 4

_ENCODER = msgspec.msgpack.Encoder()
_PREPARING = threading.Lock()
_U32 = struct.Struct("<I")
_SHORT_ARRAY, _SMALL_NUMBERS = 0x90, 0x80


class Packed(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Base of everything that is encoded: a MessagePack array in field order."""


@cache
def _made(kind: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def _decoder(kind: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    # Two threads that prepare the same class at once crash the interpreter (msgspec 0.22).
    with _PREPARING:
        return _made(kind)  # type: ignore[arg-type]  # types are hashable


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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedObjectError(f"{what}: {error}") from error
    return value


def decode_versioned(kind: type[T], data: bytes | memoryview, *, what: str, limit: int) -> T:
    """Decode a struct whose first field is its version, which is 1 now.

    Args:
        kind: A `Packed` class whose first field is a `vaultd.format.fields.Version`.
        data: As in `decode`.
        what: As in `decode`.
        limit: As in `decode`.

    Raises:
        UnsupportedVersionError: Of a newer version, whatever shape that has.
        MalformedObjectError: As in `decode`.
    """
    # An array of up to 15 fields has one byte before its first field, which is itself below 128.
    if len(data) > 1 and data[0] & 0xF0 == _SHORT_ARRAY and 1 < data[1] < _SMALL_NUMBERS:
        raise UnsupportedVersionError(f"{what}: version {data[1]}, expected 1", hint=UPGRADE)
    return decode(kind, data, what=what, limit=limit)


def frame(magic: bytes, body: bytes) -> bytes:
    """Put magic and length before a body."""
    return magic + _U32.pack(len(body)) + body


def unframe(
    magic: bytes, data: bytes | memoryview, *, what: str, limit: int
) -> tuple[memoryview, memoryview]:
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
                f"{what}: format version {chr(found[-1])}, expected {chr(magic[-1])}", hint=UPGRADE
            )
        raise MalformedObjectError(f"{what}: begins with {found!r}, expected {magic!r}")
    (length,) = _U32.unpack_from(view, MAGIC_BYTES)
    if length > limit:
        raise MalformedObjectError(f"{what}: body of {length} bytes, at most {limit} allowed")
    end = FRAME_BYTES + length
    if end > len(view):
        raise MalformedObjectError(f"{what}: ends at {len(view)}, its body at {end}")
    return view[FRAME_BYTES:end], view[end:]
