"""Packs: many sealed records and a sealed table (FORMAT.md 6).

::

    frame("VLTPACK1", PackHeader) | record 0 … record n-1 | table | padding | trailer (20)
    trailer: u32 record count | u32 table length | u32 padding length | "VLTEND_1"

Each record is AES-256-GCM under the pack's key, with its position as nonce and as associated data
``SHA-256(framed header) || u32 position || u32 method << 24 | raw length`` (big-endian).
The table is sealed as one more record, with position n and raw length 0, so that lengths inside a
pack are visible to nobody who cannot open it.
"""

from __future__ import annotations

import struct
from typing import Annotated

from msgspec import Meta, Struct

from vaultd.core.errors import MalformedObjectError, UnsupportedVersionError
from vaultd.format.codec import FRAME_BYTES, UPGRADE, Packed, decode, encode, frame, unframe
from vaultd.format.fields import U32, Hash, Id, Name, Number

MAGIC = b"VLTPACK1"
END = b"VLTEND_1"
TRAILER = struct.Struct("<III8s")
DATA, META = 0, 1
"""Pack kinds: contents; trees and lists."""

SUITE = 1
"""HPKE MLKEM768-X25519, HKDF-SHA256, AES-256-GCM; records AES-256-GCM."""

SEALED_KEY_BYTES = 1168
CHUNK_ID_BYTES = 32
MAX_PACK_BYTES = 64 << 20
MAX_HEADER_BYTES = 4 << 10
MAX_RECORDS = 1 << 16
MAX_CHUNK_BYTES = 8 << 20
MAX_TABLE_BYTES = 4 << 20
PADDING_UNIT = 64 << 10
TAG_BYTES = 16
"""What sealing adds to the length of a plaintext."""

PackKind = Annotated[int, Meta(ge=DATA, le=META)]
PackSize = Annotated[int, Meta(ge=1, le=MAX_PACK_BYTES)]
SealedKey = Annotated[bytes, Meta(min_length=SEALED_KEY_BYTES, max_length=SEALED_KEY_BYTES)]

_AAD = struct.Struct(">II")
_LENGTH = 0xFFFFFF
_METHODS = 2
_U32 = struct.Struct("<I")


class PackHeader(Packed, frozen=True):
    """What stands in clear at the beginning of a pack.

    Attributes:
        vault_id: The vault.
        host: Who wrote it.
        seq: In which session.
        kind: `DATA` or `META`.
        uid: 16 random bytes.
        suite: `SUITE`.
        key_id: Key id of the public key to which the pack's key is sealed.
        sealed: The pack's key, sealed; 1168 bytes.
        commitment: Commits to the pack's key, so that it cannot be opened in two ways.
    """

    vault_id: Id
    host: Name
    seq: Number
    kind: PackKind
    uid: Id
    suite: U32
    key_id: Id
    sealed: SealedKey
    commitment: Hash


class TableBody(Packed, frozen=True):
    """The table of a pack: one column each.

    Attributes:
        ids: Chunk ids, 32 bytes each.
        stored: Sealed lengths, u32 little-endian each.
        raws: ``method << 24 | raw length``, u32 little-endian each.
    """

    ids: bytes
    stored: bytes
    raws: bytes


class Record(Struct, frozen=True):
    """Where one chunk lies in its pack.

    Attributes:
        chunk_id: Keyed BLAKE3 of the chunk.
        position: 0, 1, … in the pack.
        offset: Of its first sealed byte in the pack.
        stored: Sealed bytes, tag included.
        method: 0 raw, 1 zstd.
        raw: Bytes of the chunk.
    """

    chunk_id: bytes
    position: int
    offset: int
    stored: int
    method: int
    raw: int


class Trailer(Struct, frozen=True, kw_only=True):
    """The end of a pack, unauthenticated until the table has been opened."""

    records: int
    table_bytes: int
    padding: int


def encode_header(header: PackHeader) -> bytes:
    """Return the framed header: the first bytes of a pack; its length is where record 0 begins."""
    return frame(MAGIC, encode(header))


