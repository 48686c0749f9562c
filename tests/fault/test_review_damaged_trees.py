"""Restores of snapshots of whose tree a part cannot be read any more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.vaults import ALL_METADATA, Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.compression import Buffer, Decompressor
from vaultd.core.clock import SystemClock
from vaultd.core.errors import CorruptObjectError
from vaultd.core.events import ProblemKind, ignore
from vaultd.core.snapshot import Snapshot
from vaultd.pipeline.restore import RestoreReport, RestoreRequest, execute_restore
from vaultd.pipeline.select import Selection
from vaultd.stores.files.destination import FilesDestination
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.vault.reader import ReadContext, SnapshotReader

MIRROR = TargetOptions(overwrite=Overwrite.IF_CHANGED, delete=True)
_LONG = "n" * 120


class Damaged(SnapshotReader):
    """A snapshot of whose tree some chunks are damaged, by position."""

    chunks: tuple[int, ...] = ()

    def read_chunk(self, chunk_id: bytes, kind: int, decompressor: Decompressor) -> Buffer:
        """Return one chunk, unless it is damaged."""
        if chunk_id in {self.meta.tree[at].chunk_id for at in self.chunks}:
            raise CorruptObjectError("damaged as planned")
        return super().read_chunk(chunk_id, kind, decompressor)


def restore(
    scene: Scene,
    target: Path,
    options: TargetOptions,
    damaged: tuple[int, ...] = (),
    selection: Selection | None = None,
) -> RestoreReport:
    """Restore the only snapshot of a scene."""
    desk = scene.new_desk()
    desk.folder.mkdir()
    context = ReadContext(
        backend=desk.backend,
        trust=desk.trust,
        keys=desk.keys,
        folder=desk.folder,
        observer=ignore,
    )
    snapshot: Snapshot = scene.seen[0][0]
    request = RestoreRequest(
        destination=FilesDestination(target, options), selection=selection or Selection()
    )
    with Damaged(context, snapshot) as reader:
        assert len(reader.meta.tree) > 1
        reader.chunks = damaged
        return execute_restore(reader, request, SystemClock(), ignore)


def files_in(target: Path) -> int:
    """Return how many files lie in a folder."""
    return sum(len(names) for _, _, names in os.walk(target))


@pytest.fixture
def deep(tmp_path: Path) -> Scene:
    """A snapshot of 80 directories with 100 files each."""
    scene = Scene(tmp_path, MemoryBackend())
    for number in range(8000):
        scene.write(f"{number // 100:03}/{number:05}-{_LONG}", b"")
    scene.back_up()
    return scene


def test_what_other_parts_of_the_tree_list_is_restored(deep: Scene, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    restore(deep, whole, ALL_METADATA)
    missing = 0
    for chunk in (0, 1):
        target = tmp_path / str(chunk)
        report = restore(deep, target, ALL_METADATA, (chunk,))
        missing += 8000 - files_in(target)
        assert [ProblemKind.DAMAGED] == [problem.kind for problem in report.problems]

    assert 8000 == files_in(whole)
    assert 0 < missing < 8000


def test_a_selection_is_restored_from_the_parts_that_are_good(deep: Scene, tmp_path: Path) -> None:
    target = tmp_path / "target"

    report = restore(deep, target, ALL_METADATA, (0,), Selection(include=(f"07999-{_LONG}",)))

    assert 1 == files_in(target)
    assert [ProblemKind.DAMAGED] == [problem.kind for problem in report.problems]


def test_nothing_is_deleted_that_a_damaged_part_may_have_listed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    for number in range(9000):
        scene.write(f"{number:05}-{_LONG}", b"")
    scene.back_up()
    target = tmp_path / "target"
    restore(scene, target, ALL_METADATA)

    for chunk in range(2):
        report = restore(scene, target, MIRROR, (chunk,))
        assert [ProblemKind.DAMAGED] == [problem.kind for problem in report.problems]
        assert 9000 == files_in(target)
