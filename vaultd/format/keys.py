"""Who may do what, and the keys of a domain, sealed (FORMAT.md 4)."""

from __future__ import annotations

import base64
import binascii

import msgspec

from vaultd.core.errors import MalformedObjectError, UnsupportedVersionError
from vaultd.format.codec import Packed

PUBLIC_KEY_BYTES = 1216
"""An MLKEM768-X25519 public key: 1184 bytes of ML-KEM, 32 of X25519."""

CHUNKER_GEAR = "gear-k/1"
VAULT_FORMAT = 1
_MAX_VAULT_JSON = 128 << 10


class VaultBody(Packed):
    """What a vault is: written once, at `init`.

    Attributes:
        vault_id: 16 random bytes.
        created_ns: By the clock of the machine that made it.
        chunker: How big files are cut: `CHUNKER_GEAR`.
        pack_bytes: Length at which a pack is closed.
        admin_keys: Ed25519 public keys that sign policies and bundles.
        label: A name for people.
    """

    vault_id: bytes
    created_ns: int
    chunker: str
    pack_bytes: int
    admin_keys: tuple[bytes, ...]
    label: str


class HostGrant(Packed):
    """A host that may write.

    Attributes:
        host: Its name in object names.
        verify_key: Ed25519 public key.
        domain: The dedup and key domain that it belongs to.
        from_seq: First session that its key may sign.
        until_seq: Last session that its key may sign; 0 means no end.
    """

    host: str
    verify_key: bytes
    domain: str
    from_seq: int
    until_seq: int


class KeeperGrant(Packed):
    """A keeper that may write the log and revoke sessions."""

    name: str
    verify_key: bytes


class RecipientGrant(Packed):
    """A recovery key to which domain keys are sealed.

    Attributes:
        label: For people: which paper or file it is.
        form: ``words`` or ``file``.
        public: MLKEM768-X25519 public key.
        added_ns: When it was added.
        revoked: No bundle may be sealed to it any more.
    """

    label: str
    form: str
    public: bytes
    added_ns: int
    revoked: bool


class PolicyBody(Packed):
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

    vault_id: bytes
    number: int
    previous: bytes
    created_ns: int
    hosts: tuple[HostGrant, ...]
    keepers: tuple[KeeperGrant, ...]
    recipients: tuple[RecipientGrant, ...]
    min_age_days: int


class SealedTo(Packed):
    """Domain secrets sealed to one recovery key, by its key id."""

    key_id: bytes
    sealed: bytes


class BundleBody(Packed):
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

    vault_id: bytes
    domain: str
    epoch: int
    created_ns: int
    data_public: bytes
    meta_public: bytes
    commitment: bytes
    sealed: tuple[SealedTo, ...]


class DomainSecrets(Packed):
    """What only a recovery key opens.

    Attributes:
        data_seed: Seed of the private half of ``data_public``.
        meta_seed: Seed of the private half of ``meta_public``.
        chunk_id_key: K_id: key of chunk ids and labels; stays the same over epochs.
        index_key: K_idx: key of index parts and references.
        chunker_key: K_cdc: secret of the chunker; stays the same over epochs.
    """

    data_seed: bytes
    meta_seed: bytes
    chunk_id_key: bytes
    index_key: bytes
    chunker_key: bytes


class _VaultJson(msgspec.Struct):
    vaultd_format: int
    about: str
    signed: str


def encode_vault_json(signed: bytes, *, vault_id: bytes) -> bytes:
    """Wrap the signed vault description as JSON, so that a person who meets it knows what it is."""
    text = _VaultJson(
        vaultd_format=VAULT_FORMAT,
        about=f"A vaultd vault, id {vault_id.hex()}. Encrypted backups: do not change or delete anything here.",
        signed=base64.b64encode(signed).decode(),
    )
    return msgspec.json.format(msgspec.json.encode(text), indent=2) + b"\n"


def decode_vault_json(data: bytes) -> bytes:
    """Return the signed vault description in ``vault.json``.

    Raises:
        MalformedObjectError: Not a vault's description.
        UnsupportedVersionError: Written by a newer vaultd.
    """
    if len(data) > _MAX_VAULT_JSON:
        raise MalformedObjectError(f"vault.json: {len(data)} bytes, at most {_MAX_VAULT_JSON} allowed")
    try:
        text = msgspec.json.decode(data, type=_VaultJson)
        if text.vaultd_format != VAULT_FORMAT:
            raise UnsupportedVersionError(
                f"vault.json: format {text.vaultd_format}, this vaultd knows {VAULT_FORMAT}",
                hint="Upgrade vaultd to read this vault.",
            )
        return base64.b64decode(text.signed, validate=True)
    except (msgspec.DecodeError, binascii.Error, RecursionError) as error:
        raise MalformedObjectError(f"vault.json: {error}") from error
