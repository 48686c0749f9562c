"""Keys that people keep: words on a sheet of paper, or a file under a passphrase."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from vaultd.core.errors import ConfigError, KeyringError, NoMatchingKeyError
from vaultd.core.values import Veiled
from vaultd.crypto import recipients, recovery, signing
from vaultd.crypto.recovery import KeyType
from vaultd.crypto.secret import Secret
from vaultd.format.keys import VaultBody
from vaultd.vault.trust import Trust

WORDS, FILE = "words", "file"
_OPEN_FILE = re.compile(r'"kdf"\s*:\s*"none"')


class PersonalKey(Struct, frozen=True, kw_only=True):
    """A key for a person to keep.

    Attributes:
        type: A recovery key opens everything; an admin key says who may do what.
        label: Tells it from the others.
        form: ``words`` or ``file``.
        seed: The key.
    """

    type: KeyType
    label: str
    form: str
    seed: Secret

    @property
    def public(self) -> bytes:
        """The public half: what the vault knows of it."""
        if self.type is KeyType.ADMIN:
            return signing.Signer(self.seed.reveal()).public
        return recipients.public_key(self.seed.reveal())


class RecoverySheet(Veiled, frozen=True, kw_only=True):
    """What stands on the paper of one key.

    Attributes:
        type: What the key can do.
        label: Which key it is.
        words: The key itself.
        vault_id: Hex.
        vault_label: The vault's name for people.
        location: Where the vault lies.
        fingerprints: Of the admin keys: whoever restores from this sheet compares them.
        created_ns: When the vault was made.
    """

    type: KeyType
    label: str
    words: tuple[str, ...]
    vault_id: str
    vault_label: str
    location: str
    fingerprints: tuple[str, ...]
    created_ns: int


def draw_key(
    key_type: KeyType, label: str, form: str, random: Callable[[int], bytes]
) -> PersonalKey:
    """Make a new recovery or admin key.

    Raises:
        ConfigError: Its form is neither ``words`` nor ``file``, or its label cannot be shown.
    """
    if form not in {WORDS, FILE}:
        raise ConfigError(f"key {label!r}: form {form!r}, expected {WORDS} or {FILE}")
    if not label or not label.isprintable():
        raise ConfigError(f"label of a key is {label!r}, expected printable text")
    return PersonalKey(
        type=key_type, label=label, form=form, seed=Secret(random(recovery.SEED_BYTES))
    )


def sheet_of(key: PersonalKey, vault: VaultBody, location: str) -> RecoverySheet:
    """Return what to print for a key, whatever its form: paper outlives files."""
    return RecoverySheet(
        type=key.type,
        label=key.label,
        words=tuple(recovery.to_words(key.seed.reveal()).split()),
        vault_id=vault.vault_id.hex(),
        vault_label=vault.label,
        location=location,
        fingerprints=tuple(signing.fingerprint(admin) for admin in vault.admin_keys),
        created_ns=vault.created_ns,
    )


def key_file_of(
    key: PersonalKey, vault: VaultBody, passphrase: Secret, random: Callable[[int], bytes]
) -> str:
    """Return the text of a key's file.

    Args:
        key: The key.
        vault: What it belongs to; the file says so.
        passphrase: What it is sealed under: UTF-8, as typed.
        random: Source of random bytes.

    Raises:
        KeyringError: The passphrase is empty, or there is not enough memory to stretch it.
    """
    facts = recovery.KeyFacts(type=key.type, vault=vault.vault_id.hex(), label=key.label)
    return recovery.write_key_file(key.seed.reveal(), _as_typed(passphrase), facts, random=random)


def needs_passphrase(text: str) -> bool:
    """Tell whether a key as its owner gives it is a file under a passphrase."""
    return _is_file(text) and _OPEN_FILE.search(text) is None


def recovery_seed(text: str, passphrase: Secret | None, vault_id: bytes) -> bytes:
    """Return a recovery key as its owner gives it: 24 words, or the text of a key file.

    Args:
        text: Words or file.
        passphrase: Of the file, where it has one.
        vault_id: The vault that it should open.

    Raises:
        NoMatchingKeyError: The passphrase is wrong, words do not belong together, or the file
            belongs to another vault.
        KeyringError: This is no recovery key.
    """
    return _read(text, passphrase, vault_id, KeyType.RECOVERY)


def admin_signer(text: str, passphrase: Secret | None, trust: Trust) -> signing.Signer:
    """Return an admin key as its owner gives it: 24 words, or the text of a key file.

    Args:
        text: Words or file.
        passphrase: Of the file, where it has one.
        trust: The vault whose admin it should be.

    Raises:
        NoMatchingKeyError: As `recovery_seed`, or it is no admin key of this vault.
        KeyringError: This is no admin key.
    """
    signer = signing.Signer(_read(text, passphrase, trust.vault_id, KeyType.ADMIN))
    check_admin(signer, trust)
    return signer


def check_admin(signer: signing.Signer, trust: Trust) -> None:
    """Refuse a signing key that is not an admin's.

    Raises:
        NoMatchingKeyError: It is not.
    """
    if signer.public not in trust.vault.admin_keys:
        raise NoMatchingKeyError(
            f"key {signing.fingerprint(signer.public)} is not an admin key of vault "
            f"{trust.vault_id.hex()[:8]}, which has {' and '.join(trust.fingerprints)}",
            hint="Use the admin key: not a recovery key, nor the key of another vault.",
        )


def _read(text: str, passphrase: Secret | None, vault_id: bytes, wanted: KeyType) -> bytes:
    if not _is_file(text):
        return recovery.from_words(text)
    key = recovery.read_key_file(text, None if passphrase is None else _as_typed(passphrase))
    if key.facts.type is not wanted:
        raise KeyringError(
            f"key file {key.facts.label!r} holds a key of type {key.facts.type}, expected {wanted}"
        )
    if key.facts.vault != vault_id.hex():
        raise NoMatchingKeyError(
            f"key file {key.facts.label!r} belongs to vault {key.facts.vault[:8]}, "
            f"expected {vault_id.hex()[:8]}",
            hint="Use a key of this vault, or give the address of the other one.",
        )
    return key.seed.reveal()


def _is_file(text: str) -> bool:
    return text.lstrip().startswith("{")


def _as_typed(passphrase: Secret) -> bytes:
    try:
        return recovery.passphrase_bytes(passphrase.reveal().decode("utf-8"))
    except UnicodeDecodeError:
        # Without the cause: its text would show bytes of the passphrase.
        raise KeyringError("passphrase is not UTF-8 text") from None
