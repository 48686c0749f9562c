"""Plans and rules of a restore: what it would do, what it refuses, what it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.trees import differences, snapshot_of
from tests.support.vaults import ALL_METADATA, Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.compression import Decompressor
from vaultd.core.clock import SystemClock
from vaultd.core.errors import ConfigError, NoSpaceError, TargetNotEmptyError
from vaultd.core.events import Advanced, Event, Note, PhaseStarted, ProblemKind
from vaultd.core.snapshot import Kind
from vaultd.pipeline.browse import Piece
from vaultd.pipeline.distribute import OPEN_GROUPS, Distributor
from vaultd.pipeline.restore import MARKER, RestoreReport, RestoreRequest, execute_restore
from vaultd.pipeline.restore_plan import RestorePlan, plan_restore
from vaultd.pipeline.select import Selection
from vaultd.pipeline.workers import Crew
from vaultd.stores.files.destination import FilesDestination
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.vault.reader import SnapshotReader

ALWAYS = TargetOptions(overwrite=Overwrite.ALWAYS)
MIRROR = replace(ALWAYS, delete=True)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = Scene(tmp_path_factory.mktemp("scene"), MemoryBackend())
    scene.write("a/small", b"small")
    scene.write("a/large", os.urandom(1_500_000))
    scene.write("b/other", b"other")
    (scene.tree / "link").symlink_to("a/small")
    scene.back_up(Kind.FULL)
    return scene


@contextmanager
def opened(scene: Scene) -> Iterator[SnapshotReader]:
    with scene.new_desk().reader(scene.seen[0][0]) as reader:
        yield reader


def request_of(
    scene: Scene,
    target: Path,
    options: TargetOptions = ALL_METADATA,
    *,
    selection: Selection | None = None,
    verify: bool = False,
) -> RestoreRequest:
    below = Selection(subdir=bytes(scene.tree)[1:])
    return RestoreRequest(
        destination=FilesDestination(target, options), selection=selection or below, verify=verify
    )


def restore(scene: Scene, request: RestoreRequest, events: list[Event]) -> RestoreReport:
    with opened(scene) as reader:
        return execute_restore(reader, request, SystemClock(), events.append)


def plan(scene: Scene, request: RestoreRequest) -> RestorePlan:
    with opened(scene) as reader:
        return plan_restore(reader, request)


def is_same(scene: Scene, target: Path) -> bool:
    return [] == differences(snapshot_of(scene.tree), snapshot_of(target))


# Plans


def test_a_plan_for_an_empty_place_creates_everything(scene: Scene, tmp_path: Path) -> None:
    target = tmp_path / "not" / "there"

    found = plan(scene, request_of(scene, target))

    assert (3, 2, 1) == (found.files, found.directories, found.others)
    assert (6, 0, 0, 0, 0) == (
        found.create,
        found.replace,
        found.keep,
        found.blocked,
        found.remove,
    )
    assert 1_500_010 == found.data
    assert found.chunks >= 2
    assert found.free > 0  # of the folder above it that is there
    assert not target.parent.exists()


def test_a_plan_says_what_would_be_kept_replaced_and_removed(scene: Scene, tmp_path: Path) -> None:
    restore(scene, request_of(scene, tmp_path / "target"), [])
    target = tmp_path / "target"
    (target / "b/other").write_bytes(b"changed")
    (target / "a/new").write_bytes(b"new")

    changed = plan(
        scene, request_of(scene, target, replace(ALWAYS, overwrite=Overwrite.IF_CHANGED))
    )
    never = plan(scene, request_of(scene, target, replace(ALWAYS, overwrite=Overwrite.NEVER)))
    mirror = plan(scene, request_of(scene, target, MIRROR))

    assert (0, 1) == (changed.create, changed.replace - changed.others)
    assert 5 == changed.data
    assert 0 == never.create + never.replace
    assert (1, 0) == (mirror.remove, changed.remove)


def test_a_plan_is_what_happens(scene: Scene, tmp_path: Path) -> None:
    request = request_of(scene, tmp_path / "target")
    found = plan(scene, request)

    report = restore(scene, request, [])

    assert found.data == report.data
    assert is_same(scene, tmp_path / "target")


# Rules


def test_deleting_needs_a_rule_for_what_is_there(scene: Scene, tmp_path: Path) -> None:
    request = request_of(scene, tmp_path, TargetOptions(delete=True))

    with pytest.raises(ConfigError, match="needs a rule") as caught:
        restore(scene, request, [])

    assert "--overwrite" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="needs a rule"):
        plan(scene, request)


@pytest.mark.parametrize("selection", [Selection(include=("a",)), Selection(exclude=("a",))])
def test_deleting_and_selecting_exclude_each_other(
    scene: Scene, tmp_path: Path, selection: Selection
) -> None:
    with pytest.raises(ConfigError, match="cannot be combined"):
        restore(scene, request_of(scene, tmp_path, MIRROR, selection=selection), [])


def test_a_mirror_has_what_the_snapshot_has_and_nothing_else(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/new").write_bytes(b"new")
    (tmp_path / "old" / "deep").mkdir(parents=True)

    report = restore(scene, request_of(scene, tmp_path, MIRROR), [])

    assert () == report.problems
    assert is_same(scene, tmp_path)


def test_a_place_that_holds_something_is_left_alone(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")

    with pytest.raises(TargetNotEmptyError):
        restore(scene, request_of(scene, tmp_path), [])

    assert ["mine"] == os.listdir(tmp_path)


def test_a_place_of_another_interrupted_restore_is_left_alone(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("0123456789abcdef of another snapshot")

    with pytest.raises(TargetNotEmptyError, match="01234567"):
        restore(scene, request_of(scene, tmp_path), [])


def test_a_whole_snapshot_needs_its_room(scene: Scene, tmp_path: Path) -> None:
    with opened(scene) as reader:
        counts = replace(reader.snapshot.counts, data=1 << 60)
        reader.snapshot = replace(reader.snapshot, counts=counts)
        request = request_of(scene, tmp_path / "target", selection=Selection())
        with pytest.raises(NoSpaceError, match="free, the snapshot holds") as caught:
            execute_restore(reader, request, SystemClock(), lambda _: None)

    assert caught.value.hint
    assert not (tmp_path / "target").exists()


# What it says


def test_progress_and_phases_are_told(scene: Scene, tmp_path: Path) -> None:
    events: list[Event] = []

    report = restore(scene, request_of(scene, tmp_path, verify=True), events)

    assert ["restore", "verify"] == [one.name for one in events if isinstance(one, PhaseStarted)]
    last = [one for one in events if isinstance(one, Advanced)][-1]
    assert report.data == last.data
    assert (True, False, ()) == (report.verified, report.resumed, report.problems)
    assert not (tmp_path / MARKER).exists()


def test_an_incomplete_snapshot_is_told_of_and_deletes_nothing(
    scene: Scene, tmp_path: Path
) -> None:
    events: list[Event] = []
    with opened(scene) as reader:
        counts = replace(reader.snapshot.counts, problems=2)
        reader.snapshot = replace(reader.snapshot, counts=counts)
        execute_restore(
            reader, request_of(scene, tmp_path / "target"), SystemClock(), events.append
        )
        with pytest.raises(ConfigError, match="incomplete"):
            execute_restore(
                reader, request_of(scene, tmp_path, MIRROR), SystemClock(), events.append
            )

    notes = [one.text for one in events if isinstance(one, Note)]
    assert any("2 entries could not be captured" in note for note in notes)


class Meddling(list[Event]):
    """Changes a restored file between restoring and verifying."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def append(self, event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.name == "verify":
            self.path.write_bytes(b"wrong")
        super().append(event)


