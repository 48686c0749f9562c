from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.crypto.vectors import Vector, load
from vaultd.core.errors import CorruptObjectError, KeyringError, VaultdError
from vaultd.crypto.aead import MAX_INDEX, TAG_BYTES, RecordCipher, open_once, seal_once

KEY = bytes(range(32))
INDEXES = st.integers(0, MAX_INDEX)
SMALL = st.binary(max_size=200)


def _open_vector(vector: Vector) -> bytes:
    sealed, aad = vector.raw("sealed"), vector.raw("aad")
    if "index" not in vector.fields:
        return open_once(vector.raw("key"), sealed, aad)
    cipher = RecordCipher(vector.raw("key"))
    return cipher.open(int(vector.fields["index"]), sealed, aad)


@pytest.mark.parametrize("vector", load("record"), ids=lambda vector: vector.name)
def test_a_frozen_record_opens_or_is_refused_as_before(vector: Vector) -> None:
    if vector.error is None:
        assert vector.raw("plaintext") == _open_vector(vector)
        return
    with pytest.raises(VaultdError) as caught:
        _open_vector(vector)
    assert vector.error is type(caught.value)


@pytest.mark.parametrize(
    ("plaintext", "sealed"),
    [
        (b"", "530f8afbc74536b9a963b4f1c4cb738b"),
        (bytes(16), "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
    ],
)
def test_aes_256_gcm_gives_the_answers_of_its_authors(plaintext: bytes, sealed: str) -> None:
    # Test cases 13 and 14 of McGrew and Viega: key and nonce are zero, so the index is 0.
    assert bytes.fromhex(sealed) == RecordCipher(bytes(32)).seal(0, plaintext, b"")
    assert bytes.fromhex(sealed) == seal_once(bytes(32), plaintext, b"")


@pytest.mark.parametrize("index", [0, 1, 255, 256, MAX_INDEX])
def test_the_nonce_is_the_index_as_96_bit_big_endian_number(index: int) -> None:
    nonce = b"\0" * 8 + index.to_bytes(4, "big")

    assert AESGCM(KEY).encrypt(nonce, b"text", b"aad") == RecordCipher(KEY).seal(
        index, b"text", b"aad"
    )


@given(index=INDEXES, plaintext=SMALL, aad=SMALL)
def test_what_is_sealed_opens_again(index: int, plaintext: bytes, aad: bytes) -> None:
    sealed = RecordCipher(KEY).seal(index, plaintext, aad)

    assert len(plaintext) + TAG_BYTES == len(sealed)
    assert plaintext == RecordCipher(KEY).open(index, sealed, aad)


@given(index=INDEXES, plaintext=SMALL, before=st.integers(0, 9), after=st.integers(0, 9))
def test_sealing_and_opening_in_place_touch_only_their_bytes(
    index: int, plaintext: bytes, before: int, after: int
) -> None:
    sealed = bytearray(b"." * (before + len(plaintext) + TAG_BYTES + after))
    opened = bytearray(b"." * (before + len(plaintext) + after))
    cipher = RecordCipher(KEY)

    written = cipher.seal_into(index, plaintext, b"aad", memoryview(sealed)[before:])
    record = bytes(sealed[before : before + written])
    read = cipher.open_into(index, record, b"aad", memoryview(opened)[before:])

    assert RecordCipher(KEY).seal(index, plaintext, b"aad") == record
    assert b"." * before == sealed[:before]
    assert b"." * after == sealed[before + written :]
    assert len(plaintext) == read
    assert b"." * before + plaintext + b"." * after == opened


def test_every_flipped_bit_of_a_record_is_refused() -> None:
    cipher = RecordCipher(KEY)
    sealed = cipher.seal(7, b"a small record", b"aad")
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptObjectError):
            cipher.open(7, bytes(changed), b"aad")


@pytest.mark.parametrize("length", [0, 1, TAG_BYTES - 1, TAG_BYTES])
def test_bytes_too_short_for_a_record_are_refused(length: int) -> None:
    with pytest.raises(CorruptObjectError):
        RecordCipher(KEY).open(0, bytes(length), b"")
    with pytest.raises(CorruptObjectError):
        RecordCipher(KEY).open_into(0, bytes(length), b"", memoryview(bytearray(20)))


