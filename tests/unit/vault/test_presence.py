"""Packs that an index knows beside those that a backend lists."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from vaultd.backends.memory import MemoryBackend
from vaultd.core.snapshot import SessionId
from vaultd.format.pack import DATA
from vaultd.vault import layout
from vaultd.vault.chunk_index import PackRow
from vaultd.vault.presence import presence


def sha256_of(number: int) -> bytes:
    """Return a hash that sorts as no number does."""
    return random.Random(number).randbytes(32)


@given(
    st.dictionaries(st.tuples(st.integers(1, 3), st.integers(1, 9)), st.integers(0, 3)),
    st.dictionaries(st.tuples(st.integers(1, 3), st.integers(1, 9)), st.integers(0, 3)),
)
def test_a_pack_is_there_when_it_is_listed_with_its_size(
    known: dict[tuple[int, int], int], listed: dict[tuple[int, int], int]
) -> None:
    backend = MemoryBackend()
    for (seq, number), size in listed.items():
        name = layout.pack(SessionId(host="web1", seq=seq), sha256_of(number))
        backend.put(name, bytes(size))
    rows = sorted((seq, sha256_of(number), size, number) for (seq, number), size in known.items())
    packs = [PackRow(at, *row[:3], DATA, None) for at, row in enumerate(rows)]

    found = list(presence(backend, "web1", packs))

    assert packs == [row for row, _ in found]
    for (seq, _, size, number), (_, is_there) in zip(rows, found, strict=True):
        assert is_there == (listed.get((seq, number)) == size)