def test_verifying_finds_what_is_not_as_it_should_be(scene: Scene, tmp_path: Path) -> None:
    events = Meddling(tmp_path / "b/other")

    report = restore(scene, request_of(scene, tmp_path, verify=True), events)

    assert [b"b/other"] == sorted({problem.path for problem in report.problems})


# Fetching


class Collected:
    """A file that only counts."""

    def __init__(self) -> None:
        self.pieces: dict[int, bytes] = {}
        self.reasons: list[str] = []

    def write(self, offset: int, piece: bytes | bytearray | memoryview) -> None:
        self.pieces[offset] = bytes(piece)

    def abandon(self, kind: ProblemKind, reason: str) -> None:
        self.reasons.append(reason)


def test_a_chunk_is_fetched_once_for_all_files_near_each_other(scene: Scene) -> None:
    with opened(scene) as reader, Crew("test", 2, 2, Decompressor) as crew:
        ids = chunk_ids(reader)
        fetched: list[bytes] = []
        read = reader.read_chunk

        def counted(chunk_id: bytes, kind: int, decompressor: Decompressor) -> object:
            fetched.append(chunk_id)
            return read(chunk_id, kind, decompressor)

        reader.read_chunk = counted  # type: ignore[method-assign, assignment]  # counts
        distributor = Distributor(reader, crew)
        files = [Collected() for _ in range(100)]
        for at, file in enumerate(files):
            distributor.add(file, [Piece(ids[0], at % 5, 0, 1)])
        distributor.finish()

    assert ids[:1] == fetched
    assert (100, 100) == (distributor.written, distributor.files)
    assert all(1 == len(file.pieces[0]) for file in files)


def chunk_ids(reader: SnapshotReader) -> list[bytes]:
    return [
        extent.chunk_id
        for block in reader.blocks()
        for content in block.contents
        for extent in reader.extents(content, Decompressor())
    ]


def test_not_too_many_chunks_wait_for_more_files(scene: Scene) -> None:
    unknown = [bytes([number]) * 32 for number in range(OPEN_GROUPS * 2)]
    file = Collected()
    with opened(scene) as reader, Crew("test", 1, 2, Decompressor) as crew:
        distributor = Distributor(reader, crew)
        for chunk_id in unknown:
            distributor.add(file, [Piece(chunk_id, 0, 0, 1)])
        crew.drain()
        assert OPEN_GROUPS == len(file.reasons)
        distributor.finish()

    assert len(unknown) == len(file.reasons)
    assert all("no index names a pack" in reason for reason in file.reasons)
