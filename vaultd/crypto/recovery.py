"""Keys in the hands of people: 24 words on paper, and small text files.

A key file binds what it is for (type, vault, label) to the seed inside, so that a file cannot pass
for another. Everything in it is taken for hostile until the tag says otherwise: size and cost are
limited before any work is done (FORMAT.md 4.4).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from vaultd.core.errors import (
    CorruptObjectError,
    KeyringError,
    NoMatchingKeyError,
    UnsupportedVersionError,
)
from vaultd.crypto.aead import open_once, seal_once
from vaultd.crypto.kdf import SALT_BYTES, check_cost, stretch
from vaultd.crypto.secret import Secret

SEED_BYTES = 32
"""Length of every seed that words or a key file hold."""

WORDS = 24
"""Words of a recovery key: 256 bits and 8 bits of checksum."""

MEM_KIB, PASSES = 256 << 10, 3
"""Cost of a new key file: 256 MiB, about 0.6 s."""

MAX_TEXT_BYTES = 4096
"""Longest key file or list of words that is looked at."""

_VERSION = 1
_LABEL = b"vaultd/1 key file\0"
_CHECK_BYTES = 8
_MAX_LABEL_CHARS = 100
_VAULT = re.compile(r"[0-9a-z-]{1,64}")
_COMMON: Final = ("vaultd_key", "type", "vault", "label", "kdf")
_FIELDS: Final = {
    "argon2id": (*_COMMON, "mem_kib", "passes", "salt", "sealed"),
    "none": (*_COMMON, "seed", "check"),
}

_Fields = dict[str, object]


class KeyType(StrEnum):
    """What a key can do."""

    RECOVERY = "recovery"
    ADMIN = "admin"
    HOST = "host"


class KeyFacts(Struct, frozen=True, kw_only=True):
    """What a key is for.

    Attributes:
        type: Recovery keys open, admin keys sign policies, host keys sign a host's objects.
        vault: Id of the vault: lower-case letters, digits and hyphens, at most 64.
        label: For people: printable, at most 100 characters.

    Raises:
        KeyringError: A field breaks its rule.
    """

    type: KeyType
    vault: str
    label: str

    def __post_init__(self) -> None:
        if _VAULT.fullmatch(self.vault) is None:
            raise KeyringError("key file names no vault")
        # A label is shown on terminals; it must not be able to move the cursor.
        if len(self.label) > _MAX_LABEL_CHARS or not self.label.isprintable():
            raise KeyringError(
                f"label of a key is not printable or longer than {_MAX_LABEL_CHARS} characters"
            )


class KeyFile(Struct, frozen=True, kw_only=True):
    """A key as read from its file.

    Attributes:
        facts: What it is for; authenticated when the file has a passphrase.
        seed: 32 bytes.
    """

    facts: KeyFacts
    seed: Secret


def to_words(seed: bytes) -> str:
    """Return a 32-byte seed as 24 English words, separated by spaces.

    Raises:
        KeyringError: The seed has another length.

    Source: BIP-39, entropy of 256 bits.
    """
    from mnemonic import Mnemonic  # noqa: PLC0415 - reads its word list; only people need it

    return Mnemonic("english").to_mnemonic(_checked(seed))


def from_words(text: str) -> bytes:
    """Return the seed that 24 words stand for.

    Case, numbering, punctuation, line breaks and extra spaces do not matter.

    Args:
        text: The words in order, at most `MAX_TEXT_BYTES`.

    Raises:
        KeyringError: A word is not in the list (the hint names the nearest), or there are not 24.
        NoMatchingKeyError: All words are in the list, but they do not belong together.
    """
    from mnemonic import Mnemonic  # noqa: PLC0415 - as in `to_words`

    _limit(text, "recovery words")
    words = re.sub(r"[^a-z]+", " ", unicodedata.normalize("NFKD", text).lower()).split()
    bip39 = Mnemonic("english")
    known = frozenset(bip39.wordlist)
    for position, word in enumerate(words, 1):
        if word not in known:
            raise _unknown_word(position, word, bip39.wordlist)
    if len(words) != WORDS:
        raise KeyringError(
            f"recovery key has {len(words)} words, expected {WORDS}",
            hint="Type all words, in the order in which they are numbered.",
        )
    try:
        return bytes(bip39.to_entropy(words))
    except ValueError as exc:
        raise NoMatchingKeyError(
            "the checksum of these recovery words is wrong",
            hint="Compare every word and the order of the words with the paper.",
        ) from exc


def passphrase_bytes(text: str) -> bytes:
    """Return a typed passphrase as bytes, the same from every keyboard and system.

    Args:
        text: As typed; not stripped.
    """
    return unicodedata.normalize("NFKC", text).encode("utf-8")


def write_key_file(
    seed: bytes,
    passphrase: bytes | None,
    facts: KeyFacts,
    *,
    random: Callable[[int], bytes],
    mem_kib: int = MEM_KIB,
    passes: int = PASSES,
) -> str:
    """Return the text of a key file.

    Args:
        seed: 32 bytes.
        passphrase: What it is sealed under, see `passphrase_bytes`; ``None`` leaves the seed
            readable, for a host key in a file that only its owner can read.
        facts: What the key is for.
        random: Source of random bytes, for the salt.
        mem_kib: Memory that opening it takes.
        passes: Passes over that memory.

    Raises:
        KeyringError: The seed has another length, the passphrase is empty, or a cost is out of its
            limits.
    """
    fields: _Fields = {
        "vaultd_key": _VERSION,
        "type": facts.type,
        "vault": facts.vault,
        "label": facts.label,
    }
    if passphrase is None:
        fields |= {"kdf": "none"}
        fields |= {"seed": _b64(_checked(seed)), "check": _b64(_check(fields, seed))}
    else:
        if not passphrase:
            raise KeyringError("passphrase is empty", hint="Choose a passphrase of several words.")
        salt = random(SALT_BYTES)
        fields |= {"kdf": "argon2id", "mem_kib": mem_kib, "passes": passes, "salt": _b64(salt)}
        key = stretch(passphrase, salt, mem_kib=mem_kib, passes=passes)
        fields |= {"sealed": _b64(seal_once(key, _checked(seed), _bound(fields)))}
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def read_key_file(text: str, passphrase: bytes | None) -> KeyFile:
    """Return the key that a file holds.

    Args:
        text: The file's text.
        passphrase: See `passphrase_bytes`; not looked at when the file needs none.

    Raises:
        KeyringError: This is no key file, it is damaged, or it needs a passphrase.
        NoMatchingKeyError: The passphrase is wrong (or the file was changed).
        UnsupportedVersionError: A newer vaultd wrote it.
    """
    fields = _parse(text)
    facts = KeyFacts(
        type=_type(fields),
        vault=_text(fields, "vault"),
        label=_text(fields, "label"),
    )
    seed = _open_plain(fields) if fields["kdf"] == "none" else _open_sealed(fields, passphrase)
    return KeyFile(facts=facts, seed=Secret(_checked(seed)))


def _open_plain(fields: _Fields) -> bytes:
    seed, check = _bytes(fields, "seed"), _bytes(fields, "check")
    if not hmac.compare_digest(_check(fields, seed), check):
        raise KeyringError("key file is damaged: its check does not fit its seed")
    return seed


def _open_sealed(fields: _Fields, passphrase: bytes | None) -> bytes:
    mem_kib, passes = _int(fields, "mem_kib"), _int(fields, "passes")
    salt, sealed = _bytes(fields, "salt"), _bytes(fields, "sealed")
    check_cost(mem_kib=mem_kib, passes=passes)
    if passphrase is None:
        raise KeyringError("key file needs a passphrase", hint="Give the passphrase of this key.")
    key = stretch(passphrase, salt, mem_kib=mem_kib, passes=passes)
    try:
        return open_once(key, sealed, _bound(fields))
    except CorruptObjectError as exc:
        raise NoMatchingKeyError(
            f"key file {fields['label']!r} does not open with this passphrase",
            hint="Type the passphrase again; the file may also have been changed.",
        ) from exc


def _parse(text: str) -> _Fields:
    _limit(text, "key file")
    try:
        fields = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise KeyringError("key file is not a JSON object") from exc
    if not isinstance(fields, dict) or "vaultd_key" not in fields:
        raise KeyringError("this is no key file", hint="Give the path of a key file of vaultd.")
    version = _int(fields, "vaultd_key")
    if version != _VERSION:
        raise UnsupportedVersionError(
            f"key file has version {version}, expected {_VERSION}",
            hint="Use the version of vaultd that wrote it, or a newer one.",
        )
    expected = _FIELDS.get(str(fields.get("kdf")))
    if expected is None or set(fields) != set(expected):
        raise KeyringError("key file does not have the fields that its kdf needs")
    return fields


def _unique(pairs: list[tuple[str, object]]) -> _Fields:
    # Of two fields of one name, a reader and a reviewer may see different ones.
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field occurs twice")
    return fields


def _bound(fields: _Fields) -> bytes:
    # All but the last part, in a form that spaces and order in the file do not change.
    public = {name: fields[name] for name in fields if name not in {"sealed", "seed", "check"}}
    return _LABEL + json.dumps(public, sort_keys=True, separators=(",", ":")).encode("ascii")


def _check(fields: _Fields, seed: bytes) -> bytes:
    return hashlib.sha256(_bound(fields) + b"\0" + seed).digest()[:_CHECK_BYTES]


def _type(fields: _Fields) -> KeyType:
    try:
        return KeyType(_text(fields, "type"))
    except ValueError as exc:
        raise KeyringError(f"key type is unknown, expected {', '.join(KeyType)}") from exc


def _text(fields: _Fields, name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise KeyringError(f"key file: {name} is not text")
    return value


def _int(fields: _Fields, name: str) -> int:
    value = fields[name]
    if type(value) is not int:
        raise KeyringError(f"key file: {name} is not a whole number")
    return value


def _bytes(fields: _Fields, name: str) -> bytes:
    try:
        return base64.b64decode(_text(fields, name), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise KeyringError(f"key file: {name} is not base64") from exc


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _limit(text: str, what: str) -> None:
    if len(text) > MAX_TEXT_BYTES:
        raise KeyringError(f"{what}: {len(text)} characters, expected at most {MAX_TEXT_BYTES}")


def _checked(seed: bytes) -> bytes:
    if len(seed) != SEED_BYTES:
        raise KeyringError(f"key seed is {len(seed)} bytes, expected {SEED_BYTES}")
    return seed


def _unknown_word(position: int, word: str, wordlist: list[str]) -> KeyringError:
    import difflib  # noqa: PLC0415 - only for mistakes

    near = difflib.get_close_matches(word, wordlist, n=3, cutoff=0.6)
    hint = f"Try {' or '.join(near)}." if near else "Compare it with the paper."
    return KeyringError(f"word {position}, {word!r}, is not in the list of words", hint=hint)
