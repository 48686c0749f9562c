from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from tests.unit.crypto.vectors import Vector, load
from vaultd.core.errors import CorruptObjectError, KeyringError, VaultdError
from vaultd.crypto.signing import SIGNATURE_BYTES, Signer, fingerprint, key_id, verify

SEED = bytes(range(32))
LABEL = b"vaultd/1 test"

# RFC 8032, section 7.1: seed, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]


def _reference(seed: bytes, message: bytes) -> bytes:
    """Return the signature that a second implementation makes; Ed25519 has only one."""
    _, secret = bindings.crypto_sign_seed_keypair(seed)
    return bindings.crypto_sign(message, secret)[:SIGNATURE_BYTES]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_keys_and_reference_give_the_answers_of_rfc_8032(
    seed: str, public: str, message: str, signature: str
) -> None:
    # Nothing here signs a bare message; the reference does, and ours is held against it below.
    assert bytes.fromhex(public) == Signer(bytes.fromhex(seed)).public
    assert bytes.fromhex(signature) == _reference(bytes.fromhex(seed), bytes.fromhex(message))


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary())
def test_a_signature_is_ed25519_over_label_nul_and_hash(seed: bytes, message: bytes) -> None:
    signed = LABEL + b"\0" + hashlib.sha256(message).digest()

    assert _reference(seed, signed) == Signer(seed).sign(LABEL, message)


@given(message=st.binary())
def test_what_is_signed_verifies(message: bytes) -> None:
    signer = Signer(SEED)

    verify(signer.public, LABEL, message, signer.sign(LABEL, message))


@pytest.mark.parametrize("vector", load("signature"), ids=lambda vector: vector.name)
def test_a_frozen_signature_verifies_or_is_refused_as_before(vector: Vector) -> None:
    def check() -> None:
        verify(
            vector.raw("public"),
            vector.fields["label"].encode(),
            vector.raw("message"),
            vector.raw("signature"),
        )

    if vector.error is None:
        check()
        return
    with pytest.raises(VaultdError) as caught:
        check()
    assert vector.error is type(caught.value)


def test_every_flipped_bit_of_a_signature_is_refused() -> None:
    signer = Signer(SEED)
    signature = signer.sign(LABEL, b"message")
    for bit in range(8 * SIGNATURE_BYTES):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptObjectError):
            verify(signer.public, LABEL, b"message", bytes(changed))


def test_a_signature_of_one_kind_is_none_of_another() -> None:
    signer = Signer(SEED)
    with pytest.raises(CorruptObjectError):
        verify(signer.public, b"vaultd/1 other", b"message", signer.sign(LABEL, b"message"))


def test_a_label_with_a_nul_byte_is_refused() -> None:
    with pytest.raises(KeyringError):
        Signer(SEED).sign(LABEL + b"\0", b"message")


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyringError):
        Signer(bytes(length))


def test_a_fingerprint_is_short_and_tells_keys_apart() -> None:
    first, second = Signer(SEED).public, Signer(SEED[::-1]).public

    assert re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){4}", fingerprint(first))
    assert fingerprint(first) != fingerprint(second)
    assert 16 == len(key_id(first))
    assert key_id(first) != key_id(second)
