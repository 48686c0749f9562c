from __future__ import annotations

import hashlib
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaultd.chunking.gear import Chunker, ChunkerParams
from vaultd.core.errors import ConfigError
from vaultd.core.units import KIB, MIB

KEY = bytes(range(32))
FROZEN = [902960, 2097152, 1698834, 1221823, 1500531, 967308]
SMALL = ChunkerParams(min_bytes=64, avg_bytes=256, max_bytes=1024)


def _noise(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


def _lengths(chunker: Chunker, contents: bytes) -> list[int]:
    return [end - start for start, end in chunker.cut(memoryview(contents), final=True)]


def _cut_in_pieces(chunker: Chunker, contents: bytes, splits: list[int]) -> list[int]:
    """Cut as a reader does: fill a buffer, cut, keep the tail, fill again."""
    lengths = []
    tail = b""
    edges = [0, *sorted(splits), len(contents)]
    for before, after in itertools.pairwise(edges):
        buffer = tail + contents[before:after]
        cuts = chunker.cut(memoryview(buffer), final=after == len(contents))
        lengths += [end - start for start, end in cuts]
        tail = buffer[cuts[-1][1] :] if cuts else buffer
    assert b"" == tail
    return lengths


# Runs of one byte never cut; noise does; both together meet every branch of the chunker.
CONTENTS = st.lists(
    st.builds(_noise, st.integers(0, 3000), st.integers(0, 50))
    | st.builds(bytes, st.integers(0, 3000)),
    max_size=4,
).map(b"".join)


@given(contents=CONTENTS)
def test_chunks_are_the_contents_and_keep_their_limits(contents: bytes) -> None:
    cuts = Chunker(KEY, SMALL).cut(memoryview(contents), final=True)

    assert [start for start, _ in cuts] == [0, *(end for _, end in cuts)][: len(cuts)]
    assert len(contents) == (cuts[-1][1] if cuts else 0)
    for start, end in cuts[:-1]:
        assert SMALL.min_bytes <= end - start <= SMALL.max_bytes
    for start, end in cuts[-1:]:
        assert 0 < end - start <= SMALL.max_bytes


@settings(max_examples=300)
@given(contents=CONTENTS, data=st.data())
def test_cuts_do_not_depend_on_how_a_file_was_split_into_buffers(
    contents: bytes, data: st.DataObject
) -> None:
    splits = data.draw(st.lists(st.integers(0, len(contents)), max_size=12))
    chunker = Chunker(KEY, SMALL)

    assert _lengths(chunker, contents) == _cut_in_pieces(chunker, contents, splits)


def test_cuts_do_not_depend_on_buffers_of_any_one_length() -> None:
    contents = _noise(5000)
    chunker = Chunker(KEY, SMALL)
    expected = _lengths(chunker, contents)

    for step in (1, 7, 63, 64, 65, 255, 256, 1023, 1024, 1025, 4999):
        assert expected == _cut_in_pieces(chunker, contents, list(range(step, 5000, step)))


@given(contents=CONTENTS)
def test_a_buffer_of_the_longest_chunk_always_gives_one(contents: bytes) -> None:
    cuts = Chunker(KEY, SMALL).cut(memoryview(contents), final=False)

    tail = len(contents) - (cuts[-1][1] if cuts else 0)
    assert tail < SMALL.max_bytes


@settings(max_examples=50)
@given(at=st.integers(0, 200_000), inserted=st.binary(min_size=1, max_size=50))
def test_an_insertion_changes_only_the_chunks_around_it(at: int, inserted: bytes) -> None:
    contents = _noise(200_000, seed=2)
    chunker = Chunker(KEY, SMALL)

    def ids(data: bytes) -> list[bytes]:
        return [
            hashlib.sha256(data[start:end]).digest()
            for start, end in chunker.cut(memoryview(data), final=True)
        ]

    before, after = ids(contents), ids(contents[:at] + inserted + contents[at:])

    assert len(set(after) - set(before)) <= 20


def test_equal_keys_cut_equally_and_others_do_not() -> None:
    contents = _noise(50_000)
    expected = _lengths(Chunker(KEY, SMALL), contents)

    assert expected == _lengths(Chunker(KEY, SMALL), contents)
    assert expected != _lengths(Chunker(KEY[::-1], SMALL), contents)
    assert expected != _lengths(Chunker(bytes(32), SMALL), contents)


def test_cuts_of_a_vault_never_change() -> None:
    # Frozen: other cuts would upload everything again.
    contents = _noise(8 * MIB, seed=3)
    lengths = _lengths(Chunker(KEY, ChunkerParams()), contents)

    assert FROZEN == lengths


def test_the_usual_chunks_are_about_1_mib() -> None:
    lengths = _lengths(Chunker(KEY, ChunkerParams()), _noise(64 * MIB, seed=4))

    assert MIB <= sum(lengths) / len(lengths) <= 1.5 * MIB


@pytest.mark.parametrize("final", [False, True])
def test_an_empty_buffer_has_no_chunks(final: bool) -> None:
    assert [] == Chunker(KEY, SMALL).cut(memoryview(b""), final=final)


def test_the_buffer_is_free_again_after_a_cut() -> None:
    buffer = bytearray(_noise(5000))
    with memoryview(buffer) as view:
        Chunker(KEY, SMALL).cut(view, final=True)

    # A bytearray cannot grow while anything still looks at it.
    buffer.append(0)


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(TypeError):
        Chunker(KEY, SMALL).cut(memoryview(bytes(5000))[::2], final=True)


@pytest.mark.parametrize(
    ("min_bytes", "avg_bytes", "max_bytes"),
    [
        (63, 256, 1024),
        (MIB + 1, 2 * MIB, 4 * MIB),
        (64, 128, 1024),
        (64, 8 * MIB, 8 * MIB),
        (64, 256, 1023),
        (64, 256, 8 * MIB + 1),
        (512 * KIB, 256 * KIB, MIB),
        (64, 4096, 2048),
        (64, 300, 1024),
    ],
)
def test_lengths_that_cannot_be_are_refused(min_bytes: int, avg_bytes: int, max_bytes: int) -> None:
    with pytest.raises(ConfigError):
        ChunkerParams(min_bytes=min_bytes, avg_bytes=avg_bytes, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("min_bytes", "avg_bytes", "max_bytes"),
    [(64, 256, 1024), (256, 256, 1024), (MIB, 4 * MIB, 8 * MIB), (64, 1024, 1024)],
)
def test_the_limits_themselves_are_allowed(min_bytes: int, avg_bytes: int, max_bytes: int) -> None:
    params = ChunkerParams(min_bytes=min_bytes, avg_bytes=avg_bytes, max_bytes=max_bytes)
    lengths = _lengths(Chunker(KEY, params), _noise(20_000))

    assert 20_000 == sum(lengths)


@pytest.mark.parametrize("number", range(64))
def test_every_key_makes_a_chunker(number: int) -> None:
    # Seeds outside 1 to 2^63 - 1 would be refused by the library or mean the public table.
    chunker = Chunker(number.to_bytes(32, "big"), SMALL)

    assert 3000 == sum(_lengths(chunker, _noise(3000)))
