from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.crypto.vectors import Vector, load
from vaultd.core.errors import (
    CorruptObjectError,
    KeyringError,
    NoMatchingKeyError,
    VaultdError,
)
from vaultd.crypto import recipients
from vaultd.crypto.recipients import OVERHEAD_BYTES, PUBLIC_BYTES, Identity, Recipient

SEED = bytes(range(32))
INFO = b"vaultd/1 test"
AES_256_GCM = b"\x00\x02"


def _extract(suite: bytes, salt: bytes, label: bytes, key: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labelled + b"\x01", "sha256")[:length]


def _schedule(shared: bytes, info: bytes, aead: bytes) -> tuple[bytes, bytes]:
    """Return key and nonce of HPKE in base mode: RFC 9180, section 5.1, written a second time."""
    suite = b"HPKE" + b"\x64\x7a" + b"\x00\x01" + aead
    context = (
        b"\x00"
        + _extract(suite, b"", b"psk_id_hash", b"")
        + _extract(suite, b"", b"info_hash", info)
    )
    secret = _extract(suite, shared, b"secret", b"")
    return (
        _expand(suite, secret, b"key", context, 32),
        _expand(suite, secret, b"base_nonce", context, 12),
    )


@pytest.mark.parametrize("vector", load("kem"), ids=lambda vector: vector.name)
def test_the_official_vectors_of_the_kem_open(vector: Vector) -> None:
    # The library has no bare decapsulation; so the published shared secret is carried through an
    # independent key schedule, and what that seals must open.
    key, nonce = _schedule(vector.raw("shared_secret"), INFO, AES_256_GCM)
    sealed = vector.raw("encapsulated") + AESGCM(key).encrypt(nonce, b"text", b"")

    assert b"text" == recipients.open(vector.raw("seed"), sealed, INFO)


@pytest.mark.parametrize(
    "vector", [vector for vector in load("kem") if "public" in vector.fields], ids=lambda v: v.name
)
def test_the_official_seed_gives_the_official_public_key(vector: Vector) -> None:
    assert vector.raw("public") == recipients.public_key(vector.raw("seed"))


@pytest.mark.parametrize(
    "vector",
    [vector for vector in load("kem") if "schedule_key" in vector.fields],
    ids=lambda v: v.name,
)
def test_the_key_schedule_of_these_tests_is_the_official_one(vector: Vector) -> None:
    key, nonce = _schedule(
        vector.raw("shared_secret"), vector.raw("schedule_info"), vector.raw("schedule_aead")
    )

    assert vector.raw("schedule_key") == key
    assert vector.raw("schedule_nonce") == nonce


@pytest.mark.parametrize("vector", load("sealed"), ids=lambda vector: vector.name)
def test_frozen_sealed_bytes_open_or_are_refused_as_before(vector: Vector) -> None:
    def opened() -> bytes:
        return recipients.open(vector.raw("seed"), vector.raw("sealed"), vector.raw("info"))

    if vector.error is None:
        assert vector.raw("plaintext") == opened()
        return
    with pytest.raises(VaultdError) as caught:
        opened()
    assert vector.error is type(caught.value)


@settings(max_examples=25)
@given(
    seed=st.binary(min_size=32, max_size=32), plaintext=st.binary(max_size=100), info=st.binary()
)
def test_what_is_sealed_to_a_public_key_opens_with_its_seed(
    seed: bytes, plaintext: bytes, info: bytes
) -> None:
    sealed = recipients.seal(recipients.public_key(seed), plaintext, info)

    assert len(plaintext) + OVERHEAD_BYTES == len(sealed)
    assert plaintext == recipients.open(seed, sealed, info)


def test_a_32_byte_key_becomes_1168_bytes() -> None:
    public = recipients.public_key(SEED)

    assert PUBLIC_BYTES == len(public)
    assert 1168 == len(recipients.seal(public, bytes(32), INFO))


def test_sealing_twice_gives_different_bytes() -> None:
    recipient = Recipient(recipients.public_key(SEED))

    assert recipient.seal(b"text", INFO) != recipient.seal(b"text", INFO)


def test_a_sealed_key_with_any_flipped_bit_is_refused() -> None:
    identity = Identity(SEED)
    sealed = Recipient(identity.public).seal(b"text", INFO)
    # One bit of each byte: ML-KEM part, X25519 part, ciphertext and tag.
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1 << at % 7
        with pytest.raises(NoMatchingKeyError):
            identity.open(bytes(changed), INFO)


@pytest.mark.parametrize("length", [0, 16, OVERHEAD_BYTES - 1])
def test_bytes_too_short_to_be_sealed_are_refused(length: int) -> None:
    with pytest.raises(CorruptObjectError):
        recipients.open(SEED, bytes(length), INFO)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyringError):
        recipients.public_key(bytes(length))


@pytest.mark.parametrize("length", [0, 32, 1184, PUBLIC_BYTES - 1, PUBLIC_BYTES + 1])
def test_a_public_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(KeyringError):
        Recipient(bytes(length))


def test_a_public_key_that_is_no_lattice_key_is_refused() -> None:
    with pytest.raises(KeyringError):
        Recipient(b"\xff" * PUBLIC_BYTES)


def test_sealing_to_a_point_that_gives_everybody_the_same_secret_is_refused() -> None:
    public = recipients.public_key(SEED)[:1184] + bytes(32)
    with pytest.raises(KeyringError):
        Recipient(public).seal(b"text", INFO)


def test_a_key_id_is_that_of_the_public_key() -> None:
    identity = Identity(SEED)

    assert 16 == len(identity.key_id)
    assert identity.key_id == Recipient(identity.public).key_id
    assert identity.key_id == recipients.key_id(identity.public)
    assert identity.key_id != Identity(SEED[::-1]).key_id


def test_an_openssl_without_ml_kem_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    public = recipients.public_key(SEED)
    # No such build is at hand; this is the question that the library asks of its OpenSSL.
    monkeypatch.setattr(backend, "mlkem_supported", lambda: False)

    with pytest.raises(KeyringError, match="ML-KEM") as caught:
        Recipient(public)
    assert caught.value.hint is not None
    with pytest.raises(KeyringError, match="ML-KEM"):
        Identity(SEED)
