"""What the system refuses, one call at a time, and what is said about it."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from tests.unit.stores.taking import NOBODY, Heard, ordinary_user, take
from tests.unit.stores.test_files_target import T, file, folder, mode_and_time, opened, other, write
from vaultd.core.entry import Entry
from vaultd.core.errors import SourceUnreadableError
from vaultd.core.tree import Extra, Listing
from vaultd.stores.files.attributes import AttributeReader, rdev_of
from vaultd.stores.files.options import CaptureOptions, Overwrite, TargetOptions
from vaultd.stores.files.pool import DescriptorPool
from vaultd.stores.files.problems import problem_of
from vaultd.stores.files.safewalk import MAX_DEPTH, is_safe_name, remove_entry, safe_parts
from vaultd.stores.files.target import FilesTarget, Preview

GROUP = b"g" * 16


def lock(path: Path, mode: int) -> None:
    """Give a directory to the ordinary user, with few rights."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    path.chmod(mode)


# --- capture -----------------------------------------------------------------------------------


def test_attributes_that_may_be_listed_but_not_read_are_reported(common: Path) -> None:
    (common / "d").mkdir()
    os.setxattr(common / "d", "user.secret", b"x")
    lock(common / "d", 0o311)
    with ordinary_user():
        taken = take(common)
    assert {"d"} == taken.below(common)
    assert [()] == [entry.extra.xattrs for entry in taken.entries() if entry.name == b"d"]
    place = os.fsencode(common / "d")
    assert {("denied", place)} == set(taken.heard.kinds)
    assert any("attributes" in problem.reason for problem in taken.heard.problems)


def test_an_error_about_one_entry_teaches_nothing_about_its_device(tmp_path: Path) -> None:
    reader = AttributeReader(CaptureOptions())
    (tmp_path / "f").touch()
    os.setxattr(tmp_path / "f", "user.a", b"x")
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    device = os.fstat(fd).st_dev
    os.close(fd)
    assert reader.fill(fd, device, None) is None
    assert reader.fill_unopened(os.fsencode(tmp_path / "nowhere"), device, None) is None
    assert not reader.is_plain(fd)
    found = reader.fill_unopened(os.fsencode(tmp_path / "f"), device, None)
    assert Extra(xattrs=((b"user.a", b"x"),)) == found
    blind = AttributeReader(CaptureOptions(xattrs=False))
    assert blind.fill_unopened(os.fsencode(tmp_path / "f"), device, None) is None


def test_only_devices_have_a_device_number(tmp_path: Path) -> None:
    assert 0 == rdev_of(tmp_path.stat())
    assert 1 << 32 | 9 == rdev_of(os.stat("/dev/urandom"))


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, "vanished"),
        (errno.ESTALE, "vanished"),
        (errno.ELOOP, "vanished"),
        (errno.EACCES, "denied"),
        (errno.EPERM, "denied"),
        (errno.EIO, "io-error"),
        (errno.ENOMEM, "io-error"),
    ],
)
def test_errors_of_the_system_have_a_kind_and_its_words(number: int, kind: str) -> None:
    problem = problem_of(OSError(number, os.strerror(number)), b"/x", "open the file")
    words = os.strerror(number)
    assert (kind, b"/x") == (str(problem.kind), problem.path)
    assert f"cannot open the file: {words[0].lower()}{words[1:]}" == problem.reason
    assert "odd" in problem_of(OSError("odd"), b"", "x").reason


def test_a_directory_on_the_way_that_becomes_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "way/root").mkdir(parents=True)
    (tmp_path / "a").mkdir()

    def swap(listing: Listing) -> None:
        if listing.path == os.fsencode(tmp_path.parent)[1:]:
            (tmp_path / "way").rename(tmp_path / "gone")
            (tmp_path / "way").touch()

    with pytest.raises(SourceUnreadableError):
        take(tmp_path / "way/root", tmp_path / "a", before_open=swap)


def test_a_name_on_the_way_that_vanishes_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "way/root").mkdir(parents=True)

    def remove(listing: Listing) -> None:
        if listing.path == os.fsencode(tmp_path)[1:]:
            (tmp_path / "way/root").rmdir()

    with pytest.raises(SourceUnreadableError):
        take(tmp_path / "way/root", before_open=remove)


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"", b".", b"..", b"a/b", b"/", b"a\0", b"n" * 256, b".vaultd-part-x"]
)
def test_names_that_stand_for_no_entry_are_not_safe(name: bytes) -> None:
    assert not is_safe_name(name)
    assert safe_parts(b"a/" + name) is None or name == b"a/b"


