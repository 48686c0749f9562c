"""Intents, outcomes and log entries: the signed objects of the protocol (FORMAT.md 5, 8, 9)."""

from __future__ import annotations

from typing import TypeVar

from vaultd.core.errors import MalformedObjectError
from vaultd.format.codec import Packed, decode, encode

SECTION_LIMIT = 64 << 20



class IntentBody(Packed):
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

    vault_id: bytes
    host: str
    seq: int
    store_id: bytes
    started_ns: int
    log_seen: int
    adopts: tuple[int, ...]
    software: str


class Previous(Packed):
    """The committed snapshot before this one, of the same store and host."""

    seq: int
    sha256: bytes


class RootBody(Packed, tag="snapshot"):
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

    vault_id: bytes
    host: str
    seq: int
    store_id: bytes
    kind: str
    chain: int
    base: int
    previous: Previous | None
    started_ns: int
    ended_ns: int
    log_seen: int
    log_sha256: bytes
    epoch: int
    chunker: str
    retain_until_ns: int
    software: str
    refs: bytes
    label: bytes
    meta: bytes
    bundle: bytes


class SupersededBody(Packed, tag="superseded"):
    """A dead session, closed by a later session of the same host."""

    vault_id: bytes
    host: str
    seq: int
    by_seq: int


class RevokedBody(Packed, tag="revoked"):
    """A session that a keeper closed because its host did not go on."""

    vault_id: bytes
    host: str
    seq: int
    keeper: str
    at_ns: int


OutcomeBody = RootBody | SupersededBody | RevokedBody


class PackRef(Packed):
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


class PartRef(Packed):
    """One index part that a snapshot needs: session, SHA-256 (both in the name), bytes."""

    seq: int
    sha256: bytes
    size: int


class CountsBody(Packed):
    """Numbers of `vaultd.core.snapshot.Counts`, in its order."""

    files: int
    directories: int
    others: int
    data: int
    files_new: int
    files_changed: int
    files_read: int
    data_added: int
    stored_added: int
    problems: int


class RefsSection(Packed):
    """What a keeper may know: what the snapshot needs, and what retention asks about.

    Attributes:
        v: 1.
        store: Name of the store.
        tags: As given when the snapshot was made.
        counts: Its numbers.
        packs: Every pack that restoring needs.
        parts: Every index part that describes these packs.
    """

    v: int
    store: str
    tags: tuple[str, ...]
    counts: CountsBody
    packs: tuple[PackRef, ...]
    parts: tuple[PartRef, ...]


class LabelSection(Packed):
    """What hosts of the domain may know beside it: machine, captured paths, user."""

    v: int
    hostname: str
    roots: tuple[bytes, ...]
    username: str


class TreeChunk(Packed):
    """One chunk of the tree: its id, and the directory of its first block."""

    chunk_id: bytes
    first_path: bytes


class ProblemBody(Packed):
    """One entry that is missing or flagged."""

    kind: str
    path: bytes
    reason: str


class MetaSection(Packed):
    """What only readers may know.

    Attributes:
        v: 1.
        tree: The tree's chunks in order.
        users: User id to name.
        groups: Group id to name.
        options: Fingerprint of the capture options.
        problems: Entries missing or flagged, the first 10,000.
    """

    v: int
    tree: tuple[TreeChunk, ...]
    users: dict[int, str]
    groups: dict[int, str]
    options: bytes
    problems: tuple[ProblemBody, ...]


class ForgetBody(Packed, tag="forget"):
    """A snapshot leaves the live set."""

    host: str
    seq: int
    root_sha256: bytes
    reason: str


class TagBody(Packed, tag="tag"):
    """Tags of a snapshot change; the names are sealed under the index key.

    Attributes:
        host: The snapshot's host.
        seq: Its session.
        domain: Whose index key seals the names.
        epoch: Of that key.
        sealed: Encoded ``(add, remove)``, two arrays of text.
    """

    host: str
    seq: int
    domain: str
    epoch: int
    sealed: bytes


class LogBody(Packed):
    """One entry of the keeper log (``log/<n>``).

    Attributes:
        vault_id: The vault.
        number: 1, 2, …, dense; also the object's name.
        previous: SHA-256 of the whole previous entry's object; empty for the first.
        keeper: Who signed.
        at_ns: By the keeper's clock.
        event: What happened.
    """

    vault_id: bytes
    number: int
    previous: bytes
    keeper: str
    at_ns: int
    event: ForgetBody | TagBody


class TagNames(Packed):
    """Tags added and removed by one `TagBody`."""

    add: tuple[str, ...]
    remove: tuple[str, ...]


S = TypeVar("S", RefsSection, LabelSection, MetaSection)


def encode_section(section: RefsSection | LabelSection | MetaSection) -> bytes:
    """Encode a section of a root, before it is compressed and sealed."""
    return encode(section)


def decode_section(kind: type[S], data: bytes, *, what: str) -> S:
    """Decode an opened section of a root.

    Raises:
        MalformedObjectError: Not of that shape, or of a version not known.
    """
    section = decode(kind, data, what=what, limit=SECTION_LIMIT)
    if section.v != 1:
        raise MalformedObjectError(f"{what}: section version {section.v}, expected 1")
    return section