def decode_header(data: bytes | memoryview, *, what: str) -> tuple[PackHeader, int]:
    """Return the header at the beginning of ``data`` and where record 0 begins.

    Raises:
        MalformedObjectError: It breaks the format.
        UnsupportedVersionError: Written by a newer vaultd.
    """
    body, _ = unframe(MAGIC, data, what=what, limit=MAX_HEADER_BYTES)
    header = decode(PackHeader, body, what=what, limit=MAX_HEADER_BYTES)
    if header.suite != SUITE:
        raise UnsupportedVersionError(
            f"{what}: cipher suite {header.suite}, expected {SUITE}", hint=UPGRADE
        )
    return header, FRAME_BYTES + len(body)


def record_aad(header_sha256: bytes, position: int, method: int, raw: int) -> bytes:
    """Return the associated data of a record."""
    return header_sha256 + _AAD.pack(position, method << 24 | raw)


def encode_trailer(trailer: Trailer) -> bytes:
    """Return the last bytes of a pack."""
    return TRAILER.pack(trailer.records, trailer.table_bytes, trailer.padding, END)


def decode_trailer(data: bytes | memoryview, *, what: str) -> Trailer:
    """Return the trailer at the end of ``data``.

    Raises:
        MalformedObjectError: It is not there or its numbers are impossible.
    """
    if len(data) < TRAILER.size:
        raise MalformedObjectError(f"{what}: {len(data)} bytes, expected at least {TRAILER.size}")
    records, table, padding, end = TRAILER.unpack(bytes(data[-TRAILER.size :]))
    if end != END:
        raise MalformedObjectError(f"{what}: ends with {end!r}, expected {END!r}")
    if records > MAX_RECORDS or table > MAX_TABLE_BYTES or padding >= PADDING_UNIT:
        raise MalformedObjectError(
            f"{what}: trailer names {records} records, table of {table}, padding of {padding}"
        )
    return Trailer(records=records, table_bytes=table, padding=padding)


def padding_for(length: int) -> int:
    """Return how many random bytes bring a pack of ``length`` to a multiple of 64 KiB."""
    return -length % PADDING_UNIT


def encode_table(records: list[Record]) -> bytes:
    """Return the table of a pack, before it is sealed."""
    return encode(columns_of(records))


def columns_of(records: list[Record]) -> TableBody:
    """Return records, in position order, as columns."""
    count = len(records)
    return TableBody(
        b"".join(record.chunk_id for record in records),
        struct.pack(f"<{count}I", *(record.stored for record in records)),
        struct.pack(f"<{count}I", *(record.method << 24 | record.raw for record in records)),
    )


def decode_table(data: bytes, *, first_offset: int, what: str) -> list[Record]:
    """Return the records of a pack whose table has been opened.

    Args:
        data: The opened table.
        first_offset: Where record 0 begins.
        what: Names the pack in messages.

    Raises:
        MalformedObjectError: It breaks the format.
    """
    return records_of(
        decode(TableBody, data, what=what, limit=MAX_TABLE_BYTES),
        first_offset=first_offset,
        what=what,
    )


def records_of(table: TableBody, *, first_offset: int, what: str) -> list[Record]:
    """Return columns as records, positions and offsets worked out.

    Raises:
        MalformedObjectError: Columns of different lengths, or numbers out of bounds.
    """
    count, rest = divmod(len(table.ids), CHUNK_ID_BYTES)
    if rest or count > MAX_RECORDS or not 4 * count == len(table.stored) == len(table.raws):
        raise MalformedObjectError(
            f"{what}: columns of {len(table.ids)}, {len(table.stored)}, {len(table.raws)} bytes"
        )
    records = []
    offset = first_offset
    stored_column = struct.unpack(f"<{count}I", table.stored)
    for position, raw in enumerate(struct.unpack(f"<{count}I", table.raws)):
        stored, method, length = stored_column[position], raw >> 24, raw & _LENGTH
        if method >= _METHODS or not 0 < length <= MAX_CHUNK_BYTES or not _fits(stored, length):
            raise MalformedObjectError(
                f"{what}: record {position} has method {method}, {length} raw, {stored} stored"
            )
        chunk_id = table.ids[CHUNK_ID_BYTES * position : CHUNK_ID_BYTES * (position + 1)]
        records.append(Record(chunk_id, position, offset, stored, method, length))
        offset += stored
    if offset > MAX_PACK_BYTES:
        raise MalformedObjectError(
            f"{what}: records end at {offset}, at most {MAX_PACK_BYTES} allowed"
        )
    return records


def _fits(stored: int, raw: int) -> bool:
    # What zstd does not make shorter is stored as it is.
    return TAG_BYTES < stored <= raw + TAG_BYTES
