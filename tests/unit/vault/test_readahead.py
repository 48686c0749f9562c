"""Reading packs ahead: the right bytes, few requests, bounded memory."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core.errors import StorageUnavailableError
from vaultd.vault.readahead import ReadAhead

MIB = 1 << 20
DATA = random.Random(1).randbytes(16 * MIB)


class Objects:
    """One object under many names, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.fails = False

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Return bytes, as a backend does."""
        assert name
        self.asked.append((offset, length))
        if self.fails:
            raise StorageUnavailableError("planned")
        return DATA[offset : offset + length]


def test_records_in_order_take_few_requests() -> None:
    objects = Objects()
    ahead = ReadAhead(objects.get, 4 * MIB)
    step = 600_000

    for offset in range(0, len(DATA) - step, step):
        piece = ahead.read("pack", len(DATA), offset, step)
        assert DATA[offset : offset + step] == piece

    assert len(objects.asked) < 8
    assert sum(length for _, length in objects.asked) < len(DATA) * 5 // 4


def test_a_single_record_is_read_alone() -> None:
    objects = Objects()
    ahead = ReadAhead(objects.get, 4 * MIB)

    for offset in (8 * MIB, 2 * MIB, 12 * MIB):
        ahead.read("pack", len(DATA), offset, 1000)

    assert [(8 * MIB, 1000), (2 * MIB, 1000), (12 * MIB, 1000)] == objects.asked


def test_where_requests_cost_nothing_each_record_is_read_alone() -> None:
    objects = Objects()
    ahead = ReadAhead(objects.get, 0)

    for offset in (0, 1000, 2000):
        assert DATA[offset : offset + 1000] == ahead.read("pack", len(DATA), offset, 1000)

    assert [(0, 1000), (1000, 1000), (2000, 1000)] == objects.asked


def test_nothing_is_read_beyond_the_end() -> None:
    objects = Objects()
    ahead = ReadAhead(objects.get, 4 * MIB)

    ahead.read("pack", 3000, 0, 1000)
    ahead.read("pack", 3000, 1000, 1500)

    assert [(0, 1000), (1000, 2000)] == objects.asked


def test_an_object_that_is_shorter_than_it_should_be_gives_fewer_bytes() -> None:
    ahead = ReadAhead(
        lambda _name, offset, length: DATA[offset : min(offset + length, 1500)], 4 * MIB
    )

    assert 500 == len(ahead.read("pack", 4000, 1000, 1000))


def test_a_failure_is_that_of_all_who_wait_and_not_of_those_after_them() -> None:
    objects = Objects()
    ahead = ReadAhead(objects.get, 4 * MIB)
    objects.fails = True
    with pytest.raises(StorageUnavailableError):
        ahead.read("pack", len(DATA), 0, 1000)
    objects.fails = False

    assert DATA[:1000] == ahead.read("pack", len(DATA), 0, 1000)


def test_two_threads_share_one_request() -> None:
    gate = threading.Event()
    asked: list[int] = []

    def get(_name: str, offset: int, length: int) -> bytes:
        asked.append(offset)
        if len(asked) > 1:
            gate.wait(10)
        return DATA[offset : offset + length]

    ahead = ReadAhead(get, 4 * MIB)
    ahead.read("pack", len(DATA), 0, 1000)
    found: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda at=at: found.append(bytes(ahead.read("pack", len(DATA), at, 1000)))
        )
        for at in (1000, 2000)
    ]
    for thread in threads:
        thread.start()
        thread.join(0.05)
    gate.set()
    for thread in threads:
        thread.join(10)

    assert [0, 1000] == asked
    assert {DATA[1000:2000], DATA[2000:3000]} == set(found)


def test_what_nobody_comes_for_is_given_up() -> None:
    objects = Objects()
    ahead = ReadAhead(objects.get, 4 * MIB, most_bytes=3 * MIB)
    for name in "abcdefgh":
        for offset in (0, MIB // 2):
            ahead.read(name, len(DATA), offset, MIB // 2)
    asked = len(objects.asked)

    assert DATA[MIB : MIB + 100] == ahead.read("a", len(DATA), MIB, 100)
    assert DATA[MIB : MIB + 100] == ahead.read("h", len(DATA), MIB, 100)
    assert asked + 1 == len(objects.asked)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 50_000), st.integers(1, 9000)),
        max_size=60,
    ),
    st.integers(1, 40_000),
)
def test_any_order_gives_the_right_bytes(
    reads: list[tuple[str, int, int]], most_bytes: int
) -> None:
    size = 45_000
    ahead = ReadAhead(
        lambda _name, offset, length: DATA[offset : min(size, offset + length)],
        4 * MIB,
        most_bytes=most_bytes,
    )

    for name, offset, length in reads:
        found = ahead.read(name, size, offset, length)
        assert DATA[offset : max(offset, min(size, offset + length))] == found
