"""What lies outside the vault: requests and grants of enrolment, and what a machine remembers.

A request and its answer are texts that people carry: signed objects (FORMAT.md 3) in base64 between
two lines that say what they are. A machine's files are JSON, read by nobody but their owner.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, TypeVar

import msgspec

from vaultd.core.errors import MalformedObjectError
from vaultd.format.codec import Packed
from vaultd.format.fields import Count, Epoch, Hash, Id, Key, MaybeHash, Name, Text, Version
from vaultd.format.keys import PublicKey
from vaultd.format.signed import SignedKind

REQUEST = SignedKind("enrolment request", b"VLTREQU1", b"vaultd/1 request", 64 << 10)
GRANT = SignedKind("enrolment grant", b"VLTGRNT1", b"vaultd/1 grant", 16 << 20)

_LINE = 76

Role = Annotated[str, msgspec.Meta(pattern=r"\A(host|keeper)\Z")]
MaybeName = Annotated[str, msgspec.Meta(pattern=r"\A([a-z0-9][a-z0-9-]{0,39})?\Z")]


class RequestBody(Packed, frozen=True):
    """A machine asks to be enrolled; signed by the key that it wants to be known by.

    Attributes:
        vault_id: The vault.
        role: ``host`` or ``keeper``.
        name: Its name in object names or in the log.
        domain: The domain that a host wants to belong to; empty for a keeper.
        verify_key: Ed25519 public key, made on that machine.
        answer_key: MLKEM768-X25519 public key that the answer is sealed to; used once.
        created_ns: By that machine's clock.
    """

    vault_id: Id
    role: Role
    name: Name
    domain: MaybeName
    verify_key: Key
    answer_key: PublicKey
    created_ns: Count


class GrantBody(Packed, frozen=True):
    """An admin's answer to a request, signed by an admin key.

    Attributes:
        vault_id: The vault.
        request: SHA-256 of the request's object.
        role: As requested.
        name: As requested.
        policy_number: The policy that names the machine, or a later one.
        policy_sha256: SHA-256 of that policy's object.
        created_ns: By the admin's clock.
        sealed: Encoded `GrantSecrets`, sealed to the request's ``answer_key``.
    """

    vault_id: Id
    request: Hash
    role: Role
    name: Name
    policy_number: Epoch
    policy_sha256: Hash
    created_ns: Count
    sealed: bytes


class HeldKeys(Packed, frozen=True):
    """Keys of one domain and epoch, as a host holds them."""

    domain: Name
    epoch: Epoch
    data_public: PublicKey
    meta_public: PublicKey
    chunk_id_key: Key
    index_key: Key
    chunker_key: Key


class HeldIndexKey(Packed, frozen=True):
    """K_idx of one domain and epoch, as a keeper holds it."""

    domain: Name
    epoch: Epoch
    key: Key


class GrantSecrets(Packed, frozen=True):
    """What a grant brings: keys of a domain for a host, index keys of all for a keeper."""

    domains: tuple[HeldKeys, ...]
    index_keys: tuple[HeldIndexKey, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    v: Version = 1


class PinFile(_File, frozen=True):
    """``pin.json``: which vault this is, and the newest policy seen.

    Attributes:
        vault_id: The vault.
        location: Where it lay when it was last seen.
        admin_keys: Ed25519 public keys of its admins.
        policy_number: Newest policy seen.
        policy_sha256: SHA-256 of its object.
    """

    vault_id: Id
    location: Text
    admin_keys: tuple[Key, ...]
    policy_number: Epoch
    policy_sha256: Hash


class HostFile(_File, frozen=True):
    """``host.json``: this machine as a host; the newest epoch comes first."""

    host: Name
    keys: Annotated[tuple[HeldKeys, ...], msgspec.Meta(min_length=1)]


class KeeperFile(_File, frozen=True):
    """``keeper.json``: this machine as a keeper."""

    name: Name
    index_keys: tuple[HeldIndexKey, ...]


class PendingFile(_File, frozen=True):
    """``pending.json``: a request without an answer yet.

    Attributes:
        role: As in the request.
        name: As in the request.
        request: SHA-256 of the request's object.
        signing_seed: Private half of the request's ``verify_key``; empty when the machine has it.
        answer_seed: Private half of the request's ``answer_key``.
    """

    role: Role
    name: Name
    request: Hash
    signing_seed: MaybeHash
    answer_seed: Key


class KeyTestsFile(_File, frozen=True):
    """``key-tests.json``: when each recovery key last opened the vault, by its label."""

    tests: dict[Text, Count]


class ReadingBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When all of a target was last read, and how many objects were damaged then."""

    at_ns: Count
    errors: Count


