"""Intents and outcomes: what a host signs (FORMAT.md 5, 8)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from vaultd.core.errors import MalformedObjectError
from vaultd.format.codec import Packed, decode_versioned, encode
from vaultd.format.fields import (
    U32,
    Count,
    Epoch,
    Hash,
    Id,
    KindName,
    MaybeHash,
    MaybeNumber,
    Name,
    Number,
    Text,
    Version,
)
from vaultd.format.index import MAX_PART_BYTES

SECTION_LIMIT = 64 << 20
_SHA256_BYTES = 32
MAX_PACKS, MAX_PARTS, MAX_TREE_CHUNKS = 1 << 21, 1 << 20, 1 << 21
MAX_PROBLEMS = 10_000

PartSize = Annotated[int, Meta(ge=1, le=MAX_PART_BYTES)]


class IntentBody(Packed, frozen=True):
    """A session begins (``sess/<host>/<seq>``).

    Attributes:
        vault_id: The vault.
        host: The host.
        seq: The session's number; also in the name.
        store_id: 16 bytes; which store is being captured.
        started_ns: By the host's clock.
        log_seen: Newest log entry known before the session began.
        adopts: Dead sessions of this host whose packs this one may use.
        software: Name and version of the program.
    """

    vault_id: Id
    host: Name
    seq: Number
    store_id: Id
    started_ns: Count
    log_seen: MaybeNumber
    adopts: tuple[Number, ...]
    software: Text


class Previous(Packed, frozen=True):
    """The committed snapshot before this one, of the same store and host."""

    seq: Number
    sha256: Hash


class RootBody(Packed, frozen=True, tag="snapshot"):
    """A committed snapshot (``snap/<host>/<seq>``, type ``snapshot``).

    Attributes:
        vault_id: The vault.
        host: The host.
        seq: The session's number; also in the name.
        store_id: 16 bytes; which store.
        kind: ``full``, ``differential`` or ``incremental``.
        chain: Session number of the full that began the chain.
        base: Session whose snapshot this one was compared with; 0 for none.
        previous: The committed snapshot before this one, if any.
        started_ns: When the capture began, by the host's clock.
        ended_ns: When the capture ended.
        log_seen: Newest log entry known.
        log_sha256: Its SHA-256; empty when the log is empty.
        epoch: Epoch of the keys used.
        chunker: As in the vault description.
        retain_until_ns: Promise of an object lock; 0 for none.
        software: Name and version of the program.
        refs: `RefsSection`, sealed under the index key.
        label: `LabelSection`, sealed under a key derived from the chunk id key.
        meta: `MetaSection`, sealed to the domain's meta key.
        bundle: Copy of the domain bundle in full snapshots; else empty.
    """

    vault_id: Id
    host: Name
    seq: Number
    store_id: Id
    kind: KindName
    chain: Number
    base: MaybeNumber
    previous: Previous | None
    started_ns: Count
    ended_ns: Count
    log_seen: MaybeNumber
    log_sha256: MaybeHash
    epoch: Epoch
    chunker: Text
    retain_until_ns: Count
    software: Text
    refs: bytes
    label: bytes
    meta: bytes
    bundle: bytes


class SupersededBody(Packed, frozen=True, tag="superseded"):
    """A dead session, closed by a later session of the same host."""

    vault_id: Id
    host: Name
    seq: Number
    by_seq: Number


class RevokedBody(Packed, frozen=True, tag="revoked"):
    """A session that a keeper closed because its host did not go on."""

    vault_id: Id
    host: Name
    seq: Number
    keeper: Name
    at_ns: Count


OutcomeBody = RootBody | SupersededBody | RevokedBody


class PackRef(Struct, frozen=True):
    """One pack that a snapshot needs.

    Attributes:
        seq: Session in the pack's name (the host is the snapshot's).
        sha256: SHA-256 of the pack, also in its name.
        size: Its bytes.
        part: Position in ``RefsSection.parts`` of the index part that describes it.
    """

    seq: int
    sha256: bytes
    size: int
    part: int


PackColumn = Annotated[bytes, Meta(max_length=4 * MAX_PACKS)]


class PackColumns(Packed, frozen=True):
    """All packs that a snapshot needs, ascending by session and hash, one column each.

    Attributes:
        seqs: Fields of `PackRef`: u32 little-endian each.
        sha256s: 32 bytes each.
        sizes: u32 little-endian each.
        parts: u32 little-endian each.
    """

    seqs: PackColumn
    sha256s: Annotated[bytes, Meta(max_length=_SHA256_BYTES * MAX_PACKS)]
    sizes: PackColumn
    parts: PackColumn


class PartRef(Packed, frozen=True):
    """One index part that a snapshot needs: session, SHA-256 (both in the name), bytes."""

    seq: Number
    sha256: Hash
    size: PartSize


class CountsBody(Packed, frozen=True):
    """Numbers of `vaultd.core.snapshot.Counts`, in its order."""

    files: Count
    directories: Count
    others: Count
    data: Count
    files_new: Count
    files_changed: Count
    files_read: Count
    data_added: Count
    stored_added: Count
    problems: Count


class RefsSection(Packed, frozen=True):
    """What a keeper may know: what the snapshot needs, and what retention asks about.

    Attributes:
        v: 1.
        store: Name of the store.
        tags: As given when the snapshot was made.
        counts: Its numbers.
        packs: Every pack that restoring needs.
        parts: Every index part that describes these packs.
    """

    v: Version
    store: Text
    tags: tuple[Text, ...]
    counts: CountsBody
    packs: PackColumns
    parts: Annotated[tuple[PartRef, ...], Meta(max_length=MAX_PARTS)]


class LabelSection(Packed, frozen=True):
    """What hosts of the domain may know beside it: machine, captured paths, user."""

    v: Version
    hostname: Text
    roots: tuple[bytes, ...]
    username: Text


class TreeChunk(Packed, frozen=True):
    """One chunk of the tree: its id, and the directory of its first block."""

    chunk_id: Hash
    first_path: bytes


class ProblemBody(Packed, frozen=True):
    """One entry that is missing or flagged."""

    kind: Text
    path: bytes
    reason: Text


class MetaSection(Packed, frozen=True):
    """What only readers may know.

    Attributes:
        v: 1.
        tree: The tree's chunks in order.
        users: User id to name.
        groups: Group id to name.
        options: Fingerprint of the capture options.
        problems: Entries missing or flagged, the first 10,000.
    """

    v: Version
    tree: Annotated[tuple[TreeChunk, ...], Meta(max_length=MAX_TREE_CHUNKS)]
    users: dict[U32, Text]
    groups: dict[U32, Text]
    options: bytes
    problems: Annotated[tuple[ProblemBody, ...], Meta(max_length=MAX_PROBLEMS)]


def pack_columns(refs: Iterable[PackRef]) -> PackColumns:
    """Return packs as columns; they must come in order."""
    seqs, sizes, parts = array("I"), array("I"), array("I")
    sha256s = bytearray()
    for ref in refs:
        seqs.append(ref.seq)
        sha256s += ref.sha256
        sizes.append(ref.size)
        parts.append(ref.part)
    return PackColumns(seqs.tobytes(), bytes(sha256s), sizes.tobytes(), parts.tobytes())


def pack_refs(refs: RefsSection, *, what: str) -> Iterator[PackRef]:
    """Yield the packs of a refs section, one after the other.

    Raises:
        MalformedObjectError: Columns of different lengths, or a part that is not there.
    """
    sha256s = refs.packs.sha256s
    for at, (seq, size, part) in enumerate(zip(*_numbers(refs, what), strict=True)):
        if part >= len(refs.parts):
            raise MalformedObjectError(
                f"{what}: pack {at} names index part {part} of {len(refs.parts)}"
            )
        yield PackRef(seq, sha256s[_SHA256_BYTES * at : _SHA256_BYTES * (at + 1)], size, part)


def pack_bytes(refs: RefsSection, *, what: str) -> int:
    """Return the bytes of all packs of a refs section together.

    Raises:
        MalformedObjectError: Columns of different lengths.
    """
    _, sizes, _ = _numbers(refs, what)
    return sum(sizes)


def _numbers(refs: RefsSection, what: str) -> tuple[array[int], array[int], array[int]]:
    """Return sessions, sizes and parts of the packs of a refs section."""
    columns = refs.packs
    count, rest = divmod(len(columns.sha256s), _SHA256_BYTES)
    numbers = array("I"), array("I"), array("I")
    for column, stored in zip(numbers, (columns.seqs, columns.sizes, columns.parts), strict=True):
        if rest or len(stored) != 4 * count:
            raise MalformedObjectError(f"{what}: columns of packs differ in length")
        column.frombytes(stored)
    return numbers


S = TypeVar("S", RefsSection, LabelSection, MetaSection)


def encode_section(section: RefsSection | LabelSection | MetaSection) -> bytes:
    """Encode a section of a root, before it is compressed and sealed."""
    return encode(section)


def decode_section(kind: type[S], data: bytes, *, what: str) -> S:
    """Decode an opened section of a root.

    Raises:
        MalformedObjectError: Not of that shape.
        UnsupportedVersionError: Written by a newer vaultd.
    """
    return decode_versioned(kind, data, what=what, limit=SECTION_LIMIT)
