"""Sealing to somebody who is not here: HPKE with ML-KEM-768 and X25519 together.

Whoever holds the 1216 public bytes can seal; only the 32-byte seed opens. Nobody is authenticated
by this: signatures do that (`vaultd.crypto.signing`).

Source: RFC 9180 (HPKE, base mode) with KEM 0x647A (X-Wing, draft-connolly-cfrg-xwing-kem), KDF
HKDF-SHA256 and AES-256-GCM.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from vaultd.core.errors import CorruptObjectError, KeyringError, NoMatchingKeyError

SEED_BYTES = 32
"""Length of the private half."""

PUBLIC_BYTES = 1184 + 32
"""Length of the public half: ML-KEM-768, then X25519."""

OVERHEAD_BYTES = 1088 + 32 + 16
"""What sealing adds to the length of a plaintext: two encapsulations and a tag."""

KEY_ID_BYTES = 16
"""Length of the id of a public key."""

_MLKEM_SEED_BYTES = 64
_MLKEM_PUBLIC_BYTES = 1184
_KEY_ID_LABEL = b"vaultd/1 key id\0"


class Recipient:
    """A public key, parsed once and used many times; may be shared by threads.

    Args:
        public: 1216 bytes, as `public_key` returns them.

    Raises:
        KeyringError: These bytes are no public key, or this OpenSSL lacks ML-KEM.
    """

    __slots__ = ("_key", "key_id", "public")

    def __init__(self, public: bytes) -> None:
        if len(public) != PUBLIC_BYTES:
            raise KeyringError(f"public key is {len(public)} bytes, expected {PUBLIC_BYTES}")
        try:
            self._key = hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES]),
                X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:]),
            )
        except UnsupportedAlgorithm as exc:
            raise _lacking() from exc
        except ValueError as exc:
            raise KeyringError("public key is not a valid ML-KEM-768 and X25519 key") from exc
        self.public = public
        self.key_id = key_id(public)

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """Return ``plaintext`` sealed to this key, `OVERHEAD_BYTES` longer.

        Args:
            plaintext: What to seal: a key or a small object, not bulk data.
            info: What it is bound to; needed again to open it.

        Raises:
            KeyringError: The X25519 half is a point that makes every secret the same.
        """
        try:
            return _suite().encrypt(plaintext, self._key, info)
        except ValueError as exc:
            raise KeyringError("public key is not a valid ML-KEM-768 and X25519 key") from exc


class Identity:
    """A seed, expanded once and used many times; may be shared by threads.

    Args:
        seed: 32 bytes.

    Raises:
        KeyringError: The seed has another length, or this OpenSSL lacks ML-KEM.
    """

    __slots__ = ("_key", "key_id", "public")

    def __init__(self, seed: bytes) -> None:
        mlkem, x25519 = _expand(seed)
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Return what was sealed to this key.

        A wrong key, other ``info`` and changed bytes look the same, on purpose.

        Args:
            sealed: As stored; its length is checked by the caller where the format fixes it.
            info: As it was when sealed.

        Raises:
            CorruptObjectError: Too short to hold anything sealed.
            NoMatchingKeyError: It does not open with this key.
        """
        if len(sealed) < OVERHEAD_BYTES:
            raise CorruptObjectError(
                f"sealed bytes are {len(sealed)}, expected at least {OVERHEAD_BYTES}"
            )
        try:
            return _suite().decrypt(sealed, self._key, info)
        except InvalidTag as exc:
            raise NoMatchingKeyError(
                f"key {self.key_id.hex()[:8]} does not open these sealed bytes",
                hint="Use the key that this vault was made with.",
            ) from exc


def public_key(seed: bytes) -> bytes:
    """Return the 1216 public bytes of a 32-byte seed.

    Raises:
        KeyringError: The seed has another length, or this OpenSSL lacks ML-KEM.
    """
    return Identity(seed).public


def seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Return ``plaintext`` sealed to a public key; see `Recipient.seal`."""
    return Recipient(public).seal(plaintext, info)


def open(seed: bytes, sealed: bytes, info: bytes) -> bytes:  # noqa: A001 - the verb of this layer
    """Return what was sealed to the public half of ``seed``; see `Identity.open`."""
    return Identity(seed).open(sealed, info)


def key_id(public: bytes) -> bytes:
    """Return the 16 bytes that name a public key in headers: a truncated, labelled SHA-256."""
    return hashlib.sha256(_KEY_ID_LABEL + public).digest()[:KEY_ID_BYTES]


def _expand(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    # X-Wing keeps 32 bytes and expands them; so keys fit on paper and both halves stay together.
    if len(seed) != SEED_BYTES:
        raise KeyringError(f"key seed is {len(seed)} bytes, expected {SEED_BYTES}")
    expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + 32)
    try:
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
    except UnsupportedAlgorithm as exc:
        raise _lacking() from exc
    return mlkem, X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])


def _suite() -> hpke.Suite:
    return hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def _lacking() -> KeyringError:
    return KeyringError(
        "this build of cryptography has no ML-KEM-768, which every vault key needs",
        hint="Install the cryptography wheel (50 or newer) instead of the distribution's package.",
    )
