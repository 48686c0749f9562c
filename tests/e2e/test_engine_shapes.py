"""Folders of particular shapes, from capture to restore."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.vaults import ALL_METADATA, Scene
from vaultd.core.clock import SystemClock
from vaultd.core.snapshot import Kind
from vaultd.core.units import TIB
from vaultd.pipeline.restore import RestoreRequest
from vaultd.pipeline.restore_plan import plan_restore
from vaultd.stores.files.destination import FilesDestination


def test_a_folder_of_empty_files_needs_no_data(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(3):
        scene.write(f"empty-{number}", b"")

    scene.back_up(Kind.FULL)
    scene.back_up(Kind.INCREMENTAL)

    scene.expect_whole()
    scene.expect_restorable()


class Later(SystemClock):
    """A clock that is an hour ahead: to it nothing has changed just now."""

    def now_ns(self) -> int:
        return super().now_ns() + 3600 * 10**9


def test_holes_are_no_data_and_need_no_room(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    image = scene.write("image", b"beginning")
    os.truncate(image, 15 * TIB)
    scene.machine.clock = Later()

    full, same = (scene.machine.back_up(scene.tree).snapshot for _ in range(2))

    assert (1, 0) == (full.counts.files_read, same.counts.files_read)
    assert 9 <= full.counts.data <= image.stat().st_blksize
    assert full.counts.data == same.counts.data
    target = tmp_path / "target"
    with scene.desk.reader(full) as reader:
        destination = FilesDestination(target, ALL_METADATA)
        plan = plan_restore(reader, RestoreRequest(destination=destination))
    assert full.counts.data == plan.data
    assert () == scene.desk.restore(full, target).problems
    restored = Path(f"{target}{image}")
    assert 15 * TIB == restored.stat().st_size
    assert restored.stat().st_blocks <= image.stat().st_blocks
    with restored.open("rb") as file:
        assert b"beginning" == file.read(9)
