"""Index parts: which chunk lies in which pack (FORMAT.md 7).

``frame("VLTINDX1", PartHeader) | sealed``, sealed being AES-256-GCM with nonce 0 under a key made
for this part alone, over ``u32 raw length | zstd(PartBody)``, with SHA-256 of the framed header as
associated data.
"""

from __future__ import annotations

from vaultd.core.errors import MalformedObjectError
from vaultd.format.codec import (
    FRAME_BYTES,
    Packed,
    decode,
    decode_versioned,
    encode,
    frame,
    unframe,
)
from vaultd.format.fields import U32, Epoch, Hash, Id, Name, Number, Version
from vaultd.format.pack import PackKind, PackSize, Record, TableBody, columns_of, records_of

MAGIC = b"VLTINDX1"
MAX_PART_BYTES = 8 << 20
MAX_PART_RAW_BYTES = 8 << 20
MAX_HEADER_BYTES = 1 << 10


class PartHeader(Packed, frozen=True):
    """What stands in clear: enough to derive the key, nothing about the contents.

    Attributes:
        vault_id: The vault.
        host: Who wrote it.
        seq: In which session.
        number: 0, 1, … in the session.
        domain: Whose index key.
        epoch: Epoch of that key.
        uid: 16 random bytes, so that no two parts share a key.
    """

    vault_id: Id
    host: Name
    seq: Number
    number: U32
    domain: Name
    epoch: Epoch
    uid: Id


class IndexedPack(Packed, frozen=True):
    """One pack and its records.

    Attributes:
        seq: Session in the pack's name; an earlier one when it was adopted.
        sha256: SHA-256 of the pack.
        size: Its bytes.
        kind: `vaultd.format.pack.DATA` or ``META``.
        first_offset: Where record 0 begins.
        table: Its records.
    """

    seq: Number
    sha256: Hash
    size: PackSize
    kind: PackKind
    first_offset: PackSize
    table: TableBody


class PartBody(Packed, frozen=True):
    """The contents of an index part; ``v`` is 1."""

    v: Version
    packs: tuple[IndexedPack, ...]


def indexed_pack(
    seq: int, sha256: bytes, size: int, kind: int, records: list[Record]
) -> IndexedPack:
    """Return a pack's line in an index part; it must hold at least one record."""
    return IndexedPack(seq, sha256, size, kind, records[0].offset, columns_of(records))


def records_in(pack: IndexedPack, *, what: str) -> list[Record]:
    """Return the records of one indexed pack.

    Raises:
        MalformedObjectError: They break the format.
    """
    return records_of(pack.table, first_offset=pack.first_offset, what=what)


def encode_header(header: PartHeader) -> bytes:
    """Return the framed header; its SHA-256 is the associated data of what follows."""
    return frame(MAGIC, encode(header))


def decode_part(data: bytes, *, what: str) -> tuple[PartHeader, bytes, memoryview]:
    """Split an index part into its header, its framed header as bytes, and what is sealed.

    Raises:
        MalformedObjectError: It breaks the format.
        UnsupportedVersionError: Written by a newer vaultd.
    """
    if len(data) > MAX_PART_BYTES:
        raise MalformedObjectError(f"{what}: {len(data)} bytes, at most {MAX_PART_BYTES} allowed")
    body, sealed = unframe(MAGIC, data, what=what, limit=MAX_HEADER_BYTES)
    header = decode(PartHeader, body, what=what, limit=MAX_HEADER_BYTES)
    return header, bytes(data[: FRAME_BYTES + len(body)]), sealed


def encode_body(packs: tuple[IndexedPack, ...]) -> bytes:
    """Encode the contents, before they are compressed and sealed."""
    return encode(PartBody(1, packs))


def decode_body(data: bytes, *, what: str) -> tuple[IndexedPack, ...]:
    """Decode the contents, opened and decompressed.

    Raises:
        MalformedObjectError: They break the format.
        UnsupportedVersionError: Written by a newer vaultd.
    """
    return decode_versioned(PartBody, data, what=what, limit=MAX_PART_RAW_BYTES).packs