@pytest.mark.parametrize("name", [b"a", b"...", b"..a", b"\xff", b"n" * 255, b" ", b".vaultd-part"])
def test_odd_names_are_safe(name: bytes) -> None:
    assert is_safe_name(name)
    assert [b"a", name] == safe_parts(b"a/" + name)


def test_paths_have_a_greatest_depth() -> None:
    assert [] == safe_parts(b"")
    assert safe_parts(b"/".join([b"a"] * MAX_DEPTH)) is not None
    assert safe_parts(b"/".join([b"a"] * (MAX_DEPTH + 1))) is None
    assert safe_parts(b"a//b") is None
    assert safe_parts(b"/a") is None


def test_entries_and_paths_that_are_not_allowed_are_reported_and_left_out(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        place = target.folder(b"")
        assert place is not None
        assert place.begin_file(file("..")) is None
        place.add(folder("a/b"))
        place.add(other(stat.S_IFLNK, "x" * 256, link_target=b"y"))
        place.add(other(stat.S_IFLNK, "nul", link_target=b"a\0b"))
        place.add(other(stat.S_IFLNK, "empty", link_target=b""))
        place.add(other(0o030000, "odd"))
        place.add(file(".vaultd-part-x"))
        assert target.folder(b"../outside") is None
        assert target.folder(b"/etc") is None
        tally = target.finish()
    assert [] == os.listdir(tmp_path)
    assert (9, 9) == (tally.failed, len(heard.problems))
    assert {"damaged", "unsupported", "vanished"} == {kind for kind, _ in heard.kinds}


# --- target ------------------------------------------------------------------------------------


def test_a_directory_that_may_not_be_entered_blocks_what_is_below_it(common: Path) -> None:
    (common / "t/closed").mkdir(parents=True)
    lock(common / "t/closed", 0o000)
    lock(common / "t", 0o755)
    heard = Heard()
    with ordinary_user(), opened(common / "t", Overwrite.ALWAYS, heard) as target:
        assert target.folder(b"closed/below/deep") is None
        assert target.folder(b"closed/below/other") is None
        write(target, file("open"), b"x")
        tally = target.finish()
    assert [b"closed"] == [path for kind, path in heard.kinds if kind == "denied"]
    assert (1, 1) == (tally.files, tally.failed)


def test_a_directory_that_may_not_be_written_refuses_everything(common: Path) -> None:
    (common / "t/d").mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(common / "t", NOBODY, NOBODY)  # but d belongs to root
    else:
        (common / "t/d").chmod(0o500)
    heard = Heard()
    with ordinary_user(), opened(common / "t", Overwrite.NEVER, heard) as target:
        if os.geteuid() != os.stat(common / "t/d").st_uid:
            write(target, file("f", path="d"), b"x")
            place = target.folder(b"d")
            assert place is not None
            place.begin_file(file("long", 4, path="d"), 2)
            place.add(other(stat.S_IFIFO, "p", path="d"))
            place.add(folder("sub", path="d"))
            assert target.folder(b"d/sub") is None
            assert ["denied"] * 3 == [kind for kind, _ in heard.kinds]
        target.finish()


def test_a_file_whose_directory_vanishes_is_reported(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        top = target.folder(b"")
        assert top is not None
        top.add(folder("d"))
        place = target.folder(b"d")
        assert place is not None
        one = place.begin_file(file("one", 1, path="d"))
        two = place.begin_file(file("two", 2, path="d"), 2)
        three = place.begin_file(file("three", 2, path="d", link_group=GROUP), 2)
        assert place.begin_file(file("four", 2, path="d", link_group=GROUP), 2) is None
        assert one is not None
        assert two is not None
        assert three is not None
        two.write(0, b"a")
        three.write(0, b"a")
        (tmp_path / "d/.vaultd-part-=two").unlink()
        (tmp_path / "d/.vaultd-part-=three").unlink()
        (tmp_path / "d").rmdir()
        one.write(0, b"x")
        two.write(1, b"b")
        three.write(1, b"b")
        target.finish()
    assert [] == os.listdir(tmp_path)
    assert [b"d/four", b"d/one", b"d/three", b"d/two"] == sorted(path for _, path in heard.kinds)


def test_a_directory_that_is_replaced_while_it_is_closed_is_not_written_to(tmp_path: Path) -> None:
    heard = Heard()
    pool = DescriptorPool(limit=2)
    with opened(tmp_path / "t", heard=heard) as target:
        target._site.pool = pool  # noqa: SLF001 - a small pool, so that few directories close one
        pool.adopt(target._site.root, os.open(tmp_path / "t", os.O_RDONLY))  # noqa: SLF001
        pendings = []
        for name in ("a", "b", "c", "d"):
            place = target.folder(name.encode())
            assert place is not None
            pendings.append(place.begin_file(file("f", 1, path=name)))
        (tmp_path / "t/a").rename(tmp_path / "moved")
        (tmp_path / "t/a").mkdir()
        for pending in pendings:
            assert pending is not None
            pending.write(0, b"x")
        target.finish()
        pool.close_all()
    assert [] == os.listdir(tmp_path / "t/a")
    assert [] == os.listdir(tmp_path / "moved")
    assert ["f"] == os.listdir(tmp_path / "t/d")
    assert [("vanished", b"a/f"), ("vanished", b"a")] == heard.kinds


def test_a_late_flag_is_not_set_on_a_file_that_is_gone(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        write(target, file("a", link_group=GROUP, flags=0x40), b"x")
        (tmp_path / "a").unlink()
        target.finish()
    assert [("vanished", b"a")] == heard.kinds


def test_a_finished_directory_that_is_gone_is_reported(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, Overwrite.ALWAYS, heard) as target:
        top = target.folder(b"")
        assert top is not None
        top.add(folder("d"))
        place = target.folder(b"d")
        assert place is not None
        assert [] == place.surplus([])
        target.folder(b"z")
        (tmp_path / "d").rmdir()
        place.remove(b"x")
        target.finish()
    assert {b"d", b"d/x"} == {path for _, path in heard.kinds}


def test_removing_does_not_follow_links_and_goes_deep(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").touch()
    top = tmp_path / "top"
    deep = top
    for _ in range(200):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "link").symlink_to(outside)
    (deep / "f").touch()
    (top / "link").symlink_to(outside)
    fd = os.open(tmp_path, os.O_RDONLY)
    remove_entry(fd, b"top")
    (tmp_path / "link").symlink_to(outside)
    remove_entry(fd, b"link")
    with pytest.raises(FileNotFoundError):
        remove_entry(fd, b"top")
    os.close(fd)
    assert ["outside"] == os.listdir(tmp_path)
    assert ["x"] == os.listdir(outside)


def test_what_is_mounted_below_is_not_removed() -> None:
    assert os.stat("/dev/shm").st_dev != os.stat("/dev").st_dev
    fd = os.open("/dev", os.O_RDONLY)
    with pytest.raises(OSError, match="mounted" if os.geteuid() == 0 else "denied"):
        remove_entry(fd, b"shm")
    os.close(fd)
    assert Path("/dev/shm").is_dir()


def test_files_may_be_written_and_given_up_by_several_threads_at_once(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        place = target.folder(b"")
        assert place is not None
        for round_ in range(20):
            pending = place.begin_file(file(f"f{round_}", 400), 400)
            assert pending is not None
            threads = [
                threading.Thread(
                    target=lambda at, one: [one.write(n, b"x") for n in range(at, at + 100)],
                    args=(at, pending),
                )
                for at in (0, 100, 200, 300)
            ]
            threads.append(threading.Thread(target=pending.discard))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        tally = target.finish()
    left = os.listdir(tmp_path)
    assert tally.files == len(left)
    assert [] == [name for name in left if name.startswith(".")]
    assert [] == heard.problems


def test_owners_out_of_range_are_never_passed_on(tmp_path: Path) -> None:
    heard = Heard()
    with opened(tmp_path, heard=heard) as target:
        write(target, file("a", uid=-1), b"x")
        write(target, file("b", gid=(1 << 32) - 1), b"x")
        place = target.folder(b"")
        assert place is not None
        place.add(other(stat.S_IFIFO, "p", uid=1 << 40))
        target.finish()
    assert [("metadata", b"a")] == heard.kinds
    assert "3 entries" in heard.problems[0].reason


def test_a_preview_of_what_cannot_be_looked_at_says_create(common: Path) -> None:
    (common / "t/closed").mkdir(parents=True)
    lock(common / "t/closed", 0o000)
    with (
        ordinary_user(),
        Preview(common / "t", TargetOptions(overwrite=Overwrite.NEVER)) as preview,
    ):
        assert "create" == preview.decide(file("f", path="closed"))


def test_times_of_links_and_fifos_are_set(tmp_path: Path) -> None:
    with FilesTarget(tmp_path, TargetOptions(), Heard()) as target:
        place = target.folder(b"")
        assert place is not None
        place.add(other(stat.S_IFLNK, "l", 0o777, link_target=b"x"))
        place.add(other(stat.S_IFIFO, "p", 0o604))
        target.finish()
    assert T == (tmp_path / "l").lstat().st_mtime_ns
    assert (0o604, T) == mode_and_time(tmp_path / "p")


def test_an_entry_knows_its_whole_path() -> None:
    assert b"a/b" == Entry(b"a", b"b", 0, 0, 0, 0, 0).full_path
