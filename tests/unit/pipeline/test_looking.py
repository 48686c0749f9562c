"""Looking into snapshots: walking, matching, reading files, comparing, selecting."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.vaults import Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.entry import Entry
from vaultd.core.errors import ConfigError, CorruptObjectError
from vaultd.core.snapshot import Kind
from vaultd.core.tree import Extra
from vaultd.format.tree import Extent
from vaultd.pipeline.browse import (
    Change,
    Piece,
    Stored,
    differences,
    entries_of,
    is_below,
    matcher,
    pieces_of,
    read_file,
    walk,
)
from vaultd.pipeline.select import Selection, Selector
from vaultd.vault.reader import SnapshotReader


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A tree of a few folders, and the same tree after some changes."""
    scene = Scene(tmp_path_factory.mktemp("scene"), MemoryBackend())
    for name in ("etc/ssh/config", "etc/ssh/key", "etc/hosts", "home/a/notes.txt", "home/b/x.TXT"):
        scene.write(name, name.encode())
    scene.write("home/b/large", os.urandom(700_000))
    (scene.tree / "empty").mkdir()
    (scene.tree / "link").symlink_to("etc/hosts")
    scene.write("type", b"a file")
    scene.back_up(Kind.FULL)
    scene.write("etc/hosts", b"other contents")
    scene.write("home/a/new", b"new")
    (scene.tree / "etc/ssh/key").unlink()
    (scene.tree / "link").unlink()
    (scene.tree / "link").symlink_to("elsewhere")
    (scene.tree / "type").unlink()
    (scene.tree / "type").mkdir()
    (scene.tree / "home/a/notes.txt").chmod(0o600)
    scene.back_up(Kind.FULL)
    return scene


@pytest.fixture
def top(scene: Scene) -> bytes:
    """The path of the tree below the top of a snapshot."""
    return bytes(scene.tree)[1:]


@contextmanager
def opened(scene: Scene, at: int = 0) -> Iterator[SnapshotReader]:
    with scene.new_desk().reader(scene.seen[at][0]) as reader:
        yield reader


def paths(stored: list[Stored], top: bytes) -> list[str]:
    found = [one.entry.full_path for one in stored]
    return [os.path.relpath(path, top).decode() for path in found if path.startswith(top)]


def test_a_walk_goes_depth_first_and_by_name(scene: Scene, top: bytes) -> None:
    with opened(scene) as reader:
        found = paths(list(walk(reader)), top)

    assert [".", "empty", "etc", "home", "link", "type"] == [one for one in found if "/" not in one]
    assert found.index("etc") < found.index("etc/hosts") < found.index("etc/ssh/config")
    assert len(found) == 15


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("etc/ssh", ["etc/ssh", "etc/ssh/config", "etc/ssh/key"]),
        ("etc/hosts", ["etc/hosts"]),
        ("empty", ["empty"]),
        ("et", []),
        ("etc/host", []),
    ],
)
def test_a_walk_may_begin_at_any_entry(
    scene: Scene, top: bytes, below: str, expected: list[str]
) -> None:
    with opened(scene) as reader:
        found = list(walk(reader, top + b"/" + below.encode()))

    assert expected == paths(found, top)


def entry(path: str) -> Entry:
    folder, _, name = path.encode().rpartition(b"/")
    return Entry(folder, name, stat.S_IFREG, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        (("*.txt",), "home/a/notes.txt", True),
        (("*.txt",), "home/b/x.TXT", False),
        (("home/*/notes.txt",), "home/a/notes.txt", True),
        (("/home/a/notes.txt",), "home/a/notes.txt", True),
        (("home/",), "home", True),
        (("a/notes.txt",), "home/a/notes.txt", False),
        (("no", "[mn]otes.*"), "home/a/notes.txt", True),
        ((), "home/a/notes.txt", False),
        (("name\udce9",), "name\udce9", True),
    ],
)
def test_globs_match_names_or_with_a_slash_paths(
    patterns: tuple[str, ...], path: str, *, expected: bool
) -> None:
    folder, _, name = os.fsencode(path).rpartition(b"/")
    matches = matcher(patterns)

    assert expected == matches(Entry(folder, name, stat.S_IFREG, 0, 0, 0, 0))


def test_globs_may_ignore_case() -> None:
    assert matcher(("*.txt",), ignore_case=True)(entry("home/b/x.TXT"))


def test_what_is_below_is_told_by_whole_components() -> None:
    assert is_below(b"a/b", b"a")
    assert is_below(b"a", b"a")
    assert is_below(b"anything", b"")
    assert not is_below(b"ab", b"a")


def test_a_file_is_read_without_restoring_it(scene: Scene, top: bytes) -> None:
    with opened(scene) as reader:
        for name in ("home/b/large", "etc/hosts"):
            (stored,) = walk(reader, top + b"/" + name.encode())
            contents = b"".join(map(bytes, read_file(reader, stored)))
            assert stored.entry.size == len(contents)
            assert name == "home/b/large" or b"etc/hosts" == contents


def sparse(size: int, *segments: tuple[int, int]) -> Entry:
    extra = Extra(segments=segments)
    return Entry(b"", b"file", stat.S_IFREG, 0, 0, size, 0, extra)


A, B = b"a" * 32, b"b" * 32


