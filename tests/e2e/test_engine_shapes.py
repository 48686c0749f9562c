"""Folders of particular shapes, from capture to restore."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.vaults import ALL_METADATA, Scene
from vaultd.core.snapshot import Kind
from vaultd.core.units import TIB
from vaultd.pipeline.restore import RestoreRequest, plan_restore
from vaultd.stores.files.destination import FilesDestination


def test_a_folder_of_empty_files_needs_no_data(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(3):
        scene.write(f"empty-{number}", b"")

    scene.back_up(Kind.FULL)
    scene.back_up(Kind.INCREMENTAL)

    scene.expect_whole()
    scene.expect_restorable()


def test_holes_are_no_data_and_need_no_room(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    image = scene.write("image", b"beginning")
    os.truncate(image, 15 * TIB)

    full = scene.back_up(Kind.FULL)
    same = scene.back_up(Kind.INCREMENTAL)

    block = image.stat().st_blksize
    assert 9 <= full.snapshot.counts.data <= block
    assert full.snapshot.counts.data == same.snapshot.counts.data
    with scene.desk.reader(full.snapshot) as reader:
        destination = FilesDestination(tmp_path / "target", ALL_METADATA)
        plan = plan_restore(reader, RestoreRequest(destination=destination))
    assert full.snapshot.counts.data == plan.data
    report = scene.desk.restore(full.snapshot, tmp_path / "target")
    assert () == report.problems
    restored = Path(f"{tmp_path / 'target'}{image}")
    assert 15 * TIB == restored.stat().st_size
    assert restored.stat().st_blocks <= image.stat().st_blocks
    with restored.open("rb") as file:
        assert b"beginning" == file.read(9)
