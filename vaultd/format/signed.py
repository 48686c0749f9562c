"""Signed objects: a frame with a body and one or more Ed25519 signatures (FORMAT.md 3).

``frame(magic, body) | u8 count | count * (key id (16) | signature (64))``. What is signed is
``label || 0x00 || SHA-256(body)``, with a label of its own for each kind, so that no signature
can be carried from one kind to another. Signing and verifying need keys and are not done here.
"""

from __future__ import annotations

from msgspec import Struct

from vaultd.core.errors import MalformedObjectError
from vaultd.format.codec import frame, unframe

KEY_ID_BYTES = 16
SIGNATURE_BYTES = 64
_ENTRY_BYTES = KEY_ID_BYTES + SIGNATURE_BYTES
MAX_SIGNATURES = 8


class SignedKind(Struct, frozen=True):
    """One kind of signed object.

    Attributes:
        name: For messages.
        magic: First eight bytes.
        label: What a signature of this kind begins with.
        limit: Most bytes of the whole object.
    """

    name: str
    magic: bytes
    label: bytes
    limit: int


VAULT = SignedKind("vault description", b"VLTVALT1", b"vaultd/1 vault", 64 << 10)
POLICY = SignedKind("key policy", b"VLTPLCY1", b"vaultd/1 policy", 4 << 20)
BUNDLE = SignedKind("domain bundle", b"VLTDOMN1", b"vaultd/1 bundle", 64 << 10)
INTENT = SignedKind("intent", b"VLTSESS1", b"vaultd/1 intent", 64 << 10)
OUTCOME = SignedKind("outcome", b"VLTSNAP1", b"vaultd/1 outcome", 64 << 20)
LOG = SignedKind("log entry", b"VLTLOGE1", b"vaultd/1 log", 16 << 20)


class Signature(Struct, frozen=True, kw_only=True):
    """One signature and who is said to have made it.

    Attributes:
        key_id: `vaultd.crypto.signing.key_id` of the public key.
        value: The Ed25519 signature.
    """

    key_id: bytes
    value: bytes


def encode_signed(kind: SignedKind, body: bytes, signatures: tuple[Signature, ...]) -> bytes:
    """Join a body and its signatures into an object."""
    tail = b"".join(signature.key_id + signature.value for signature in signatures)
    return frame(kind.magic, body) + bytes([len(signatures)]) + tail


def decode_signed(
    kind: SignedKind, data: bytes, *, what: str
) -> tuple[bytes, tuple[Signature, ...]]:
    """Split a signed object into body and signatures, without believing either.

    Raises:
        MalformedObjectError: Too long, cut short, trailing bytes, or no signature.
        UnsupportedVersionError: Written by a newer vaultd.
    """
    if len(data) > kind.limit:
        raise MalformedObjectError(f"{what}: {len(data)} bytes, at most {kind.limit} allowed")
    body, tail = unframe(kind.magic, data, what=what, limit=kind.limit)
    count = tail[0] if len(tail) else 0
    if not 1 <= count <= MAX_SIGNATURES or len(tail) != 1 + count * _ENTRY_BYTES:
        raise MalformedObjectError(f"{what}: {len(tail)} bytes of signatures do not hold {count}")
    signatures = tuple(
        Signature(
            key_id=bytes(tail[at : at + KEY_ID_BYTES]),
            value=bytes(tail[at + KEY_ID_BYTES : at + _ENTRY_BYTES]),
        )
        for at in range(1, len(tail), _ENTRY_BYTES)
    )
    return bytes(body), signatures
