"""What a machine remembers of sessions, packs and chunks, and what a snapshot may rely on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vaultd.format.pack import DATA, META, Record
from vaultd.format.session import PartRef
from vaultd.vault.chunk_index import ChunkIndex, PackRow
from vaultd.vault.index_file import COMMITTED, DEAD, OPEN, SessionRow


def chunk(number: int) -> bytes:
    return bytes([number]) * 32


def records(*numbers: int) -> list[Record]:
    return [Record(chunk(number), at, 100 * at, 90, 1, 1000) for at, number in enumerate(numbers)]


def pack(number: int, seq: int = 1, kind: int = DATA, part: int | None = None) -> PackRow:
    return PackRow(0, seq, bytes([number]) * 32, 65536, kind, part)


def session(seq: int, state: str = OPEN, includes: tuple[int, ...] = ()) -> SessionRow:
    return SessionRow(
        seq=seq,
        state=state,
        kind="full",
        chain=1,
        base=0,
        store_id=bytes(16),
        includes=includes or (seq,),
        root_sha256=bytes(32),
        options=b"options",
        started_ns=5,
    )


@pytest.fixture
def index(tmp_path: Path) -> Iterator[ChunkIndex]:
    index = ChunkIndex(tmp_path / "index.sqlite")
    yield index
    index.close()


def test_sessions_are_kept_as_they_are_in_ascending_order(index: ChunkIndex) -> None:
    rows = [session(2, COMMITTED, (1, 2)), session(1)]
    for row in rows:
        index.save_session(row)

    assert rows[::-1] == index.sessions()
    assert rows[:1] == index.sessions(COMMITTED)
    index.mark([1], DEAD)
    assert [1] == [row.seq for row in index.sessions(DEAD)]


def test_a_chunk_is_found_only_in_packs_that_may_be_relied_on(index: ChunkIndex) -> None:
    number = index.add_pack(pack(1), records(7, 8), since=1)

    found = index.locate(chunk(8), DATA, frozenset({1}))

    assert found is not None
    assert (number, records(7, 8)[1]) == (found.pack, found.record)
    assert index.locate(chunk(8), META, frozenset({1})) is None
    assert index.locate(chunk(8), DATA, frozenset({2})) is None
    assert index.locate(chunk(9), DATA, frozenset({1})) is None


def test_a_pack_that_is_avoided_serves_readers_only(index: ChunkIndex) -> None:
    number = index.add_pack(pack(1), records(7), since=1)
    index.avoid([number])

    assert index.locate(chunk(7), DATA, frozenset({1})) is None
    assert [] == list(index.packs_held([1]))
    assert [number] == [place.pack for place in index.places(chunk(7), DATA)]
    assert (65536, 1) == index.weigh([1])


def test_every_copy_of_a_chunk_is_a_place_to_read_it(index: ChunkIndex) -> None:
    numbers = {index.add_pack(pack(at), records(7), since=since) for at, since in ((1, 1), (2, 5))}

    assert numbers == {place.pack for place in index.places(chunk(7), DATA)}
    assert [] == index.places(chunk(7), META)


def test_packs_come_by_session_and_hash_each_once(index: ChunkIndex) -> None:
    for number, seq in ((3, 1), (1, 2), (2, 1)):
        index.add_pack(pack(number, seq), records(number), since=1)
    index.hold([bytes([3]) * 32, bytes([9]) * 32], since=2)

    held = list(index.packs_held([1, 2]))

    assert [(1, 2), (1, 3), (2, 1)] == [(row.seq, row.sha256[0]) for row in held]
    assert [3] == [row.sha256[0] for row in index.packs_held([2])]
    assert held[0] == index.pack(held[0].pack)


def test_a_pack_that_is_known_is_left_as_it_is(index: ChunkIndex) -> None:
    first = index.add_pack(pack(1), records(7), since=1)
    part = index.add_part(PartRef(1, bytes(32), 100))

    again = index.add_pack(pack(1, part=part), records(8), since=2)

    assert first == again
    assert records(7) == [place.record for place in index.places(chunk(7), DATA)]
    assert [] == index.places(chunk(8), DATA)
    assert part == index.pack(first).part
    assert first == next(index.packs_held([2])).pack


def test_index_parts_are_known_by_their_hash(index: ChunkIndex) -> None:
    ref = PartRef(3, chunk(1), 100)

    number = index.add_part(ref)

    assert number == index.add_part(ref) == index.part_number(chunk(1))
    assert ref == index.part(number)
    assert index.part_number(chunk(2)) is None


def test_a_commit_says_which_part_describes_which_pack(index: ChunkIndex) -> None:
    numbers = [index.add_pack(pack(at), records(at), since=1) for at in (1, 2)]
    ref = PartRef(1, chunk(9), 100)
    assert [records(1), records(2)] == [index.records_of(number) for number in numbers]

    index.commit(session(1, COMMITTED), {ref: numbers})

    assert [1] == [row.seq for row in index.sessions(COMMITTED)]
    assert [ref, ref] == [index.part(row.part or 0) for row in index.packs_held([1])]


def test_a_dead_session_leaves_its_packs_to_the_next_one(index: ChunkIndex) -> None:
    index.save_session(session(1))
    for at in (1, 2):
        index.add_pack(pack(at), records(at), since=1)

    taken = index.inherit(1, 2, {bytes([1]) * 32})

    assert 1 == taken
    assert [1] == [row.sha256[0] for row in index.packs_held([2])]
    assert [] == list(index.packs_held([1]))
    assert [] == index.places(chunk(2), DATA)
    assert [1] == [row.seq for row in index.sessions(DEAD)]


def test_packs_that_a_snapshot_describes_are_not_inherited(index: ChunkIndex) -> None:
    part = index.add_part(PartRef(1, chunk(9), 100))
    number = index.add_pack(pack(1, part=part), records(1), since=1)
    index.hold_numbers([number], since=2)

    assert 0 == index.inherit(2, 3, set())
    assert [number] == [row.pack for row in index.packs_held([1])]
    assert [] == list(index.packs_held([3]))


class Remembered(RuleBasedStateMachine):
    """The index against plain sets."""

    def __init__(self) -> None:
        super().__init__()
        self.index = ChunkIndex(Path(":memory:"))
        self.chunks: dict[int, set[int]] = {}
        self.since: dict[int, set[int]] = {}
        self.avoided: set[int] = set()
        self.numbers: dict[int, int] = {}

    def teardown(self) -> None:
        self.index.close()

    @rule(
        at=st.integers(1, 6), held=st.integers(1, 4), drawn=st.sets(st.integers(1, 9), min_size=1)
    )
    def add(self, at: int, held: int, drawn: set[int]) -> None:
        self.numbers[at] = self.index.add_pack(pack(at), records(*sorted(drawn)), since=held)
        self.chunks.setdefault(at, drawn)
        self.since.setdefault(at, set()).add(held)

    @precondition(lambda self: self.chunks)
    @rule(at=st.integers(1, 6), held=st.integers(1, 4))
    def hold(self, at: int, held: int) -> None:
        self.index.hold([bytes([at]) * 32], since=held)
        if at in self.chunks:
            self.since[at].add(held)

    @rule(at=st.integers(1, 6))
    def avoid(self, at: int) -> None:
        if at in self.chunks:
            self.index.avoid([self.numbers[at]])
            self.avoided.add(at)

    @rule(dead=st.integers(1, 4), heir=st.integers(1, 4), kept=st.sets(st.integers(1, 6)))
    def inherit(self, dead: int, heir: int, kept: set[int]) -> None:
        if dead == heir:
            return
        mine = {at for at, sinces in self.since.items() if dead in sinces}
        taken = self.index.inherit(dead, heir, {bytes([at]) * 32 for at in kept})
        assert len(mine & kept) == taken
        for at in mine - kept:
            for facts in (self.chunks, self.since, self.numbers):
                facts.pop(at)
            self.avoided.discard(at)
        for at in mine & kept:
            self.since[at] = (self.since[at] - {dead}) | {heir}

    @invariant()
    def what_may_be_relied_on_is_the_same(self) -> None:
        for since in ({1}, {2, 3}, {1, 2, 3, 4}):
            good = {at for at, held in self.since.items() if held & since} - self.avoided
            assert good == {row.sha256[0] for row in self.index.packs_held(since)}
            for number in range(1, 10):
                found = self.index.locate(chunk(number), DATA, frozenset(since))
                there = {self.numbers[at] for at in good if number in self.chunks[at]}
                assert (found is None) == (not there)
                assert found is None or found.pack in there


TestRemembered = Remembered.TestCase
TestRemembered.settings = settings(max_examples=60, stateful_step_count=25)
