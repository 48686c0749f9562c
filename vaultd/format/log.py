"""Entries of the keepers' log (FORMAT.md 10).

What a keeper says about packs, it says of one host at a time: a snapshot needs packs of its own
host only, so that a host need not care for what is said of others.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Annotated

from msgspec import Meta

from vaultd.core.errors import MalformedObjectError
from vaultd.format.codec import Packed
from vaultd.format.fields import (
    AvoidReason,
    Count,
    Epoch,
    Hash,
    Id,
    MaybeHash,
    Name,
    Number,
    Text,
)
from vaultd.format.session import PartRef

MAX_LISTED = 1 << 18
MAX_HEADS, MAX_STANDING, MAX_DEAD = 1 << 16, 1 << 17, 1 << 20
_SHA256_BYTES = 32


class NameColumns(Packed, frozen=True):
    """Packs, index parts or roots of one host, ascending by session and hash, one column each.

    Attributes:
        seqs: Sessions in their names: u32 little-endian each.
        sha256s: Of the whole objects: 32 bytes each.
    """

    seqs: Annotated[bytes, Meta(max_length=4 * MAX_LISTED)]
    sha256s: Annotated[bytes, Meta(max_length=_SHA256_BYTES * MAX_LISTED)]


class ForgetBody(Packed, frozen=True, tag="forget"):
    """A snapshot leaves the live set."""

    host: Name
    seq: Number
    root_sha256: Hash
    reason: Text


class RecallBody(Packed, frozen=True, tag="recall"):
    """A forgotten snapshot comes back: nothing that it needs has been deleted."""

    host: Name
    seq: Number
    root_sha256: Hash
    reason: Text


class PinBody(Packed, frozen=True, tag="pin"):
    """No rule may forget a snapshot (``pinned``), or rules may again."""

    host: Name
    seq: Number
    root_sha256: Hash
    pinned: bool
    reason: Text


class TagBody(Packed, frozen=True, tag="tag"):
    """Tags of a snapshot change; the names are sealed under the index key.

    Attributes:
        host: The snapshot's host.
        seq: Its session.
        domain: Whose index key seals the names.
        epoch: Of that key.
        sealed: Encoded ``(add, remove)``, two arrays of text.
    """

    host: Name
    seq: Number
    domain: Name
    epoch: Epoch
    sealed: bytes


class CondemnBody(Packed, frozen=True, tag="condemn"):
    """What no live snapshot needs: nothing new may rely on it."""

    host: Name
    packs: NameColumns
    parts: NameColumns
    roots: NameColumns


class SweepBody(Packed, frozen=True, tag="sweep"):
    """What of a condemnation is deleted from now on; everything else of it is as before.

    Attributes:
        of: Number of the condemnation; only the first sweep of one counts.
        packs: To be deleted.
        parts: To be deleted.
        roots: To be deleted.
    """

    of: Number
    packs: NameColumns
    parts: NameColumns
    roots: NameColumns


class AvoidBody(Packed, frozen=True, tag="avoid"):
    """Packs that new snapshots should not rely on, or may again (``healed``)."""

    host: Name
    why: AvoidReason
    packs: NameColumns


class RevokeBody(Packed, frozen=True, tag="revoke"):
    """A session was closed by a keeper because its host did not go on."""

    host: Name
    seq: Number


class Head(Packed, frozen=True):
    """The newest snapshot of one store, and how many there are."""

    host: Name
    store_id: Id
    seq: Number
    root_sha256: Hash
    count: Count


class ReindexBody(Packed, frozen=True, tag="reindex"):
    """An index part is lost; another one says where the chunks of its packs lie.

    Attributes:
        host: Whose.
        lost: SHA-256 of the lost part, which is of the same session.
        part: The one in its place.
    """

    host: Name
    lost: Hash
    part: PartRef


class HeadsBody(Packed, frozen=True, tag="heads"):
    """What was live when a keeper looked: whoever hides it later contradicts this."""

    heads: Annotated[tuple[Head, ...], Meta(max_length=MAX_HEADS)]


class Standing(Packed, frozen=True):
    """An earlier entry that still counts: its number, and the SHA-256 of its object."""

    number: Number
    sha256: Hash


class Dead(Packed, frozen=True):
    """Forgotten snapshots of one host: their sessions, ascending, u32 little-endian each."""

    host: Name
    seqs: Annotated[bytes, Meta(max_length=4 * MAX_DEAD)]


class CheckpointBody(Packed, frozen=True, tag="checkpoint"):
    """All that still counts of the entries before this one.

    Attributes:
        standing: Entries to be read, ascending.
        dead: What was forgotten before.
    """

    standing: Annotated[tuple[Standing, ...], Meta(max_length=MAX_STANDING)]
    dead: tuple[Dead, ...]


Event = (
    ForgetBody
    | RecallBody
    | PinBody
    | TagBody
    | CondemnBody
    | SweepBody
    | AvoidBody
    | RevokeBody
    | ReindexBody
    | HeadsBody
    | CheckpointBody
)


class LogBody(Packed, frozen=True):
    """One entry of the keeper log (``log/<n>``).

    Attributes:
        vault_id: The vault.
        number: 1, 2, …, dense; also the object's name.
        previous: SHA-256 of the whole previous entry's object; empty for the first.
        keeper: Who signed.
        at_ns: By the keeper's clock.
        event: What happened.
    """

    vault_id: Id
    number: Number
    previous: MaybeHash
    keeper: Name
    at_ns: Count
    event: Event


class TagNames(Packed, frozen=True):
    """Tags added and removed by one `TagBody`."""

    add: tuple[Text, ...]
    remove: tuple[Text, ...]


Listed = tuple[int, bytes]
"""Session and SHA-256 in the name of a pack or an index part."""


def dead_sessions(host: str, seqs: Iterable[int]) -> Dead:
    """Return sessions of a host as a column."""
    return Dead(host, array("I", sorted(seqs)).tobytes())


def seqs_of(dead: Dead, *, what: str) -> Iterator[int]:
    """Yield the sessions in a column.

    Raises:
        MalformedObjectError: It ends in the middle of a number.
    """
    if len(dead.seqs) % 4:
        raise MalformedObjectError(f"{what}: a column of sessions ends in the middle of one")
    seqs = array("I")
    seqs.frombytes(dead.seqs)
    yield from seqs


def name_columns(names: Iterable[Listed]) -> NameColumns:
    """Return names as columns; they must come in order."""
    seqs, sha256s = array("I"), bytearray()
    for seq, sha256 in names:
        seqs.append(seq)
        sha256s += sha256
    return NameColumns(seqs.tobytes(), bytes(sha256s))


def names_in(columns: NameColumns, *, what: str) -> Iterator[Listed]:
    """Yield the names that columns hold.

    Raises:
        MalformedObjectError: Columns of different lengths.
    """
    seqs = array("I")
    count, rest = divmod(len(columns.sha256s), _SHA256_BYTES)
    if rest or len(columns.seqs) != 4 * count:
        raise MalformedObjectError(f"{what}: columns of names differ in length")
    seqs.frombytes(columns.seqs)
    for at, seq in enumerate(seqs):
        yield seq, columns.sha256s[_SHA256_BYTES * at : _SHA256_BYTES * (at + 1)]
