"""Putting entries back: contents, metadata, what is there already, links, ends."""

from __future__ import annotations

import os
import random
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.trees import ACL_ACCESS, ACL_DEFAULT, acl, differences, snapshot_of
from tests.unit.stores.taking import Heard, open_descriptors, ordinary_user, put, take
from tests.unit.stores.test_files_capture import set_flags
from vaultd.core.entry import Entry
from vaultd.core.errors import NoSpaceError, TargetError, TargetNotEmptyError
from vaultd.core.events import ProblemKind
from vaultd.core.tree import Extra
from vaultd.stores.files.attributes import FLAG_APPEND, FLAG_IMMUTABLE, FLAG_NODUMP
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.stores.files.pending import PendingFile
from vaultd.stores.files.target import FilesTarget

T = 1_600_000_000_123_456_789
ROOT = os.geteuid() == 0
ME, MY_GROUP = os.geteuid(), os.getegid()


def file(name: str, size: int = 0, mode: int = 0o644, **more: object) -> Entry:
    """A regular file of mine; ``path`` and the fields of `Extra` by keyword."""
    path = str(more.pop("path", "")).encode()
    mtime_ns = int(str(more.pop("mtime_ns", T)))
    uid, gid = int(str(more.pop("uid", ME))), int(str(more.pop("gid", MY_GROUP)))
    extra = Extra(**more)  # type: ignore[arg-type]  # by name from the tests below
    return Entry(path, os.fsencode(name), stat.S_IFREG | mode, uid, gid, size, mtime_ns, extra)


def other(kind: int, name: str, mode: int = 0o755, path: str = "", **more: object) -> Entry:
    """Anything but a regular file."""
    entry = file(name, 0, mode, path=path, **more)
    entry.mode = kind | mode
    return entry


def folder(name: str, mode: int = 0o755, path: str = "", **more: object) -> Entry:
    return other(stat.S_IFDIR, name, mode, path, **more)


def write(target: FilesTarget, entry: Entry, contents: bytes = b"") -> PendingFile | None:
    """Write a whole file into the directory that its entry names."""
    entry.size = len(contents) or entry.size
    place = target.folder(entry.path)
    assert place is not None
    pending = place.begin_file(entry, 1 if contents else 0)
    if pending is not None:
        pending.write(0, contents)
    return pending


def opened(
    root: Path, overwrite: Overwrite | None = None, heard: Heard | None = None, **more: object
) -> FilesTarget:
    options = TargetOptions(overwrite=overwrite, **more)  # type: ignore[arg-type]
    return FilesTarget(root, options, heard or Heard())


# --- the target itself -------------------------------------------------------------------------


def test_a_target_is_made_with_what_leads_to_it_and_may_be_empty(tmp_path: Path) -> None:
    with opened(tmp_path / "a/b/c") as target:
        write(target, file("f"), b"x")
        assert target.finish().files == 1
    assert b"x" == (tmp_path / "a/b/c/f").read_bytes()


def test_a_target_that_holds_something_is_refused_unless_something_was_said(
    tmp_path: Path,
) -> None:
    (tmp_path / ".vaultd-part-restore").touch()  # left by an interrupted restore
    opened(tmp_path).__exit__(None, None, None)
    (tmp_path / "x").touch()
    before = open_descriptors()
    with pytest.raises(TargetNotEmptyError):
        opened(tmp_path)
    assert before == open_descriptors()
    with opened(tmp_path, Overwrite.NEVER):
        pass
    with pytest.raises(TargetError):
        opened(tmp_path / "x")


def test_the_room_that_is_left_is_told(tmp_path: Path) -> None:
    with opened(tmp_path / "t") as target:
        room = target.room()
    assert room.free_bytes > 0
    assert room.free_files == -1 or room.free_files > 0


def test_leaving_without_finishing_removes_unfinished_files_and_closes_everything(
    tmp_path: Path,
) -> None:
    before = open_descriptors()
    with opened(tmp_path) as target:
        place = target.folder(b"")
        assert place is not None
        place.begin_file(file("never-written", 10))
        half = place.begin_file(file("half", 10), 2)
        assert half is not None
        half.write(0, b"12345")
        assert [".vaultd-part-=half"] == os.listdir(tmp_path)
    assert [] == os.listdir(tmp_path)
    half.write(5, b"12345")
    assert [] == os.listdir(tmp_path)
    assert before == open_descriptors()


