"""Folders of particular shapes, from capture to restore."""

from __future__ import annotations

from pathlib import Path

from tests.support.vaults import Scene
from vaultd.core.snapshot import Kind


def test_a_folder_of_empty_files_needs_no_data(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(3):
        scene.write(f"empty-{number}", b"")

    scene.back_up(Kind.FULL)
    scene.back_up(Kind.INCREMENTAL)

    scene.expect_whole()
    scene.expect_restorable()
