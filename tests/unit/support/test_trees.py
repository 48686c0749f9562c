"""File trees for tests: what is drawn can be made, and no difference goes unseen."""

from __future__ import annotations

import dataclasses
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from tests.support.trees import (
    ACL_ACCESS,
    Directory,
    File,
    HardLink,
    Marks,
    Piece,
    Special,
    Symlink,
    Tree,
    acl,
    build,
    differences,
    snapshot_of,
    trees,
)

EVERYTHING = Tree(
    top=Directory(
        entries=(
            (b"empty", File()),
            (b"sparse", File(pieces=(Piece(offset=1 << 20, length=4096),), size=3 << 20)),
            (b"big", File(pieces=(Piece(length=(2 << 20) + 1, seed=3),), size=(2 << 20) + 1)),
            (b"-odd\n\xff", File(pieces=(Piece(length=3),), size=3, marks=Marks(mode=0o4711))),
            (b"old", File(marks=Marks(mtime_ns=-1_000_000_001))),
            (b"dangling", Symlink(target=b"nowhere", marks=Marks(mtime_ns=4_102_444_800 * 10**9))),
            (b"fifo", Special(kind=stat.S_IFIFO)),
            (b"socket", Special(kind=stat.S_IFSOCK)),
            (
                b"inside",
                Directory(
                    entries=((b"x" * 255, Directory(marks=Marks(mode=0o1777))),),
                    marks=Marks(mode=0o700, mtime_ns=5, xattrs=((b"user.note", b"\0\xff"),)),
                ),
            ),
            (b"rights", File(marks=Marks(mode=0o670, xattrs=((ACL_ACCESS, acl(0o640, 1000, 7)),)))),
        ),
    ),
    links=(HardLink(which=1, where=1, name=b"twin"),),
)


def test_everything_asked_for_is_made_and_seen(tmp_path: Path) -> None:
    build(EVERYTHING, tmp_path)
    seen = snapshot_of(tmp_path)

    assert 0o4711 == seen[b"-odd\n\xff"].mode
    assert -1_000_000_001 == seen[b"old"].mtime_ns
    assert (b"nowhere", 4_102_444_800 * 10**9) == (
        seen[b"dangling"].target,
        seen[b"dangling"].mtime_ns,
    )
    assert (stat.S_IFIFO, stat.S_IFSOCK) == (seen[b"fifo"].kind, seen[b"socket"].kind)
    assert 0o1777 == seen[b"inside/" + b"x" * 255].mode
    assert (5, ((b"user.note", b"\0\xff"),)) == (seen[b"inside"].mtime_ns, seen[b"inside"].xattrs)
    assert ((ACL_ACCESS, acl(0o640, 1000, 7)),) == seen[b"rights"].xattrs


def test_names_of_one_file_are_seen_together(tmp_path: Path) -> None:
    build(EVERYTHING, tmp_path)
    seen = snapshot_of(tmp_path)

    assert (b"inside/twin", b"sparse") == seen[b"sparse"].names
    assert (b"inside/twin", b"sparse") == seen[b"inside/twin"].names
    assert () == seen[b"big"].names


def test_holes_are_seen(tmp_path: Path) -> None:
    build(EVERYTHING, tmp_path)
    seen = snapshot_of(tmp_path)

    assert ((1 << 20, 4096),) == seen[b"sparse"].segments
    assert ((0, (2 << 20) + 1),) == seen[b"big"].segments
    assert () == seen[b"empty"].segments


def test_a_file_without_data_is_one_hole(tmp_path: Path) -> None:
    build(Tree(top=Directory(entries=((b"hole", File(size=70_000)),))), tmp_path)

    assert ((), 70_000) == (
        snapshot_of(tmp_path)[b"hole"].segments,
        snapshot_of(tmp_path)[b"hole"].size,
    )


@settings(max_examples=60)
@given(tree=trees())
def test_the_same_tree_made_twice_is_the_same(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        build(tree, folder + "/one")
        build(tree, folder + "/two")

        assert [] == differences(snapshot_of(folder + "/one"), snapshot_of(folder + "/two"))
        assert os.lstat(folder + "/one").st_mtime_ns == os.lstat(folder + "/two").st_mtime_ns


@pytest.mark.parametrize("field", ["mode", "uid", "sha256", "segments", "xattrs", "mtime_ns"])
def test_each_field_that_differs_is_named(tmp_path: Path, field: str) -> None:
    build(EVERYTHING, tmp_path)
    seen = snapshot_of(tmp_path)
    change: dict[str, Any] = {field: "something else"}
    other = {**seen, b"big": dataclasses.replace(seen[b"big"], **change)}

    (line,) = differences(seen, other)

    assert line.startswith(f"b'big': {field} is 'something else', expected ")
    assert [] == differences(seen, other, ignore={field})


def test_missing_and_additional_entries_are_named(tmp_path: Path) -> None:
    build(EVERYTHING, tmp_path)
    seen = snapshot_of(tmp_path)
    tmp_path.joinpath("fifo").unlink()
    tmp_path.joinpath("new").touch()

    assert ["b'fifo': missing", "b'new': not expected"] == differences(seen, snapshot_of(tmp_path))


def test_contents_that_changed_under_the_same_time_are_seen(tmp_path: Path) -> None:
    build(EVERYTHING, tmp_path)
    seen = snapshot_of(tmp_path)
    big = tmp_path / "big"
    times = (big.stat().st_atime_ns, big.stat().st_mtime_ns)
    with big.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"!")
    os.utime(big, ns=times)

    (line,) = differences(seen, snapshot_of(tmp_path))

    assert line.startswith("b'big': sha256 is ")
