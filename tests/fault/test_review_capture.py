"""Stores that change or cannot be read while they are captured, and what a capture holds then."""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.trees import differences, snapshot_of
from tests.support.vaults import CAPTURE, STORE, STORE_ID, Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.chunking.bundle import BundleRule
from vaultd.chunking.gear import Chunker, ChunkerParams
from vaultd.core.clock import SystemClock
from vaultd.core.events import Observer, ProblemKind, ignore
from vaultd.core.snapshot import Kind
from vaultd.core.tree import Listing
from vaultd.pipeline.aside import Aside
from vaultd.pipeline.backup import BackupReport, BackupRequest, back_up
from vaultd.pipeline.cutting import Stream
from vaultd.pipeline.feeder import Feeder
from vaultd.pipeline.tree_writer import PendingBlock, Pieces, Ticket, TreeWriter
from vaultd.pipeline.workers import Buffers
from vaultd.stores.base import Scanned
from vaultd.stores.files.capture import FilesCapture

MIB = 1 << 20


class Later(SystemClock):
    """An hour ahead: files written just now are old enough to be believed unchanged."""

    def now_ns(self) -> int:
        """Return the time in an hour."""
        return super().now_ns() + 3600 * 10**9


class Interfered(FilesCapture):
    """A capture during which something happens once the directory ``a`` has been stored."""

    happens: Callable[[], object]

    def scan(self) -> Iterator[Scanned]:
        """Yield every directory part."""
        for scanned in super().scan():
            yield scanned
            if scanned.listing.path.endswith(b"/a"):
                self.happens()


def back_up_while(scene: Scene, happens: Callable[[], object]) -> BackupReport:
    """Back up a scene's folder while something happens."""
    capture = Interfered([os.fsencode(scene.tree)], CAPTURE, SystemClock(), ignore)
    capture.happens = happens
    request = BackupRequest(store=STORE, store_id=STORE_ID)
    with scene.machine.opened() as host:
        return back_up(host, request, lambda _: capture)


def test_a_further_name_of_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    first = scene.write("a/file", b"as it was")
    second = scene.tree / "b" / "file"
    second.parent.mkdir()
    os.link(first, second)

    report = back_up_while(scene, lambda: first.write_bytes(b"otherwise"))

    target = tmp_path / "target"
    below = os.fsencode(second.parent).strip(b"/")
    restored = scene.new_desk().restore(report.snapshot, target, subdir=below)
    assert () == restored.problems
    assert b"otherwise" == (target / "file").read_bytes()


class Renumbered(FilesCapture):
    """A capture in which ``a`` and ``b`` lie on two devices, whose numbers a reboot may swap."""

    numbers: tuple[int, int]

    def scan(self) -> Iterator[Scanned]:
        """Yield every directory part; all files have the same inode number."""
        for scanned in super().scan():
            number = self.numbers[scanned.listing.path.endswith(b"/b")]
            for extra in scanned.listing.extras.values():
                extra.link_group = number.to_bytes(8, "little") + bytes(8)
            yield scanned