def test_data_between_holes_is_taken_from_where_it_lies() -> None:
    stored = Stored(sparse(1000, (10, 5), (100, 7), (900, 3)), None)

    pieces = pieces_of(stored, [Extent(A, 4, 8), Extent(B, 0, 9)])

    assert [
        Piece(A, 4, 10, 5),
        Piece(A, 9, 100, 3),
        Piece(B, 0, 103, 4),
        Piece(B, 4, 900, 3),
    ] == pieces


def test_of_contents_that_are_longer_the_beginning_is_taken() -> None:
    stored = Stored(Entry(b"", b"file", stat.S_IFREG, 0, 0, 6, 0), None)

    assert [Piece(A, 0, 0, 4), Piece(B, 0, 4, 2)] == pieces_of(
        stored, [Extent(A, 0, 4), Extent(B, 0, 9)]
    )


def test_contents_that_are_shorter_are_damage() -> None:
    with pytest.raises(CorruptObjectError, match="/file: 4 bytes are stored, expected 5"):
        pieces_of(Stored(sparse(1000, (10, 5)), None), [Extent(A, 0, 4)])


def test_holes_are_read_as_zeros(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    path = scene.write("sparse", b"beginning")
    with path.open("r+b") as file:
        file.seek(3 << 20)
        file.write(b"end")
        file.truncate(5 << 20)
    scene.back_up(Kind.FULL)

    with opened(scene) as reader:
        (stored,) = walk(reader, bytes(path)[1:])
        assert path.read_bytes() == b"".join(map(bytes, read_file(reader, stored)))


def test_differences_say_what_has_become_of_each_entry(scene: Scene, top: bytes) -> None:
    with opened(scene, 0) as old, opened(scene, 1) as new:
        found = {
            os.path.relpath(one.path, top).decode(): one.change
            for one in differences(old, new, top)
            if not (one.change is Change.METADATA and stat.S_ISDIR(getattr(one.after, "mode", 0)))
        }

    assert {
        "etc/hosts": Change.CONTENT,
        "etc/ssh/key": Change.REMOVED,
        "home/a/new": Change.ADDED,
        "home/a/notes.txt": Change.METADATA,
        "link": Change.CONTENT,
        "type": Change.TYPE,
    } == found


def test_a_snapshot_does_not_differ_from_itself(scene: Scene) -> None:
    with opened(scene) as old, opened(scene) as new:
        assert [] == list(differences(old, new))


def test_small_files_in_other_bundles_do_not_differ(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    for number in range(3):
        scene.write(f"{number}", b"%d" % number)
    scene.back_up(Kind.FULL)
    scene.write("0", b"longer than before")
    scene.back_up(Kind.FULL)

    with opened(scene, 0) as old, opened(scene, 1) as new:
        found = [one.path[-6:] for one in differences(old, new, bytes(scene.tree)[1:])]

    assert [b"tree/0"] == found


# Selecting


def selected(scene: Scene, selection: Selection) -> list[str]:
    """Return what is selected, as paths in the target, folders with a slash."""
    with opened(scene) as reader:
        parts = list(Selector(reader, selection).parts())
    return [
        stored.entry.full_path.decode() + ("/" if stat.S_ISDIR(stored.entry.mode) else "")
        for part in parts
        for stored in part.entries
    ]


def test_a_folder_s_contents_land_in_the_target(scene: Scene, top: bytes) -> None:
    found = selected(scene, Selection(subdir=top + b"/etc"))

    assert ["hosts", "ssh/", "ssh/config", "ssh/key"] == found


def test_what_matches_comes_with_the_folders_on_the_way(scene: Scene, top: bytes) -> None:
    found = selected(scene, Selection(subdir=top, include=("*.txt", "ssh")))

    assert [
        "etc/",
        "home/",
        "etc/ssh/",
        "etc/ssh/config",
        "etc/ssh/key",
        "home/a/",
        "home/a/notes.txt",
    ] == found


def test_what_is_excluded_is_left_out_with_what_lies_below(scene: Scene, top: bytes) -> None:
    found = selected(scene, Selection(subdir=top, exclude=("ssh", "home", "*.TXT", "l*")))

    assert ["empty/", "etc/", "type", "etc/hosts"] == found


def test_excluding_wins_over_including(scene: Scene, top: bytes) -> None:
    found = selected(scene, Selection(subdir=top, include=("ssh",), exclude=("key",)))

    assert ["etc/", "etc/ssh/", "etc/ssh/config"] == found


@pytest.mark.parametrize("selection", [Selection(include=("none",)), Selection(exclude=("*",))])
def test_a_pattern_that_selects_nothing_is_told(scene: Scene, selection: Selection) -> None:
    with pytest.raises(ConfigError, match="matches what was asked for"):
        selected(scene, selection)


def test_an_empty_folder_may_be_asked_for(scene: Scene, top: bytes) -> None:
    assert [] == selected(scene, Selection(subdir=top + b"/empty"))


def test_everything_is_everything(scene: Scene) -> None:
    with opened(scene) as reader:
        blocks = [stored for block in reader.blocks() for stored in entries_of(block)]
    found = selected(scene, Selection())

    assert len(blocks) == len(found)
    assert Selection().is_everything
    assert not Selection(exclude=("x",)).is_everything
