"""Ed25519 signatures over ``label || 0x00 || SHA-256(message)``.

Each kind of object has a label of its own (FORMAT.md 3), so that a signature made for one cannot be
shown for another.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from vaultd.core.errors import CorruptObjectError, KeyringError

SEED_BYTES = 32
"""Length of the private half."""

PUBLIC_BYTES = 32
"""Length of the public half."""

SIGNATURE_BYTES = 64
"""Length of a signature."""

KEY_ID_BYTES = 16
"""Length of the id of a verify key."""

_KEY_ID_LABEL = b"vaultd/1 verify key id\0"


class Signer:
    """A signing key.

    Args:
        seed: 32 random bytes.

    Raises:
        KeyringError: The seed has another length.
    """

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise KeyringError(f"signing seed is {len(seed)} bytes, expected {SEED_BYTES}")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, label: bytes, message: bytes) -> bytes:
        """Return the 64-byte signature of ``message`` as an object of the kind ``label``."""
        return self._key.sign(_digest(label, message))


def verify(public: bytes, label: bytes, message: bytes, signature: bytes) -> None:
    """Return when a signature is right.

    Args:
        public: 32 bytes, of a key that was trusted before this call.
        label: The kind of object that the reader expects.
        message: The signed bytes.
        signature: 64 bytes.

    Raises:
        CorruptObjectError: Key, label, message or signature do not belong together.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(signature, _digest(label, message))
    except (InvalidSignature, ValueError) as exc:
        what, who = label.decode("ascii", "replace"), key_id(public).hex()[:8]
        raise CorruptObjectError(f"signature of {what!r} by key {who} is wrong") from exc


def key_id(public: bytes) -> bytes:
    """Return the 16 bytes that name a verify key in signed objects."""
    return hashlib.sha256(_KEY_ID_LABEL + public).digest()[:KEY_ID_BYTES]


def fingerprint(public: bytes) -> str:
    """Return 100 bits of `key_id` for people to compare, as ``k3tq-wd7n-4xha-2bqe-7m5c``."""
    text = base64.b32encode(key_id(public)).decode("ascii").lower()[:20]
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _digest(label: bytes, message: bytes) -> bytes:
    if b"\0" in label:
        raise KeyringError("signature label holds a NUL byte, which ends it")
    return label + b"\0" + hashlib.sha256(message).digest()
