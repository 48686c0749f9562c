from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.crypto.vectors import Vector, load
from vaultd.core.errors import KeyringError, NoMatchingKeyError, VaultdError
from vaultd.crypto.kdf import MEM_KIB_MIN
from vaultd.crypto.recovery import (
    KeyFacts,
    KeyType,
    from_words,
    passphrase_bytes,
    read_key_file,
    to_words,
    write_key_file,
)
from vaultd.crypto.secret import Secret

SEED = bytes(range(32))
SEEDS = st.binary(min_size=32, max_size=32)
FACTS = KeyFacts(type=KeyType.RECOVERY, vault="00ff", label="paper in the safe")


def _zeros(count: int) -> bytes:
    return bytes(count)


def _write(passphrase: bytes | None, facts: KeyFacts = FACTS) -> str:
    return write_key_file(SEED, passphrase, facts, random=_zeros, mem_kib=MEM_KIB_MIN, passes=1)


def _holds(vector: Vector, act: Callable[[], bytes]) -> None:
    if vector.error is None:
        assert vector.raw("seed") == act()
        return
    with pytest.raises(VaultdError) as caught:
        act()
    assert vector.error is type(caught.value)


@pytest.mark.parametrize("vector", load("keyfile"), ids=lambda vector: vector.name)
def test_a_frozen_key_file_is_read_or_refused_as_before(vector: Vector) -> None:
    passphrase = vector.fields.get("passphrase")
    typed = None if passphrase is None else passphrase_bytes(passphrase)

    def read() -> bytes:
        return read_key_file(vector.fields["text"], typed).seed.reveal()

    _holds(vector, read)


@pytest.mark.parametrize("vector", load("words"), ids=lambda vector: vector.name)
def test_frozen_words_are_read_or_refused_as_before(vector: Vector) -> None:
    _holds(vector, lambda: from_words(vector.fields["text"]))


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        (b"\x00" * 32, "abandon " * 23 + "art"),
        (
            b"\x7f" * 32,
            "legal winner thank year wave sausage worth useful " * 2
            + "legal winner thank year wave sausage worth title",
        ),
        (
            b"\x80" * 32,
            "letter advice cage absurd amount doctor acoustic avoid " * 2
            + "letter advice cage absurd amount doctor acoustic bless",
        ),
        (b"\xff" * 32, "zoo " * 23 + "vote"),
    ],
)
def test_words_are_those_of_the_bip_39_vectors(seed: bytes, words: str) -> None:
    assert words == to_words(seed)
    assert seed == from_words(words)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_words_give_back_their_seed(seed: bytes) -> None:
    words = to_words(seed)

    assert 24 == len(words.split(" "))
    assert seed == from_words(words)


@pytest.mark.parametrize(
    "pattern",
    [
        "{word} ",
        "\n  {word}",
        "{word}\r\n",
        "{word}, ",
        "{at}. {word}\n",
        "{at}){word} ",
        "\u00a0{word}",
    ],
)
@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_words_are_read_however_they_are_written(pattern: str, case: Callable[[str], str]) -> None:
    words = enumerate(case(to_words(SEED)).split(), 1)

    assert SEED == from_words("".join(pattern.format(at=at, word=word) for at, word in words))


def test_an_unknown_word_is_named_with_its_place_and_the_nearest_ones() -> None:
    words = to_words(bytes(32)).split()
    words[4] = "abandn"

    with pytest.raises(KeyringError, match=r"word 5, 'abandn'") as caught:
        from_words(" ".join(words))
    assert "abandon" in str(caught.value.hint)


def test_an_unknown_word_like_no_other_is_named_all_the_same() -> None:
    with pytest.raises(KeyringError, match=r"word 1, 'qqqqqqqq'") as caught:
        from_words("qqqqqqqq")
    assert "paper" in str(caught.value.hint)


def test_a_wrong_number_of_words_is_named() -> None:
    with pytest.raises(KeyringError, match="23 words, expected 24"):
        from_words("abandon " * 23)


def test_words_that_do_not_belong_together_are_a_wrong_key() -> None:
    with pytest.raises(NoMatchingKeyError) as caught:
        from_words("abandon " * 24)
    assert caught.value.hint is not None


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_seed_of_another_length_becomes_neither_words_nor_file(length: int) -> None:
    with pytest.raises(KeyringError):
        to_words(bytes(length))
    for passphrase in (None, b"passphrase"):
        with pytest.raises(KeyringError):
            write_key_file(
                bytes(length),
                passphrase,
                FACTS,
                random=_zeros,
                mem_kib=MEM_KIB_MIN,
                passes=1,
            )


@pytest.mark.parametrize("kind", KeyType)
@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_file_gives_back_what_it_was_written_with(
    kind: KeyType, passphrase: bytes | None
) -> None:
    facts = KeyFacts(type=kind, vault="00ff-1", label="Büro №7")
    key = read_key_file(_write(passphrase, facts), passphrase)

    assert facts == key.facts
    assert Secret(SEED) == key.seed
    assert SEED.hex() not in repr(key)


def test_a_key_file_without_passphrase_does_not_look_at_one() -> None:
    assert Secret(SEED) == read_key_file(_write(None), b"not needed").seed


def test_a_sealed_key_file_shows_nothing_of_the_seed() -> None:
    fields = json.loads(_write(b"correct horse"))

    assert {"vaultd_key", "type", "vault", "label", "kdf", "mem_kib", "passes", "salt"} == set(
        fields
    ) - {"sealed"}


def test_the_salt_comes_from_the_source_given() -> None:
    drawn: list[int] = []

    def random(count: int) -> bytes:
        drawn.append(count)
        return b"\x07" * count

    write_key_file(SEED, b"x", FACTS, random=random, mem_kib=MEM_KIB_MIN, passes=1)

    assert [16] == drawn


def test_an_empty_passphrase_protects_nothing_and_is_refused() -> None:
    with pytest.raises(KeyringError, match="empty"):
        _write(b"")


def test_a_wrong_passphrase_is_a_wrong_key() -> None:
    with pytest.raises(NoMatchingKeyError, match="paper in the safe"):
        read_key_file(_write(b"correct horse"), b"wrong horse")


def test_one_passphrase_typed_in_two_ways_is_the_same() -> None:
    assert passphrase_bytes("stra\u00dfe \u00e9") == passphrase_bytes("stra\u00dfe e\u0301")
    assert passphrase_bytes("a") != passphrase_bytes("a ")


@given(text=st.text(max_size=300))
def test_any_text_is_refused_with_an_error_of_ours(text: str) -> None:
    with pytest.raises(VaultdError):
        read_key_file(text, None)
    with pytest.raises(VaultdError):
        from_words(text)


@given(
    fields=st.dictionaries(
        st.sampled_from(sorted(json.loads(_write(None)))),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()),
        min_size=1,
    )
)
def test_any_field_of_any_type_is_refused_with_an_error_of_ours(fields: dict[str, object]) -> None:
    text = json.loads(_write(None)) | fields
    if text == json.loads(_write(None)):
        return
    with pytest.raises(VaultdError):
        read_key_file(json.dumps(text), None)


def test_reading_an_unprotected_key_file_loads_neither_libsodium_nor_the_word_list() -> None:
    code = (
        "import sys; from vaultd.crypto import recovery as r;"
        f"r.read_key_file({_write(None)!r}, None);"
        "sys.exit(any(name in sys.modules for name in ('nacl', 'mnemonic', 'difflib')))"
    )

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
