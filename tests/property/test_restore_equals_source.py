"""What was captured comes back: any tree, changed in any way, from any kind of snapshot."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.s3 import bucket_of
from tests.support.seaweed import Seaweed
from tests.support.trees import Tree, build, names, snapshot_of, trees
from tests.support.vaults import Scene
from vaultd.backends.base import Backend
from vaultd.core.snapshot import Kind

NORMAL = settings(max_examples=300)
NIGHTLY = settings(
    max_examples=2000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
FEW = settings(max_examples=12)


class How(StrEnum):
    """What happens to one entry between two snapshots."""

    APPEND = "append"
    TRUNCATE = "truncate"
    OVERWRITE = "overwrite"
    OVERWRITE_SECRETLY = "overwrite, same size and modification time"
    PUNCH = "make a hole"
    CHMOD = "chmod"
    TOUCH = "touch"
    TOUCH_BACK = "touch, to a time long ago"
    XATTR = "set an attribute"
    REMOVE = "remove"
    RENAME = "rename"
    BECOME_DIRECTORY = "become a directory"
    BECOME_FILE = "become a file"
    BECOME_LINK = "become a symbolic link"
    ADD_FILE = "add a file beside it"
    ADD_LINK = "add a hard link beside it"


@dataclass(frozen=True)
class Change:
    """One change: of the ``which``-th entry, counted round and round."""

    how: How
    which: int
    name: bytes


def changes() -> st.SearchStrategy[list[Change]]:
    """Draw what happens to a tree between two snapshots."""
    one = st.builds(Change, st.sampled_from(How), st.integers(0, 40), names())
    return st.lists(one, max_size=6)


def apply(done: list[Change], top: Path) -> None:
    """Change a tree; what the system refuses does not happen."""
    for change in done:
        paths = sorted(snapshot_of(top))
        path = os.fsencode(top) + (b"/" + paths[change.which % len(paths)] if paths else b"/new")
        beside = os.path.dirname(path) + b"/" + change.name
        with suppress(OSError):
            _apply(change, path, beside)
    if not os.listdir(top):
        # A root that has lost everything is suspicious: see the tests of that.
        _write(os.fsencode(top) + b"/left", b"")


def _apply(change: Change, path: bytes, beside: bytes) -> None:
    mode = os.lstat(path).st_mode if os.path.lexists(path) else 0
    if change.how in _OF_FILES:
        if stat.S_ISREG(mode):
            _OF_FILES[change.how](path)
    elif change.how in _OF_ALL:
        if mode and not (stat.S_ISLNK(mode) and change.how in {How.CHMOD, How.XATTR}):
            _OF_ALL[change.how](path)
    elif change.how is How.RENAME:
        os.rename(path, beside)
    elif change.how is How.ADD_LINK:
        os.link(path, beside, follow_symlinks=False)
    else:
        _write(beside, b"new")


def _write(path: bytes, contents: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    os.write(fd, contents)
    os.close(fd)


def _overwrite(path: bytes) -> None:
    size = os.stat(path).st_size
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, os.urandom(min(9, size)), size // 2)
    os.ftruncate(fd, size)
    os.close(fd)


def _overwrite_secretly(path: bytes) -> None:
    before = os.stat(path)
    _overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _append(path: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"more" * 500)
    os.close(fd)


def _punch(path: bytes) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.ftruncate(fd, os.fstat(fd).st_size + (1 << 20))
    os.close(fd)


def _remove(path: bytes) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _become_directory(path: bytes) -> None:
    _remove(path)
    os.mkdir(path)
    _write(path + b"/inside", b"a directory now")


def _become_file(path: bytes) -> None:
    _remove(path)
    _write(path, b"a file now")


def _become_link(path: bytes) -> None:
    _remove(path)
    os.symlink(b"a/link/now", path)


_OF_FILES: dict[How, Callable[[bytes], None]] = {
    How.APPEND: _append,
    How.TRUNCATE: lambda path: os.truncate(path, os.stat(path).st_size // 2),
    How.OVERWRITE: _overwrite,
    How.OVERWRITE_SECRETLY: _overwrite_secretly,
    How.PUNCH: _punch,
}
_OF_ALL: dict[How, Callable[[bytes], None]] = {
    How.CHMOD: lambda path: os.chmod(path, 0o750),
    How.TOUCH: lambda path: os.utime(path, follow_symlinks=False),
    How.TOUCH_BACK: lambda path: os.utime(path, ns=(5, 12_345), follow_symlinks=False),
    How.XATTR: lambda path: os.setxattr(path, b"user.new", b"value", follow_symlinks=False),
    How.REMOVE: _remove,
    How.BECOME_DIRECTORY: _become_directory,
    How.BECOME_FILE: _become_file,
    How.BECOME_LINK: _become_link,
}


def play(tree: Tree, first: list[Change], second: list[Change], backend: Backend | None) -> None:
    """Capture a tree and two states after it, and restore all three."""
    with tempfile.TemporaryDirectory() as name:
        scene = Scene(Path(name), backend)
        build(tree, scene.tree)
        scene.back_up(Kind.FULL)
        apply(first, scene.tree)
        scene.back_up(Kind.INCREMENTAL)
        apply(second, scene.tree)
        scene.back_up(Kind.DIFFERENTIAL)
        scene.expect_whole()
        scene.expect_restorable()


@pytest.mark.timeout(600)
@NORMAL
@given(tree=trees(), first=changes(), second=changes())
def test_every_tree_comes_back_as_it_was_at_each_snapshot(
    tree: Tree, first: list[Change], second: list[Change]
) -> None:
    play(tree, first, second, None)


@pytest.mark.nightly
@NIGHTLY
@given(tree=trees(max_leaves=25), first=changes(), second=changes())
def test_larger_trees_come_back_as_they_were_at_each_snapshot(
    tree: Tree, first: list[Change], second: list[Change]
) -> None:
    play(tree, first, second, None)


def test_trees_come_back_from_a_bucket(seaweed: Seaweed) -> None:
    @FEW
    @given(tree=trees(), first=changes(), second=changes())
    def each(tree: Tree, first: list[Change], second: list[Change]) -> None:
        with bucket_of(seaweed) as bucket:
            play(tree, first, second, bucket)

    each()
