from __future__ import annotations

import hashlib

import pytest

from vaultd.crypto.hashing import HASH_BYTES, content_hash, keyed_hash, sha256, sha256_stream

KEY = b"whats the Elvish word for friend"  # codespell:ignore whats - as its authors wrote it

# From the test vectors of BLAKE3: input bytes 0, 1, … 250, 0, 1, …; first 32 bytes of both modes.
BLAKE3 = [
    (
        0,
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
    ),
    (
        1,
        "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
        "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
    ),
    (
        1023,
        "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
        "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e",
    ),
    (
        1024,
        "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
        "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
    ),
    (
        1025,
        "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
        "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69",
    ),
    (
        4097,
        "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995",
        "00df940cd36bb9fa7cbbc3556744e0dbc8191401afe70520ba292ee3ca80abbc",
    ),
    (
        7169,
        "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817",
        "ed9b1a922c046fdb3d423ae34e143b05ca1bf28b710432857bf738bcedbfa511",
    ),
]


def _sample(length: int) -> bytes:
    return bytes(at % 251 for at in range(length))


@pytest.mark.parametrize(("length", "plain", "keyed"), BLAKE3)
def test_blake3_gives_the_official_answers(length: int, plain: str, keyed: str) -> None:
    assert bytes.fromhex(plain) == content_hash(_sample(length))
    assert bytes.fromhex(keyed) == keyed_hash(KEY, _sample(length))


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_gives_the_same_hash(buffer: type) -> None:
    sample = _sample(5000)

    assert keyed_hash(KEY, sample) == keyed_hash(KEY, buffer(sample))
    assert content_hash(sample) == content_hash(buffer(sample))
    assert sha256(sample) == sha256(buffer(sample))


def test_sha256_gives_the_answer_of_fips_180() -> None:
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    assert bytes.fromhex(expected) == sha256(b"abc")
    assert len(sha256(b"abc")) == HASH_BYTES


def test_sha256_piece_by_piece_is_the_same_as_at_once() -> None:
    stream = sha256_stream()
    for piece in (b"ab", b"", b"c"):
        stream.update(piece)

    assert hashlib.sha256(b"abc").digest() == stream.digest()