# --- contents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4])
def test_a_file_of_many_pieces_is_finished_once_by_whoever_writes_the_last(
    tmp_path: Path, workers: int
) -> None:
    contents = random.Random(workers).randbytes(1_000_001)
    pieces = [(at, contents[at : at + 10_007]) for at in range(0, len(contents), 10_007)]
    random.Random(1).shuffle(pieces)
    with opened(tmp_path) as target, ThreadPoolExecutor(workers) as pool:
        place = target.folder(b"")
        assert place is not None
        pending = place.begin_file(file("f", len(contents)), len(pieces))
        assert pending is not None
        list(pool.map(lambda piece: pending.write(*piece), pieces[1:]))
        assert [b".vaultd-part-=f"] == os.listdir(os.fsencode(tmp_path))
        pending.write(pieces[0][0], memoryview(pieces[0][1]))
        assert [b"f"] == os.listdir(os.fsencode(tmp_path))
        assert 1 == target.finish().files
    assert contents == (tmp_path / "f").read_bytes()
    assert T == (tmp_path / "f").stat().st_mtime_ns


def test_many_files_in_many_directories_may_be_pending_with_few_descriptors(
    tmp_path: Path,
) -> None:
    before = open_descriptors()
    pendings = []
    with opened(tmp_path) as target:
        for number in range(600):
            name = f"{number:03}"
            top = target.folder(b"")
            assert top is not None
            top.add(folder(name, 0o700 if number % 2 else 0o500))
            place = target.folder(name.encode())
            assert place is not None
            pendings.append(place.begin_file(file("f", 4, path=name), 2))
        for pending in pendings:
            assert pending is not None
            pending.write(2, b"cd")
        assert open_descriptors() < before + 300
        for pending in reversed(pendings):
            assert pending is not None
            pending.write(0, b"ab")
        tally = target.finish()
    assert (600, 600, 0) == (tally.files, tally.directories, tally.failed)
    assert {b"abcd"} == {(tmp_path / f"{number:03}/f").read_bytes() for number in range(600)}
    assert {0o700, 0o500} == {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert {T} == {path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_holes_stay_holes_and_zeros_become_holes_on_request(tmp_path: Path) -> None:
    contents = b"x" * 5000 + bytes(100_000) + b"y" * 3000 + bytes(70_000)
    for sparse in (False, True):
        with opened(tmp_path / str(sparse), sparse=sparse) as target:
            write(target, file("zeros"), contents)
            place = target.folder(b"")
            assert place is not None
            long = place.begin_file(file("long", len(contents)), 2)
            hole = place.begin_file(file("hole", 1 << 24, segments=((1 << 23, 3),)), 1)
            assert long is not None
            assert hole is not None
            long.write(50_001, contents[50_001:])
            long.write(0, contents[:50_001])
            hole.write(1 << 23, b"abc")
            assert place.begin_file(file("empty", 1 << 20, segments=()), 0) is None
            target.finish()
        found = snapshot_of(tmp_path / str(sparse))
        for name in (b"zeros", b"long"):
            assert contents == (tmp_path / str(sparse) / os.fsdecode(name)).read_bytes()
            wanted = ((0, 8192), (102_400, 8192)) if sparse else ((0, len(contents)),)
            assert wanted == tuple(
                (start, min(length, len(contents) - start))
                for start, length in found[name].segments
            )
        assert ((1 << 23, 4096),) == found[b"hole"].segments
        assert () == found[b"empty"].segments


@pytest.mark.parametrize("offset", [-1, 1, 1 << 40])
def test_a_piece_outside_of_its_file_gives_the_file_up(tmp_path: Path, offset: int) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        place = target.folder(b"")
        assert place is not None
        for name, pieces in (("one", 1), ("two", 2)):
            pending = place.begin_file(file(name, 4), pieces)
            assert pending is not None
            pending.write(offset, b"abcd")
        target.finish()
    assert [] == os.listdir(tmp_path)
    assert [("damaged", b"one"), ("damaged", b"two")] == heard.kinds


def test_an_abandoned_file_is_reported_once_and_its_directory_finished(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        top = target.folder(b"")
        assert top is not None
        top.add(folder("d", 0o750))
        place = target.folder(b"d")
        assert place is not None
        pending = place.begin_file(file("f", 4, path="d"), 2)
        assert pending is not None
        pending.write(0, b"ab")
        pending.abandon(ProblemKind.DAMAGED, "chunk is broken")
        pending.abandon(ProblemKind.DAMAGED, "chunk is broken")
        pending.write(2, b"cd")
        assert 1 == target.finish().failed
    assert [] == os.listdir(tmp_path / "d")
    assert (0o750, T) == mode_and_time(tmp_path / "d")
    assert [("damaged", b"d/f")] == heard.kinds


def mode_and_time(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return stat.S_IMODE(status.st_mode), status.st_mtime_ns


def test_what_an_interrupted_restore_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".vaultd-part-=f").write_text("stale, and longer than the new one")
    (tmp_path / ".vaultd-part-=l").write_text("stale")
    with opened(tmp_path) as target:
        write(target, file("f"), b"new")
        top = target.folder(b"")
        assert top is not None
        top.add(other(stat.S_IFLNK, "l", link_target=b"f"))
        target.finish()
    assert {"f", "l"} == set(os.listdir(tmp_path))
    assert "new" == (tmp_path / "l").read_text()


def test_the_longest_names_are_written_too(tmp_path: Path) -> None:
    names = ["n" * 255, "n" * 254 + "m", "n" * 200, "n" * 201]
    with opened(tmp_path) as target:
        top = target.folder(b"")
        assert top is not None
        pendings = [top.begin_file(file(name, 255), 2) for name in names]
        for half in (0, 1):
            for name, pending in zip(names, pendings, strict=True):
                assert pending is not None
                text = name.encode().ljust(255)
                pending.write(half * 100, text[:100] if half == 0 else text[100:])
        target.finish()
    assert {name: name.ljust(255) for name in names} == {
        path.name: path.read_text() for path in tmp_path.iterdir()
    }


def test_a_full_target_ends_the_restore(tmp_path: Path) -> None:
    with opened(tmp_path) as target:
        place = target.folder(b"")
        assert place is not None
        # More than any file system takes for one file is refused as too large, not as full.
        site = place._site  # noqa: SLF001 - a disk cannot be filled in a test
        with pytest.raises(NoSpaceError):
            site.failed(OSError(28, "No space left on device"), b"f", "write")
        with pytest.raises(TargetError):
            site.failed(OSError(30, "Read-only file system"), b"f", "write")


# --- metadata ----------------------------------------------------------------------------------


def build_source(source: Path) -> None:
    """Make one of everything."""
    (source / "d/e").mkdir(parents=True)
    (source / "d/f").write_bytes(b"x" * 200_000)
    (source / "d/e/empty").touch()
    (source / "d/second").hardlink_to(source / "d/f")
    (source / "third").hardlink_to(source / "d/f")
    (source / "l").symlink_to("../../nowhere")
    os.mkfifo(source / "p")
    os.mknod(source / "s", stat.S_IFSOCK | 0o600)
    os.setxattr(source / "d/f", "user.a", b"\0\xff")
    os.setxattr(source / "d", "user.b", b"x")
    os.setxattr(source / "d/e/empty", ACL_ACCESS, acl(0o640, 12345, 6))
    os.setxattr(source / "d/e", ACL_DEFAULT, acl(0o750, 12345, 4))
    if ROOT:
        os.setxattr(source / "l", "trusted.t", b"x", follow_symlinks=False)
        os.mknod(source / "null", stat.S_IFCHR | 0o620, os.makedev(1, 3))
        for name in ("d/f", "l", "p"):
            os.chown(source / name, 1234, 5678, follow_symlinks=False)
    for name, mode in (("d/f", 0o6711), ("d/e", 0o2575), ("p", 0o602)):
        os.chmod(source / name, mode)
    for path in sorted(source.rglob("*"), reverse=True):
        os.utime(path, ns=(7, hash_of(path)), follow_symlinks=False)


def test_everything_that_a_capture_takes_comes_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    build_source(source)
    options = TargetOptions(allow_suid=True, allow_devices=True)
    tally, heard = put(take(source), source, tmp_path / "target", options)
    assert [] == differences(snapshot_of(source), snapshot_of(tmp_path / "target"))
    assert [] == heard.problems
    assert (2, 2, 2) == (tally.files, tally.links, tally.directories)


def hash_of(path: Path) -> int:
    return random.Random(str(path)).randrange(2**60)


def test_flags_are_set_after_everything_else(tmp_path: Path) -> None:
    taken_flags = FLAG_NODUMP | (FLAG_IMMUTABLE | FLAG_APPEND if ROOT else 0)
    group = b"g" * 16
    with opened(tmp_path / "t") as target:
        top = target.folder(b"")
        assert top is not None
        top.add(folder("d", flags=taken_flags))
        write(target, file("f", path="d", flags=taken_flags), b"x")
        write(target, file("g", path="d", flags=taken_flags, link_group=group), b"y")
        write(target, file("h", path="d", flags=taken_flags, link_group=group), b"y")
        tally = target.finish()
    found = {os.fsdecode(entry.name): entry.extra.flags for entry in take(tmp_path / "t").entries()}
    clear_flags(tmp_path / "t")
    assert (2, 1, 0) == (tally.files, tally.links, tally.failed)
    assert dict.fromkeys("dfgh", taken_flags) == {name: found[name] for name in "dfgh"}
    assert (0o755, T) == mode_and_time(tmp_path / "t/d")


def clear_flags(root: Path) -> None:
    """Make a tree removable again."""
    for path in (root / "d", *(root / "d").iterdir()):
        set_flags(path, 0)


@pytest.mark.parametrize("allowed", [False, True])
def test_set_id_bits_come_back_only_when_allowed_and_owned_right(
    tmp_path: Path, allowed: bool
) -> None:
    heard = Heard()
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00" + bytes(12)
    with opened(tmp_path, heard=heard, allow_suid=allowed) as target:
        write(target, file("mine", mode=0o4755), b"x")
        write(target, file("theirs", mode=0o6755, uid=ME + (1 << 33)), b"x")
        write(target, file("able", xattrs=((b"security.capability", capability),)), b"x")
        top = target.folder(b"")
        assert top is not None
        top.add(folder("d", 0o2755))
        target.finish()
    modes = {path.name: mode_and_time(path)[0] for path in tmp_path.iterdir()}
    assert (0o4755 if allowed else 0o755) == modes["mine"]
    assert (0o755, 0o2755) == (modes["theirs"], modes["d"])
    able = "security.capability" in os.listxattr(tmp_path / "able")
    assert (allowed and ROOT) == able
    assert all(problem.warning for problem in heard.problems)
    assert {"metadata"} == {kind for kind, _ in heard.kinds}


def test_an_ordinary_user_misses_owners_and_devices_with_one_line_each(common: Path) -> None:
    heard = Heard()
    with ordinary_user(), opened(common / "t", heard=heard, allow_devices=True) as target:
        place = target.folder(b"")
        assert place is not None
        for number in range(5):
            write(target, file(f"f{number}", uid=12345, gid=12345), b"x")
            place.add(other(stat.S_IFCHR, f"c{number}", rdev=1 << 32 | 3))
        tally = target.finish()
    assert {f"f{number}" for number in range(5)} == set(os.listdir(common / "t"))
    assert 0 == tally.failed
    assert [("metadata", b"c0"), ("metadata", b"f0")] == sorted(heard.kinds)
    assert "5 entries" in heard.problems[0].reason
    assert all(problem.warning for problem in heard.problems)


def test_devices_are_made_only_when_allowed(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        place = target.folder(b"")
        assert place is not None
        place.add(other(stat.S_IFBLK, "b", rdev=8 << 32))
        target.finish()
    assert [] == os.listdir(tmp_path)
    assert [("metadata", b"b")] == heard.kinds


def test_lists_of_rights_of_the_target_are_not_inherited(tmp_path: Path) -> None:
    os.setxattr(tmp_path, ACL_DEFAULT, acl(0o777, 12345, 7))
    with opened(tmp_path, Overwrite.ALWAYS) as target:
        top = target.folder(b"")
        assert top is not None
        top.add(folder("d", 0o700))
        write(target, file("f", mode=0o640), b"x")
        write(target, file("g", mode=0o600, path="d"), b"x")
        target.finish()
    for name, mode in (("d", 0o700), ("d/g", 0o600), ("f", 0o640)):
        assert mode == mode_and_time(tmp_path / name)[0]
        assert [] == [x for x in os.listxattr(tmp_path / name) if "acl" in x]


def test_attributes_that_cannot_be_set_are_one_line_each(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        for name in "ab":
            write(target, file(name, xattrs=((b"nowhere.x", b""), (b"user.\0", b""))), b"x")
        target.finish()
    assert [("metadata", b"a"), ("metadata", b"a")] == heard.kinds


# --- directories -------------------------------------------------------------------------------


def test_directories_are_finished_when_nothing_below_them_is_pending(tmp_path: Path) -> None:
    with opened(tmp_path) as target:
        top = target.folder(b"")
        assert top is not None
        for name in ("a", "b", "c"):
            top.add(folder(name, 0o555))
        first = target.folder(b"a")
        assert first is not None
        first.add(folder("deep", 0o511, path="a"))
        deep = target.folder(b"a/deep")
        assert deep is not None
        pending = deep.begin_file(file("f", 1, path="a/deep"))
        assert pending is not None
        assert target.folder(b"c") is not None
        assert (0o700, 0o700) == (mode_of(tmp_path / "a"), mode_of(tmp_path / "a/deep"))
        assert (0o555, T) == mode_and_time(tmp_path / "b")  # passed by, so nothing comes
        pending.write(0, b"x")
        assert (0o555, T) == mode_and_time(tmp_path / "a")
        assert (0o511, T) == mode_and_time(tmp_path / "a/deep")
        assert 0o700 == mode_of(tmp_path / "c")
        target.finish()
        assert (0o555, T) == mode_and_time(tmp_path / "c")


def mode_of(path: Path) -> int:
    return mode_and_time(path)[0]


def test_a_directory_may_come_in_parts_and_without_being_announced(tmp_path: Path) -> None:
    with opened(tmp_path) as target:
        write(target, file("1", path="x/y"), b"1")
        write(target, file("2", path="x/y"), b"2")
        write(target, file("3", path="x/z/deep"), b"3")
        tally = target.finish()
    assert {b"x/y/1", b"x/y/2", b"x/z/deep/3"} == {
        path for path in snapshot_of(tmp_path) if path[-1:].isdigit()
    }
    assert 4 == tally.directories


def test_a_directory_that_may_not_be_written_is_used_and_left_as_it_was(common: Path) -> None:
    with ordinary_user():
        (common / "t/d").mkdir(parents=True)
        (common / "t/d").chmod(0o555)
        with opened(common / "t", Overwrite.ALWAYS) as target:
            write(target, file("f", path="d"), b"x")
            target.finish()
        assert (0o555, b"x") == (mode_of(common / "t/d"), (common / "t/d/f").read_bytes())


def test_a_tree_of_a_thousand_levels_is_restored_with_few_descriptors(bottomless: Path) -> None:
    before = open_descriptors()
    path = ""
    with opened(bottomless) as target:
        for _ in range(1000):
            place = target.folder(path.encode())
            assert place is not None
            place.add(folder("d" * 20, 0o711, path=path))
            path = f"{path}/{'d' * 20}".lstrip("/")
        write(target, file("bottom", path=path), b"x")
        assert open_descriptors() < before + 300
        tally = target.finish()
    assert (1000, 1, 0) == (tally.directories, tally.files, tally.failed)
    found = [entry for entry in take(bottomless).entries() if entry.name == b"d" * 20]
    assert {(T, stat.S_IFDIR | 0o711)} == {(entry.mtime_ns, entry.mode) for entry in found}
    assert before == open_descriptors()