class ReadingsFile(_File, frozen=True):
    """``readings.json``: the last reading of each target, by its location."""

    readings: dict[Text, ReadingBody]


F = TypeVar("F", PinFile, HostFile, KeeperFile, PendingFile, KeyTestsFile, ReadingsFile)


def encode_file(
    value: PinFile | HostFile | KeeperFile | PendingFile | KeyTestsFile | ReadingsFile,
) -> bytes:
    """Encode one of a machine's files."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def decode_file(kind: type[F], contents: bytes, *, what: str) -> F:
    """Decode one of a machine's files.

    Raises:
        MalformedObjectError: It is damaged, or of another kind or version.
    """
    try:
        return msgspec.json.decode(contents, type=kind)
    except (ValueError, RecursionError) as exc:  # of JSON, of UTF-8, or of base64
        raise MalformedObjectError(f"{what}: {exc}") from exc


class Receipt(_File, frozen=True):
    """One committed snapshot and what the log was then: a line of ``receipts.jsonl``.

    Attributes:
        vault: Id of the vault, hex.
        host: Who committed.
        seq: In which session.
        store: Name of the store.
        root_sha256: Hash of the root, hex: the snapshot's id.
        log_number: Newest log entry known.
        log_sha256: Its hash, hex; empty when the log is empty.
        at_ns: When, by the host's clock.
    """

    vault: str
    host: str
    seq: int
    store: str
    root_sha256: str
    log_number: int
    log_sha256: str
    at_ns: int


def encode_receipt(receipt: Receipt) -> bytes:
    """Encode a receipt as one line, without its end."""
    return msgspec.json.encode(receipt)


def decode_receipt(line: bytes) -> Receipt | None:
    """Decode one line; ``None`` when it is none, such as one that a crash cut short."""
    try:
        return msgspec.json.decode(line, type=Receipt)
    except msgspec.DecodeError:
        return None


def armor(kind: SignedKind, signed: bytes) -> str:
    """Return a signed object as text that survives mail and copying."""
    encoded = base64.b64encode(signed).decode("ascii")
    lines = (encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE))
    return "\n".join((_edge("BEGIN", kind), *lines, _edge("END", kind))) + "\n"


def unarmor(kind: SignedKind, text: str) -> bytes:
    """Return the signed object in a text; what stands around it does not matter.

    Raises:
        MalformedObjectError: The text holds none of that kind, or a damaged one.
    """
    if len(text) > 2 * kind.limit:
        raise MalformedObjectError(f"{kind.name}: {len(text)} characters are too many")
    inner = text.partition(_edge("BEGIN", kind))[2].partition(_edge("END", kind))
    if not inner[1]:
        raise MalformedObjectError(
            f"{kind.name}: not found between {_edge('BEGIN', kind)} and {_edge('END', kind)}",
            hint="Copy the whole text, its first and last line included.",
        )
    try:
        return base64.b64decode(re.sub(r"\s+", "", inner[0]), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise MalformedObjectError(f"{kind.name}: not base64: {exc}") from exc


def _edge(word: str, kind: SignedKind) -> str:
    return f"-----{word} VAULTD {kind.name.upper()}-----"
