"""Who may do what, and the keys of a domain, sealed (FORMAT.md 4)."""

from __future__ import annotations

import base64
from typing import Annotated

import msgspec

from vaultd.core.errors import MalformedObjectError, UnsupportedVersionError
from vaultd.format.codec import UPGRADE, Packed
from vaultd.format.fields import (
    U32,
    Count,
    Epoch,
    Hash,
    Id,
    Key,
    MaybeHash,
    MaybeNumber,
    Name,
    Number,
    Text,
)

PUBLIC_KEY_BYTES = 1216
"""An MLKEM768-X25519 public key: 1184 bytes of ML-KEM, 32 of X25519."""

PublicKey = Annotated[bytes, msgspec.Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]

CHUNKER_GEAR = "gear-k/1"
VAULT_FORMAT = 1
MAX_VAULT_JSON_BYTES = 128 << 10


class VaultBody(Packed, frozen=True):
    """What a vault is: written once, at `init`.

    Attributes:
        vault_id: 16 random bytes.
        created_ns: By the clock of the machine that made it.
        chunker: How big files are cut: `CHUNKER_GEAR`.
        pack_bytes: Length at which a pack is closed.
        admin_keys: Ed25519 public keys that sign policies and bundles.
        label: A name for people.
    """

    vault_id: Id
    created_ns: Count
    chunker: Text
    pack_bytes: U32
    admin_keys: tuple[Key, ...]
    label: Text


class HostGrant(Packed, frozen=True):
    """A host that may write.

    Attributes:
        host: Its name in object names.
        verify_key: Ed25519 public key.
        domain: The dedup and key domain that it belongs to.
        from_seq: First session that its key may sign.
        until_seq: Last session that its key may sign; 0 means no end.
    """

    host: Name
    verify_key: Key
    domain: Name
    from_seq: Number
    until_seq: MaybeNumber


class KeeperGrant(Packed, frozen=True):
    """A keeper that may write the log and revoke sessions."""

    name: Name
    verify_key: Key


class RecipientGrant(Packed, frozen=True):
    """A recovery key to which domain keys are sealed.

    Attributes:
        label: For people: which paper or file it is.
        form: ``words`` or ``file``.
        public: MLKEM768-X25519 public key.
        added_ns: When it was added.
        revoked: No bundle may be sealed to it any more.
    """

    label: Text
    form: Text
    public: PublicKey
    added_ns: Count
    revoked: bool


class PolicyBody(Packed, frozen=True):
    """One version of who may do what; each carries the hash of the one before.

    Attributes:
        vault_id: The vault.
        number: 1, 2, …; also the object's name.
        previous: SHA-256 of the whole previous policy object; empty for the first.
        created_ns: By the admin's clock.
        hosts: Hosts that may write, and may have written.
        keepers: Keepers.
        recipients: Recovery keys.
        min_age_days: No snapshot younger than this is forgotten by policy.
    """

    vault_id: Id
    number: Epoch
    previous: MaybeHash
    created_ns: Count
    hosts: tuple[HostGrant, ...]
    keepers: tuple[KeeperGrant, ...]
    recipients: tuple[RecipientGrant, ...]
    min_age_days: U32


class SealedTo(Packed, frozen=True):
    """Domain secrets sealed to one recovery key, by its key id."""

    key_id: Id
    sealed: bytes


class BundleBody(Packed, frozen=True):
    """The keys of one domain and epoch: public halves in clear, secrets sealed.

    Attributes:
        vault_id: The vault.
        domain: The domain.
        epoch: 1, 2, …; also the object's name.
        created_ns: By the admin's clock.
        data_public: Packs of contents are sealed to this.
        meta_public: Packs of trees and snapshot metadata are sealed to this.
        commitment: SHA-256 of ``"vaultd/1 bundle commit" || encoded DomainSecrets``.
        sealed: The encoded `DomainSecrets`, once for each recovery key.
    """

    vault_id: Id
    domain: Name
    epoch: Epoch
    created_ns: Count
    data_public: PublicKey
    meta_public: PublicKey
    commitment: Hash
    sealed: tuple[SealedTo, ...]


class DomainSecrets(Packed, frozen=True):
    """What only a recovery key opens.

    Attributes:
        data_seed: Seed of the private half of ``data_public``.
        meta_seed: Seed of the private half of ``meta_public``.
        chunk_id_key: K_id: key of chunk ids and labels; stays the same over epochs.
        index_key: K_idx: key of index parts and references.
        chunker_key: K_cdc: secret of the chunker; stays the same over epochs.
    """

    data_seed: Key
    meta_seed: Key
    chunk_id_key: Key
    index_key: Key
    chunker_key: Key


class _VaultJson(msgspec.Struct):
    vaultd_format: int
    about: str = ""
    signed: str = ""


def encode_vault_json(signed: bytes, *, vault_id: bytes) -> bytes:
    """Wrap the signed vault description as JSON, so that a person who meets it knows what it is."""
    text = _VaultJson(
        vaultd_format=VAULT_FORMAT,
        about=f"A vaultd vault, id {vault_id.hex()}."
        " Encrypted backups: do not change or delete anything here.",
        signed=base64.b64encode(signed).decode(),
    )
    return msgspec.json.format(msgspec.json.encode(text), indent=2) + b"\n"


def decode_vault_json(data: bytes) -> bytes:
    """Return the signed vault description in ``vault.json``.

    Raises:
        MalformedObjectError: Not a vault's description.
        UnsupportedVersionError: Written by a newer vaultd.
    """
    if len(data) > MAX_VAULT_JSON_BYTES:
        raise MalformedObjectError(
            f"vault.json: {len(data)} bytes, at most {MAX_VAULT_JSON_BYTES} allowed"
        )
    try:
        text = msgspec.json.decode(data, type=_VaultJson)
        if text.vaultd_format != VAULT_FORMAT:
            raise UnsupportedVersionError(
                f"vault.json: format {text.vaultd_format}, expected {VAULT_FORMAT}", hint=UPGRADE
            )
        return base64.b64decode(text.signed, validate=True)
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, or of base64
        raise MalformedObjectError(f"vault.json: {error}") from error
