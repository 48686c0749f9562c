"""Restores of a part of a snapshot: what was asked for, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.vaults import Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.pipeline.restore import MARKER


def names_in(folder: Path) -> list[str]:
    """Return everything in a folder, as paths below it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_an_include_makes_no_directory_that_nobody_asked_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    for name in ("a/one", "b/two", "b/inner/three", "c/inner/deep/four"):
        scene.write(name, b"contents")
    report = scene.back_up()
    target = tmp_path / "target"

    scene.new_desk().restore(report.snapshot, target, include=("three",))

    made = target / scene.tree.relative_to("/")
    assert ["b", "b/inner", "b/inner/three"] == names_in(made)


def test_a_directory_is_not_taken_for_one_whose_name_begins_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    folders = ("a", "a-b", "a.b", "a/b", "a b", "a/b-c")
    for name in folders:
        scene.write(f"{name}/file", name.encode())
    report = scene.back_up()

    for number, name in enumerate(folders):
        target = tmp_path / str(number)
        below = os.fsencode(scene.tree / name).strip(b"/")
        scene.new_desk().restore(report.snapshot, target, subdir=below)
        assert names_in(scene.tree / name) == names_in(target)
        assert name.encode() == (target / "file").read_bytes()


def test_an_empty_directory_can_be_asked_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    (scene.tree / "empty").mkdir()
    report = scene.back_up()
    target = tmp_path / "target"
    below = os.fsencode(scene.tree / "empty").strip(b"/")

    restored = scene.new_desk().restore(report.snapshot, target, subdir=below)

    assert () == restored.problems
    assert [] == names_in(target)


def test_the_mark_of_a_restore_overwrites_nothing_that_a_link_leads_to(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("file", b"contents")
    report = scene.back_up()
    precious = tmp_path / "precious"
    precious.write_bytes(b"untouched")
    target = tmp_path / "target"
    target.mkdir()
    (target / MARKER).symlink_to(precious)

    restored = scene.new_desk().restore(report.snapshot, target)

    assert () == restored.problems
    assert b"untouched" == precious.read_bytes()
    assert not (target / MARKER).is_symlink()