def test_a_record_that_fails_leaves_no_plaintext_behind() -> None:
    cipher = RecordCipher(KEY)
    sealed = bytearray(cipher.seal(0, b"secret" * 100, b""))
    sealed[-1] ^= 1
    out = bytearray(b"." * 700)

    with pytest.raises(CorruptObjectError):
        cipher.open_into(0, bytes(sealed), b"", memoryview(out))

    assert bytes(600) + b"." * 100 == out


@pytest.mark.parametrize("index", [-1, 1 << 96])
def test_opening_at_an_impossible_index_is_refused(index: int) -> None:
    sealed = RecordCipher(KEY).seal(0, b"text", b"")
    with pytest.raises(CorruptObjectError):
        RecordCipher(KEY).open(index, sealed, b"")
    with pytest.raises(CorruptObjectError):
        RecordCipher(KEY).open_into(index, sealed, b"", memoryview(bytearray(4)))


def _seal(cipher: RecordCipher, index: int) -> object:
    return cipher.seal(index, b"text", b"")


def _seal_into(cipher: RecordCipher, index: int) -> object:
    return cipher.seal_into(index, b"text", b"", memoryview(bytearray(20)))


Sealing = Callable[[RecordCipher, int], object]
SEALINGS: list[Sealing] = [_seal, _seal_into]


@pytest.mark.parametrize("first", SEALINGS)
@pytest.mark.parametrize("second", SEALINGS)
def test_an_index_is_sealed_only_once(first: Sealing, second: Sealing) -> None:
    cipher = RecordCipher(KEY)
    first(cipher, 5)

    with pytest.raises(KeyringError):
        second(cipher, 5)


@pytest.mark.parametrize("seal", SEALINGS)
@pytest.mark.parametrize("index", [-1, MAX_INDEX + 1])
def test_an_index_out_of_its_limits_is_not_sealed(seal: Sealing, index: int) -> None:
    with pytest.raises(KeyringError):
        seal(RecordCipher(KEY), index)


def test_of_threads_that_seal_one_index_exactly_one_wins() -> None:
    cipher = RecordCipher(KEY)
    barrier = threading.Barrier(4)
    won: list[int] = []

    def race() -> None:
        for index in range(200):
            barrier.wait()
            try:
                cipher.seal(index, b"text", b"")
            except KeyringError:
                continue
            won.append(index)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(200)) == sorted(won)


def test_threads_that_share_a_cipher_do_not_disturb_each_other() -> None:
    cipher = RecordCipher(KEY)
    plaintext = os.urandom(1 << 18)
    wrong: list[int] = []

    def work(first: int) -> None:
        for index in range(first, 60, 2):
            aad = index.to_bytes(4, "big")
            if cipher.open(index, cipher.seal(index, plaintext, aad), aad) != plaintext:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong


def test_a_forked_child_cannot_seal_with_the_keys_of_its_parent() -> None:
    cipher = RecordCipher(KEY)
    sealed = cipher.seal(0, b"text", b"")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert b"text" == cipher.open(0, sealed, b"")
            cipher.seal(1, b"text", b"")
        except KeyringError:
            status = 0
        finally:
            os._exit(status)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_key_belongs_to_the_process_that_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cipher = RecordCipher(KEY)
    # The same as above where coverage sees it: a child's run is not measured.
    monkeypatch.setattr(os, "getpid", lambda: 1)

    with pytest.raises(KeyringError):
        cipher.seal(0, b"text", b"")


@given(plaintext=SMALL, aad=SMALL)
def test_what_is_sealed_once_opens_again(plaintext: bytes, aad: bytes) -> None:
    assert plaintext == open_once(KEY, seal_once(KEY, plaintext, aad), aad)


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_keys_of_weaker_ciphers_are_refused(length: int) -> None:
    with pytest.raises(KeyringError):
        RecordCipher(bytes(length))
    with pytest.raises(KeyringError):
        seal_once(bytes(length), b"", b"")
    with pytest.raises(KeyringError):
        open_once(bytes(length), bytes(16), b"")
