"""From files to chunks: bundles, cuts, holes, and files that do not hold still."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from vaultd.chunking.bundle import BundleRule
from vaultd.chunking.gear import Chunker, ChunkerParams
from vaultd.core.tree import INO, MODE, SIZE, Extra, Listing, columns_of
from vaultd.format.tree import unpack_extents
from vaultd.pipeline.aside import LONGEST_BYTES, Aside, Store
from vaultd.pipeline.cutting import Cutter
from vaultd.pipeline.feeder import CHUNKS_PER_LIST, SMALL_BYTES, Feeder
from vaultd.pipeline.tree_writer import Pending, Pieces, Ticket
from vaultd.pipeline.workers import Buffers
from vaultd.stores.base import Scanned, SourceFacts

SMALL_CUTS = ChunkerParams(min_bytes=64, avg_bytes=256, max_bytes=1024)


class Still:
    """A store whose files hold still, or change as planned each time that they were read.

    Args:
        changes: What happens to a file right after each reading: bytes that are appended to it.
    """

    def __init__(self, path: Path, changes: Sequence[bytes] = ()) -> None:
        self.path = path
        self.changes = list(changes)
        self.flagged: list[int] = []

    def settle(self, scanned: Scanned, position: int, fd: int) -> bool:
        if not self.changes:
            return True
        with self.path.open("ab") as file:
            file.write(self.changes.pop(0))
        scanned.listing.set(SIZE, position, os.fstat(fd).st_size)
        return False

    def flag_changed(self, scanned: Scanned, position: int) -> None:
        self.flagged.append(position)

    def scan(self) -> Iterator[Scanned]:
        return iter(())

    def complete(self, scanned: Scanned, positions: Sequence[int]) -> None:
        """Take no notice."""

    def open(self, scanned: Scanned, positions: Sequence[int]) -> Iterator[tuple[int, int]]:
        return iter(())

    def fail(self, scanned: Scanned, position: int, error: OSError) -> None:
        raise error

    def facts(self) -> SourceFacts:
        return SourceFacts(roots=(), hostname="", users={}, groups={})


class Never(Aside):
    """Puts nothing aside."""

    def take(self, scanned: Scanned, position: int, fd: int) -> None:
        """Return nothing."""


class Stored:
    """Takes the chunks of a feeder at once, and gives contents back.

    Args:
        folder: Where files are made.
        params: How large files are cut.
        rule: Where bundles end.
        aside: Large files are read aside, one after the other when the scan has met them.
    """

    def __init__(
        self,
        folder: Path,
        params: ChunkerParams | None = None,
        rule: BundleRule | None = None,
        *,
        aside: bool = False,
    ) -> None:
        self.folder = folder
        self.cutter = Cutter(Chunker(bytes(32), params or ChunkerParams()))
        self.idle: list[Callable[[Cutter, Store], None]] = []
        self.chunks: dict[bytes, bytes] = {}
        self.lists: list[bytes] = []
        self.waits = 0
        self.feeder = Feeder(
            sink=self,
            chunker=Chunker(bytes(32), params or ChunkerParams()),
            buffers=Buffers(4, 2 << 20),
            rule=rule or BundleRule(),
            aside=Aside(self.idle.append) if aside else Never(self.idle.append),
        )
        self.feeder.enter(b"folder")

    def _keep(self, raw: bytes, ticket: Ticket) -> None:
        assert raw, "a chunk holds something"
        ticket.chunk_id = self._store(memoryview(raw))

    def _store(self, raw: memoryview) -> bytes:
        chunk_id = hashlib.sha256(raw).digest()
        self.chunks[chunk_id] = bytes(raw)
        return chunk_id

    def submit_data(self, raw: memoryview, ticket: Ticket, release: object) -> None:
        self._keep(bytes(raw), ticket)
        assert callable(release)
        release()

    def submit_meta(self, raw: bytes) -> Ticket:
        self.lists.append(raw)
        ticket = Ticket()
        self._keep(raw, ticket)
        return ticket

    def wait(self) -> None:
        self.waits += 1

    def scanned(self, contents: bytes, extra: Extra | None = None) -> tuple[Scanned, Path]:
        """Make a file, and the listing that says so."""
        path = self.folder / f"file-{len(list(self.folder.iterdir()))}"
        path.write_bytes(contents)
        rows = [0] * (INO + 1)
        rows[MODE], rows[SIZE] = 0o100644, len(contents)
        listing = Listing(b"folder", [os.fsencode(path.name)], columns_of(array("q", rows)))
        if extra is not None:
            listing.extras[0] = extra
        return Scanned(listing), path

    def read(self, scanned: Scanned, path: Path, store: Still | None = None) -> Pending:
        """Let the feeder read one file, and the worker what was put aside."""
        store = store or Still(path)
        fd = os.open(path, os.O_RDONLY)
        try:
            pending = self.feeder.read(store, scanned, 0, fd)
        finally:
            os.close(fd)
        self.catch_up(store)
        return pending

    def catch_up(self, store: Still) -> None:
        """Read what was put aside."""
        for read in self.idle:
            read(self.cutter, self._store)
        self.idle.clear()
        while (late := self.feeder.aside.next_read()) is not None:
            assert not late.pieces.is_settled
            try:
                self.feeder.finish_late(store, late)
            finally:
                self.feeder.aside.close(late)
            assert late.pieces.is_settled

    def contents(self, pending: Pending, length: int) -> bytes:
        """Return what a reader would get."""
        self.feeder.flush()
        if pending is None:
            return b""
        if isinstance(pending, Pieces):
            return b"".join(self._pieces(pending))
        assert isinstance(pending, tuple)
        ticket, start = pending
        assert isinstance(ticket, Ticket)
        assert isinstance(start, int)
        return self.chunks[ticket.chunk_id][start : start + length]

    def _pieces(self, pieces: Pieces) -> Iterator[bytes]:
        for ticket in pieces.lists:
            for extent in unpack_extents(self.chunks[ticket.chunk_id], what="list"):
                assert extent.length == len(self.chunks[extent.chunk_id])
                yield self.chunks[extent.chunk_id]
        for ticket, length in pieces.chunks:
            assert length == len(self.chunks[ticket.chunk_id])
            yield self.chunks[ticket.chunk_id]


@pytest.fixture(params=[False, True], ids=["at once", "aside"])
def stored(tmp_path: Path, request: pytest.FixtureRequest) -> Stored:
    return Stored(tmp_path, aside=request.param)


@pytest.mark.parametrize("size", [0, 1, 100_000, SMALL_BYTES - 1, SMALL_BYTES, 5 << 20])
def test_contents_come_back_whatever_their_size(stored: Stored, size: int) -> None:
    contents = os.urandom(size)
    scanned, path = stored.scanned(contents)

    pending = stored.read(scanned, path)

    assert contents == stored.contents(pending, size)
    assert isinstance(pending, Pieces) == (size >= SMALL_BYTES)


def test_small_files_share_a_bundle_and_large_ones_have_chunks_of_their_own(
    stored: Stored,
) -> None:
    made = [stored.scanned(os.urandom(1000)) for _ in range(20)]
    pending = [stored.read(*one) for one in made]
    large = stored.read(*stored.scanned(os.urandom(1 << 20)))

    stored.feeder.flush()

    assert isinstance(large, Pieces)
    assert 1 + len(large.chunks) == len(stored.chunks)
    assert all(b"" != stored.contents(one, 1000) for one in pending)
    assert 1 == len(stored.feeder.leave())


def test_a_bundle_ends_at_its_greatest_length(tmp_path: Path) -> None:
    stored = Stored(tmp_path, rule=BundleRule(min_bytes=2500, max_bytes=2500))
    for _ in range(10):
        stored.read(*stored.scanned(os.urandom(1000)))
    stored.feeder.flush()

    assert [2000] * 5 == [len(chunk) for chunk in stored.chunks.values()]


def test_empty_files_fill_no_bundle(stored: Stored) -> None:
    assert stored.read(*stored.scanned(b"")) is None
    stored.feeder.flush()

    assert {} == stored.chunks


@pytest.mark.parametrize("unit", [1000, 300_000])
def test_holes_are_not_read(stored: Stored, unit: int) -> None:
    first, second = os.urandom(unit), os.urandom(unit)
    contents = first + bytes(3 * unit) + second + bytes(unit)
    extra = Extra(segments=((0, unit), (4 * unit, unit)))
    scanned, path = stored.scanned(contents, extra)

    pending = stored.read(scanned, path)

    assert first + second == stored.contents(pending, 2 * unit)


@pytest.mark.parametrize("size", [1000, 600_000])
def test_a_file_that_has_changed_once_is_read_again(stored: Stored, size: int) -> None:
    contents = os.urandom(size)
    scanned, path = stored.scanned(contents)
    store = Still(path, [b"more"])

    pending = stored.read(scanned, path, store)

    assert contents + b"more" == stored.contents(pending, size + 4)
    assert [] == store.flagged


@pytest.mark.parametrize("size", [1000, 600_000])
def test_a_file_that_never_holds_still_is_stored_and_flagged(stored: Stored, size: int) -> None:
    scanned, path = stored.scanned(os.urandom(size))
    store = Still(path, [b"%d" % number for number in range(9)])

    pending = stored.read(scanned, path, store)

    length = scanned.listing.get(SIZE, 0)
    assert [0] == store.flagged
    assert 2 <= 9 - len(store.changes) <= 5
    assert size < length < path.stat().st_size
    assert path.read_bytes()[:length] == stored.contents(pending, length)


def test_a_file_that_shrinks_is_as_long_as_what_was_read(stored: Stored) -> None:
    scanned, path = stored.scanned(os.urandom(600_000))
    scanned.listing.set(SIZE, 0, 700_000)
    store = Still(path)

    pending = stored.read(scanned, path, store)

    assert [0] == store.flagged
    assert 600_000 == scanned.listing.get(SIZE, 0)
    assert path.read_bytes() == stored.contents(pending, 600_000)


def test_segments_of_a_file_that_shrinks_are_cut_to_what_was_read(stored: Stored) -> None:
    extra = Extra(segments=((0, 400), (600, 400), (2000, 50)))
    scanned, path = stored.scanned(os.urandom(800), extra)

    pending = stored.read(scanned, path)

    assert ((0, 400), (600, 200)) == scanned.listing.extras[0].segments
    assert 600 == len(stored.contents(pending, 600))


def test_many_chunks_of_one_file_are_named_in_lists(tmp_path: Path) -> None:
    stored = Stored(tmp_path, SMALL_CUTS)
    contents = os.urandom(4 << 20)
    scanned, path = stored.scanned(contents)

    pending = stored.read(scanned, path)

    assert isinstance(pending, Pieces)
    assert len(stored.chunks) > CHUNKS_PER_LIST
    assert len(pending.lists) == len(stored.lists) == stored.waits > 1
    assert [] == pending.chunks
    assert contents == stored.contents(pending, len(contents))


def test_a_file_that_cannot_be_read_gives_its_buffers_back(tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    scanned, path = stored.scanned(os.urandom(600_000))
    for _ in range(10):
        fd = os.open(path, os.O_WRONLY)
        with pytest.raises(OSError, match="Bad file descriptor"):
            stored.feeder.read(Still(path), scanned, 0, fd)
        os.close(fd)

    assert isinstance(stored.read(scanned, path), Pieces)


def test_a_file_that_is_put_aside_is_cut_as_one_that_is_read_at_once(tmp_path: Path) -> None:
    contents = os.urandom(20 << 20)
    cuts = []
    for aside in (False, True):
        stored = Stored(tmp_path, aside=aside)
        pending = stored.read(*stored.scanned(contents))
        assert isinstance(pending, Pieces)
        cuts.append([(ticket.chunk_id, length) for ticket, length in pending.chunks])

    assert cuts[0] == cuts[1]


def test_a_file_that_cannot_be_read_aside_says_so_to_the_scan(tmp_path: Path) -> None:
    stored = Stored(tmp_path, aside=True)
    scanned, path = stored.scanned(os.urandom(600_000))
    fd = os.open(path, os.O_WRONLY)
    stored.feeder.read(Still(path), scanned, 0, fd)
    os.close(fd)

    with pytest.raises(OSError, match="Bad file descriptor"):
        stored.catch_up(Still(path))


def test_a_file_that_grows_without_end_is_not_followed_by_a_worker(tmp_path: Path) -> None:
    stored = Stored(tmp_path, aside=True)
    scanned, path = stored.scanned(os.urandom(600_000))
    path.write_bytes(os.urandom(20 << 20))
    fd = os.open(path, os.O_RDONLY)
    stored.feeder.read(Still(path), scanned, 0, fd)
    os.close(fd)
    stored.idle[0](stored.cutter, lambda raw: bytes(raw[:32]))

    late = stored.feeder.aside.next_read()

    assert late is not None
    stored.feeder.aside.close(late)
    assert 600_000 < late.got < 4 << 20


def test_a_very_large_file_is_read_by_the_scan_for_all_workers(tmp_path: Path) -> None:
    stored = Stored(tmp_path, aside=True)
    scanned, path = stored.scanned(b"")
    os.truncate(path, LONGEST_BYTES + 1)
    scanned.listing.set(SIZE, 0, LONGEST_BYTES + 1)

    pending = stored.read(scanned, path)

    assert isinstance(pending, Pieces)
    assert pending.is_whole


def test_files_beyond_a_number_are_not_kept_open(tmp_path: Path) -> None:
    stored = Stored(tmp_path, aside=True)
    scanned, path = stored.scanned(os.urandom(600_000))
    with stored.feeder.aside, path.open("rb") as file:
        read = [stored.feeder.aside.take(scanned, 0, file.fileno()) for _ in range(200)]
        opened = len(os.listdir("/proc/self/fd"))

        assert 128 == sum(pieces is not None for pieces in read)

    assert opened - 128 == len(os.listdir("/proc/self/fd")) + 1