def test_files_of_two_devices_whose_numbers_were_swapped_are_not_linked(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    scene.machine.clock = Later()
    for name in ("a", "b"):
        os.link(scene.write(f"{name}/file", name.encode()), scene.tree / name / "link")
    request = BackupRequest(store=STORE, store_id=STORE_ID)

    def back_up_with(*numbers: int) -> BackupReport:
        paths = [os.fsencode(scene.tree)]
        capture = Renumbered(paths, CAPTURE, scene.machine.clock, ignore)
        capture.numbers = numbers[0], numbers[1]
        with scene.machine.opened() as host:
            return back_up(host, request, lambda _: capture)

    back_up_with(1, 2)
    (scene.tree / "b" / "file").write_bytes(b"changed")

    report = back_up_with(2, 1)

    assert Kind.INCREMENTAL == report.snapshot.kind
    _, found = scene.restore(report.snapshot)
    assert [] == differences(snapshot_of(scene.box), found)


@pytest.mark.parametrize("kind", [Kind.INCREMENTAL, Kind.FULL])
def test_a_root_that_has_lost_everything_is_reported(tmp_path: Path, kind: Kind) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    other = tmp_path / "other"
    other.mkdir()
    scene.write("file", b"contents")
    (scene.tree / "empty").mkdir()
    first = scene.machine.back_up(scene.tree, other)
    scene.tree.rename(scene.box / "elsewhere")
    scene.tree.mkdir()  # as a mount point is when nothing is mounted there

    report = scene.machine.back_up(scene.tree, other, kind=kind)

    assert () == first.problems
    assert [(ProblemKind.VANISHED, os.fsencode(scene.tree))] == [
        (problem.kind, problem.path) for problem in report.problems
    ]
    assert 1 == report.snapshot.counts.problems


class Shrinking(FilesCapture):
    """A capture of a sparse file that has less data each time it was read."""

    path: Path
    left = 5

    def settle(self, scanned: Scanned, position: int, fd: int) -> bool:
        """Tell whether the file is still as it was: never."""
        self.left -= 1
        make_sparse(self.path, self.left * MIB)
        return super().settle(scanned, position, fd)


def make_sparse(path: Path, length: int) -> None:
    """Write a file of 8 MiB with that many bytes of data at its end."""
    with path.open("wb") as stream:
        stream.truncate(8 * MIB)
        stream.seek(8 * MIB - length)
        stream.write(b"x" * length)


def test_a_sparse_file_that_never_holds_still_can_be_restored(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    path = scene.write("file", b"")
    make_sparse(path, 5 * MIB)
    request = BackupRequest(store=STORE, store_id=STORE_ID)
    with scene.machine.opened() as host:

        def captured(observer: Observer) -> FilesCapture:
            capture = Shrinking([os.fsencode(scene.tree)], CAPTURE, SystemClock(), observer)
            capture.path = path
            return capture

        report = back_up(host, request, captured)
    target = tmp_path / "target"

    restored = scene.new_desk().restore(
        report.snapshot, target, subdir=os.fsencode(scene.tree).strip(b"/")
    )

    assert [ProblemKind.CHANGED] == [problem.kind for problem in report.problems]
    assert () == restored.problems
    assert 8 * MIB == (target / "file").stat().st_size


class Restless(FilesCapture):
    """A capture of a large file to which something happens each time that it was read."""

    happens: list[Callable[[], object]]

    def settle(self, scanned: Scanned, position: int, fd: int) -> bool:
        """Tell whether the file is still as it was."""
        if self.happens:
            self.happens.pop(0)()
        return super().settle(scanned, position, fd)


def append_to(path: Path) -> None:
    """Let a file grow."""
    with path.open("ab") as stream:
        stream.write(b"and more")


@pytest.mark.parametrize("times", [1, 9])
@pytest.mark.parametrize("length", [MIB, 40 * MIB], ids=["aside", "by the scan"])
def test_a_large_file_that_changes_is_counted_as_it_was_stored(
    tmp_path: Path, times: int, length: int
) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    path = scene.write("file", b"x" * length)
    request = BackupRequest(store=STORE, store_id=STORE_ID)

    def captured(observer: Observer) -> FilesCapture:
        capture = Restless([os.fsencode(scene.tree)], CAPTURE, SystemClock(), observer)
        capture.happens = [partial(append_to, path)] * times
        return capture

    with scene.machine.opened() as host:
        report = back_up(host, request, captured)
    target = tmp_path / "target"
    restored = scene.new_desk().restore(
        report.snapshot, target, subdir=os.fsencode(scene.tree).strip(b"/")
    )

    is_still = times == 1
    assert is_still == (not report.problems)
    assert () == restored.problems
    size = (target / "file").stat().st_size
    assert size == report.snapshot.counts.data
    assert length < size <= path.stat().st_size
    assert is_still == (size == path.stat().st_size)


def test_a_large_file_that_cannot_be_read_is_told_and_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("broken", bytes(2 * MIB))
    scene.write("good", b"good")
    request = BackupRequest(store=STORE, store_id=STORE_ID)
    fill = Stream.fill

    def broken(stream: Stream, view: memoryview, filled: int) -> int:
        raise OSError(errno.EIO, "planned")

    monkeypatch.setattr(Stream, "fill", broken)
    with scene.machine.opened() as host:
        paths = [os.fsencode(scene.tree)]
        report = back_up(
            host, request, lambda observer: FilesCapture(paths, CAPTURE, SystemClock(), observer)
        )
    monkeypatch.setattr(Stream, "fill", fill)

    assert [b"/" + os.fsencode(scene.tree / "broken").lstrip(b"/")] == [
        problem.path for problem in report.problems
    ]
    assert (1, 4) == (report.snapshot.counts.files, report.snapshot.counts.data)


class Nowhere:
    """Takes no note of a chunk."""

    def submit_data(self, raw: memoryview, ticket: Ticket, release: object) -> None:
        """Take no note."""

    def submit_meta(self, raw: bytes) -> Ticket:
        return Ticket()

    def wait(self) -> None:
        """Wait for nothing."""


def refuse(scanned: Scanned, position: int, fd: int) -> None:
    """Put nothing aside."""


def test_large_files_that_cannot_be_read_do_not_use_up_the_buffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = ChunkerParams()
    feeder = Feeder(
        sink=Nowhere(),
        chunker=Chunker(bytes(32), params),
        buffers=Buffers(3, params.max_bytes),
        rule=BundleRule(),
        aside=Aside(lambda _: None),
    )
    monkeypatch.setattr(feeder.aside, "take", refuse)
    listing = Listing(b"", [b"large"], array("q", [0o100644, 0, 0, MIB, 0, 0, 1]))
    scanned = Scanned(listing, set())
    capture = FilesCapture([os.fsencode(tmp_path)], CAPTURE, SystemClock(), ignore)
    folder = os.open(tmp_path, os.O_RDONLY)  # reading it fails, as on a disk that is broken

    for _ in range(5):
        with pytest.raises(IsADirectoryError):
            feeder.read(capture, scanned, 0, folder)
    os.close(folder)


def test_blocks_that_wait_are_counted(tmp_path: Path) -> None:
    ticket = Ticket()
    with (tmp_path / "cache").open("wb") as cache:
        tree = TreeWriter(lambda _: Ticket(), cache)
        listing = Listing(b"", [b"file"], array("q", [0o100644, 0, 0, 1, 0, 0, 1]))
        tree.add(PendingBlock(listing, [(ticket, 0)], set(), set(), [ticket]))
        for _ in range(10):
            tree.add_same(b"a", bytes(1000))

        assert tree.held > 10_000
        assert tree.waits_for(ticket)
        assert not tree.waits_for(Ticket())

        ticket.chunk_id = bytes(32)
        tree.pump()

        assert 0 == tree.held
        assert not tree.waits_for(ticket)


def test_a_large_file_that_waits_is_not_taken_for_a_bundle(tmp_path: Path) -> None:
    ticket = Ticket()
    with (tmp_path / "cache").open("wb") as cache:
        tree = TreeWriter(lambda _: Ticket(), cache)
        listing = Listing(b"", [b"file"], array("q", [0o100644, 0, 0, MIB, 0, 0, 1]))
        pieces = Pieces(chunks=[(ticket, MIB)])
        tree.add(PendingBlock(listing, [pieces], set(), set(), []))

        assert tree.held > 0
        assert not tree.waits_for(ticket)
