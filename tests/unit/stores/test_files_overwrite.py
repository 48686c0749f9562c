"""What a restore does about entries that are there, and about those that should not be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.trees import snapshot_of
from tests.unit.stores.taking import Heard, ordinary_user
from tests.unit.stores.test_files_target import (
    ROOT,
    T,
    file,
    folder,
    mode_and_time,
    opened,
    other,
    write,
)
from vaultd.core.errors import ConfigError
from vaultd.core.tree import Extra
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.stores.files.overwrite import Decision
from vaultd.stores.files.owners import OwnerRule, Owners
from vaultd.stores.files.target import Preview

NEWER, OLDER = T + 1, T - 1


def there(root: Path, name: str, contents: str, mtime_ns: int, mode: int = 0o644) -> Path:
    path = root / name
    path.write_text(contents)
    path.chmod(mode)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


GOLDEN = [
    # rule, contents there, time there, mode there, replaced?
    (Overwrite.ALWAYS, "old", T, 0o644, True),
    (Overwrite.NEVER, "other", OLDER, 0o600, False),
    (Overwrite.IF_NEWER, "old", OLDER, 0o644, True),
    (Overwrite.IF_NEWER, "other", T, 0o644, False),
    (Overwrite.IF_NEWER, "other", NEWER, 0o644, False),
    (Overwrite.IF_CHANGED, "old", T, 0o644, False),
    (Overwrite.IF_CHANGED, "old", NEWER, 0o644, True),
    (Overwrite.IF_CHANGED, "other", T, 0o644, True),
    (Overwrite.IF_CHANGED, "old", T, 0o640, True),
]


@pytest.mark.parametrize(("rule", "contents", "mtime_ns", "mode", "replaced"), GOLDEN)
def test_the_golden_table_of_overwriting(
    tmp_path: Path, rule: Overwrite, contents: str, mtime_ns: int, mode: int, replaced: bool
) -> None:
    path = there(tmp_path, "f", contents, mtime_ns, mode)
    with Preview(tmp_path, TargetOptions(overwrite=rule)) as preview:
        decision = preview.decide(file("f", 3))
    with opened(tmp_path, rule) as target:
        write(target, file("f"), b"new")
        tally = target.finish()
    assert ("new" if replaced else contents) == path.read_text()
    assert (Decision.REPLACE if replaced else Decision.KEEP) == decision
    assert (int(replaced), int(not replaced)) == (tally.files, tally.kept)


def test_a_file_with_another_name_outside_is_never_taken_for_unchanged(tmp_path: Path) -> None:
    outside = there(tmp_path, "outside", "old", T)
    (tmp_path / "t").mkdir()
    (tmp_path / "t/f").hardlink_to(outside)
    with opened(tmp_path / "t", Overwrite.IF_CHANGED) as target:
        write(target, file("f"), b"new")
        target.finish()
    assert ("old", "new") == (outside.read_text(), (tmp_path / "t/f").read_text())


@pytest.mark.parametrize("rule", list(Overwrite))
def test_an_empty_directory_or_a_link_gives_way_to_a_file(tmp_path: Path, rule: Overwrite) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("d")
    for name in ("d", "l"):
        os.utime(tmp_path / name, ns=(OLDER, OLDER), follow_symlinks=False)
    with opened(tmp_path, rule) as target:
        write(target, file("d"), b"new")
        write(target, file("l"), b"new")
        target.finish()
    kept = rule is Overwrite.NEVER
    assert kept == (tmp_path / "d").is_dir()
    assert kept == (tmp_path / "l").is_symlink()


@pytest.mark.parametrize("delete", [False, True])
def test_a_full_directory_gives_way_to_a_file_only_with_delete(
    tmp_path: Path, delete: bool
) -> None:
    for name in ("d", "l"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub/x").touch()
    heard = Heard()
    with opened(tmp_path, Overwrite.ALWAYS, heard, delete=delete) as target:
        write(target, file("d"), b"new")
        place = target.folder(b"")
        assert place is not None
        place.add(other(stat.S_IFLNK, "l", link_target=b"x"))
        target.finish()
    assert delete == (tmp_path / "d").is_file()
    assert delete == (tmp_path / "l").is_symlink()
    assert ([] if delete else [("denied", b"d"), ("denied", b"l")]) == heard.kinds
    assert {"d", "l"} == set(os.listdir(tmp_path))


@pytest.mark.parametrize("rule", list(Overwrite))
def test_a_file_or_link_gives_way_to_a_directory(tmp_path: Path, rule: Overwrite) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target_root = tmp_path / "t"
    target_root.mkdir()
    there(target_root, "f", "x", OLDER)
    (target_root / "l").symlink_to(outside)
    os.utime(target_root / "l", ns=(OLDER, OLDER), follow_symlinks=False)
    heard = Heard()
    with opened(target_root, rule, heard) as target:
        top = target.folder(b"")
        assert top is not None
        for name in ("f", "l"):
            top.add(folder(name))
        for path in (b"f", b"f/below", b"l"):
            place = target.folder(path)
            assert (rule is Overwrite.NEVER) == (place is None)
            if place is not None:
                place.begin_file(file("x", path=os.fsdecode(path)), 0)
        target.finish()
    kept = rule is Overwrite.NEVER
    assert ([("denied", b"f"), ("denied", b"l")] if kept else []) == heard.kinds
    assert kept == (target_root / "f").is_file()
    assert kept == (target_root / "l").is_symlink()
    assert [] == os.listdir(outside)


def test_directories_that_were_there_keep_their_metadata_when_nothing_is_overwritten(
    tmp_path: Path,
) -> None:
    for rule, expected in ((Overwrite.NEVER, 0o711), (Overwrite.IF_NEWER, 0o750)):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d").chmod(0o711)
        with opened(tmp_path, rule) as target:
            top = target.folder(b"")
            assert top is not None
            top.add(folder("d", 0o750))
            target.finish()
        assert expected == mode_and_time(tmp_path / "d")[0]


def test_a_directory_that_was_there_loses_the_attributes_that_the_snapshot_does_not_have(
    tmp_path: Path,
) -> None:
    (tmp_path / "d").mkdir()
    os.setxattr(tmp_path / "d", "user.kept", b"old")
    os.setxattr(tmp_path / "d", "user.gone", b"old")
    os.setxattr(tmp_path / "d", "trusted.ours", b"old")
    with opened(tmp_path, Overwrite.ALWAYS) as target:
        top = target.folder(b"")
        assert top is not None
        top.add(folder("d", xattrs=((b"user.kept", b"new"),)))
        target.finish()
    assert {"user.kept", "trusted.ours"} == set(os.listxattr(tmp_path / "d"))
    assert b"new" == os.getxattr(tmp_path / "d", "user.kept")


def test_a_preview_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    there(tmp_path, "f", "x", T)
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "l").symlink_to("d")
    before = snapshot_of(tmp_path)
    entries = [
        (file("f"), Decision.KEEP),
        (file("new"), Decision.CREATE),
        (folder("d"), Decision.ENTER),
        (folder("f"), Decision.BLOCKED),
        (folder("e", path="d"), Decision.ENTER),
        (file("f", path="l"), Decision.CREATE),
        (file("f", path="nowhere/deep"), Decision.CREATE),
        (file("f", path="../x"), Decision.CREATE),
        (file("nul\0"), Decision.CREATE),
    ]
    with Preview(tmp_path, TargetOptions(overwrite=Overwrite.NEVER)) as preview:
        assert [expected for _, expected in entries] == [preview.decide(one) for one, _ in entries]
    with Preview(tmp_path / "nowhere", TargetOptions()) as preview:
        assert preview.decide(file("f")) is Decision.CREATE
    assert before == snapshot_of(tmp_path)


# --- hard links --------------------------------------------------------------------------------

GROUP = b"0123456789abcdef"


def test_further_names_wait_for_the_first_and_are_linked_to_it(tmp_path: Path) -> None:
    with opened(tmp_path) as target:
        top = target.folder(b"")
        assert top is not None
        first = top.begin_file(file("a", 4, link_group=GROUP), 2)
        assert first is not None
        place = target.folder(b"sub")
        assert place is not None
        assert place.begin_file(file("b", 4, path="sub", link_group=GROUP), 2) is None
        assert target.folder(b"z") is not None
        first.write(0, b"ab")
        assert not (tmp_path / "sub/b").exists()
        first.write(2, b"cd")
        assert (tmp_path / "sub/b").samefile(tmp_path / "a")
        late = target.folder(b"z")
        assert late is not None
        assert late.begin_file(file("c", 4, path="z", link_group=GROUP), 2) is None
        tally = target.finish()
    assert 3 == (tmp_path / "z/c").stat().st_nlink
    assert (1, 2, 0) == (tally.files, tally.links, tally.failed)


def test_names_whose_first_one_fails_are_reported(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        top = target.folder(b"")
        assert top is not None
        first = top.begin_file(file("a", 4, link_group=GROUP), 2)
        assert top.begin_file(file("b", 4, link_group=GROUP), 2) is None
        assert first is not None
        first.write(1, b"1234567")
        target.finish()
    assert [("damaged", b"a"), ("damaged", b"b")] == heard.kinds


def test_a_name_is_linked_to_nothing_but_the_file_that_was_made(tmp_path: Path) -> None:
    heard = Heard()
    (tmp_path / "secret").write_text("outside")
    with opened(tmp_path / "t", heard=heard) as target:
        write(target, file("a", link_group=GROUP), b"x")
        (tmp_path / "t/a").unlink()
        (tmp_path / "t/a").symlink_to("../secret")
        write(target, file("b", link_group=GROUP), b"x")
        (tmp_path / "t/a").unlink()
        write(target, file("c", link_group=GROUP), b"x")
        target.finish()
    assert [] == os.listdir(tmp_path / "t")
    assert [("vanished", b"b"), ("vanished", b"c")] == sorted(heard.kinds)


def test_a_resumed_restore_links_to_the_names_that_it_kept(tmp_path: Path) -> None:
    def restore() -> tuple[int, int, int]:
        with opened(tmp_path, Overwrite.IF_CHANGED) as target:
            for name in ("a", "b", "c"):
                write(target, file(name, 1, link_group=GROUP), b"x")
            tally = target.finish()
        assert 3 == (tmp_path / "a").stat().st_nlink
        assert (tmp_path / "b").samefile(tmp_path / "a")
        return tally.files, tally.links, tally.kept

    assert (1, 2, 0) == restore()
    assert (0, 0, 3) == restore()
    (tmp_path / "b").unlink()
    assert (0, 1, 2) == restore()
    (tmp_path / "b").unlink()
    there(tmp_path, "b", "x", T)  # the same, but a file of its own
    assert (0, 1, 2) == restore()
    (tmp_path / "a").unlink()
    there(tmp_path, "a", "y", NEWER)
    assert (1, 2, 0) == restore()


# --- what should not be there ------------------------------------------------------------------


def test_what_a_snapshot_does_not_have_is_found_and_removed(tmp_path: Path) -> None:
    for name in ("keep", "drop", ".vaultd-part-=stale", ".vaultd-part-restore"):
        (tmp_path / name).touch()
    (tmp_path / "tree/sub/deep").mkdir(parents=True)
    (tmp_path / "tree/sub/x").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").touch()
    (tmp_path / "tree/link").symlink_to("../outside")
    (tmp_path / "tree/sub/deep").chmod(0o711)
    os.mkfifo(tmp_path / "pipe")
    with opened(tmp_path, Overwrite.ALWAYS) as target:
        place = target.folder(b"")
        assert place is not None
        pending = place.begin_file(file("new", 1), 2)
        assert pending is not None
        pending.write(0, b"")
        extra = place.surplus([b"keep", b"new", b"outside"])
        assert [b".vaultd-part-=stale", b"drop", b"pipe", b"tree"] == extra
        for one in extra:
            place.remove(one)
        tally = target.finish()
    assert 4 == tally.removed
    assert {".vaultd-part-restore", "keep", "outside"} == set(os.listdir(tmp_path))
    assert ["precious"] == os.listdir(tmp_path / "outside")


def test_removing_late_finishes_the_directory_once_more(tmp_path: Path) -> None:
    (tmp_path / "a/d").mkdir(parents=True)
    (tmp_path / "a/d/drop").touch()
    with opened(tmp_path, Overwrite.ALWAYS) as target:
        top = target.folder(b"")
        assert top is not None
        top.add(folder("a"))
        above = target.folder(b"a")
        assert above is not None
        above.add(folder("d", 0o750, path="a"))
        place = target.folder(b"a/d")
        assert place is not None
        assert target.folder(b"z") is not None
        for name in place.surplus([]):
            place.remove(name)
        assert (0o750, T) == mode_and_time(tmp_path / "a/d")
        assert 0 == target.finish().failed
    assert (0o755, T) == mode_and_time(tmp_path / "a")
    assert [] == os.listdir(tmp_path / "a/d")


def test_what_cannot_be_removed_is_reported(common: Path) -> None:
    (common / "t/d/sub").mkdir(parents=True)
    if ROOT:
        os.chown(common / "t", 65534, 65534)
        os.chown(common / "t/d", 65534, 65534)
    (common / "t/d").chmod(0o555)
    heard = Heard()
    with ordinary_user(), opened(common / "t", Overwrite.ALWAYS, heard) as target:
        place = target.folder(b"")
        assert place is not None
        place.remove(b"d")
        place.remove(b"nowhere")
        target.finish()
    assert [("denied", b"d"), ("vanished", b"nowhere")] == heard.kinds


# --- owners ------------------------------------------------------------------------------------


def test_owners_are_numbers_names_or_what_a_map_says() -> None:
    users, groups = {70001: "root", 70002: "no-such-user"}, {70001: "root"}
    ids = Owners(OwnerRule.IDS, users, groups, {}, {})
    assert (70001, 70001) == ids.local(70001, 70001)
    names = Owners(OwnerRule.NAMES, users, groups, {}, {})
    assert (0, 0) == names.local(70001, 70001)
    assert (70002, 70003) == names.local(70002, 70003)
    mapped = Owners(OwnerRule.IDS, users, groups, {"root": "4242", "70002": "root"}, {"5": "root"})
    assert (4242, 0) == mapped.local(70001, 5)
    assert (0, 6) == mapped.local(70002, 6)


def test_an_owner_map_to_nobody_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        opened(tmp_path, user_map={"ann": "no-such-user-here"})


def test_owners_are_left_alone_on_request(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard, owner=OwnerRule.NONE, allow_suid=True) as target:
        write(target, file("f", uid=12345, gid=12345), b"x")
        write(target, file("s", mode=0o4755, uid=12345, gid=12345), b"x")
        target.finish()
    assert os.geteuid() == (tmp_path / "f").stat().st_uid
    assert 0o755 == mode_and_time(tmp_path / "s")[0]
    assert [("metadata", b"s")] == heard.kinds


def test_an_entry_without_anything_extra_says_so() -> None:
    assert Extra() == file("f").extra
