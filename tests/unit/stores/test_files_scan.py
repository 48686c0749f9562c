"""The walk over a file tree: order, parts, roots, and what cannot be looked at."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.unit.stores.taking import (
    Heard,
    StoodClock,
    open_descriptors,
    ordinary_user,
    row,
    take,
)
from vaultd.core.clock import SystemClock
from vaultd.core.errors import SourceUnreadableError
from vaultd.core.tree import (
    CTIME,
    INO,
    MODE,
    MTIME,
    PART_MAX,
    PART_MIN,
    SIZE,
    Listing,
    part_ends,
    path_key,
)
from vaultd.stores.files.capture import FilesCapture
from vaultd.stores.files.options import CaptureOptions
from vaultd.stores.files.rows import numbers_of, stat_names
from vaultd.stores.files.walk import MAX_DEPTH

SECOND = 1_000_000_000


def make(root: Path, *names: str) -> None:
    """Make files, and directories where a name ends in a slash."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(name)


def test_directories_come_in_walking_order_and_names_ascend(tmp_path: Path) -> None:
    make(tmp_path, "b/x", "a/b/c", "a-b/x", "a/z", "a.c/x", "a0", "B/x", "\u00e9/x", "z/")
    taken = take(tmp_path)
    paths = [one.path for one in taken.listings]
    assert paths == sorted(paths, key=path_key)
    assert len(set(paths)) == len(paths)
    for listing in taken.listings:
        assert listing.names == sorted(listing.names)
    expected = {"a", "a/b", "a/b/c", "a/z", "a-b", "a-b/x", "a.c", "a.c/x", "a0", "b", "b/x"}
    assert expected | {"B", "B/x", "\u00e9", "\u00e9/x", "z"} == taken.below(tmp_path)


def test_the_way_to_a_root_holds_only_the_names_on_it(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c/x", "a/other", "a/b/other")
    taken = take(tmp_path / "a" / "b" / "c")
    parts = os.fsencode(tmp_path / "a" / "b" / "c").strip(b"/").split(b"/")
    for depth, part in enumerate(parts):
        listing = taken.listings[depth]
        assert (b"/".join(parts[:depth]), [part]) == (listing.path, listing.names)
        assert stat.S_ISDIR(row(listing, part)[MODE])
    assert {"x"} == taken.below(tmp_path / "a/b/c")


def test_a_row_says_what_the_system_says(tmp_path: Path) -> None:
    make(tmp_path, "f")
    os.utime(tmp_path / "f", ns=(1, -123_456_789_012_345_678))
    listing = take(tmp_path).listings[-1]
    assert list(numbers_of(os.lstat(tmp_path / "f"))) == row(listing, b"f")
    assert row(listing, b"f")[MTIME] == -123_456_789_012_345_678


def test_an_empty_directory_gives_one_empty_listing(tmp_path: Path) -> None:
    make(tmp_path, "empty/")
    assert [(b"empty", [])] == [
        (one.path[-5:], one.names) for one in take(tmp_path / "empty").listings[-1:]
    ]


def test_a_large_directory_comes_in_parts_cut_by_its_names(tmp_path: Path) -> None:
    names = [b"%05d" % number for number in range(PART_MAX + PART_MIN + 7)]
    for name in names:
        (tmp_path / name.decode()).touch()
    (tmp_path / "00500").unlink()
    (tmp_path / "00500").mkdir()
    (tmp_path / "00500" / "below").touch()
    taken = take(tmp_path)
    parts = [one for one in taken.listings if one.path == os.fsencode(tmp_path)[1:]]
    ends = list(part_ends(names))
    assert [b"".join(one.names) for one in parts] == [
        b"".join(names[start:end]) for start, end in zip([0, *ends], ends, strict=False)
    ]
    assert taken.listings[-1].path.endswith(b"/00500")


def test_names_that_are_not_utf8_are_kept_byte_for_byte(tmp_path: Path) -> None:
    names = [b"\x01", b"\xc3\xa9", b"\xff\xfe", b"new\nline", b"\x7f\x80"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    taken = take(tmp_path)
    assert sorted(names) == taken.listings[-1].names
    assert set(names) == set(taken.contents.values())


def test_names_of_unfinished_restores_are_never_captured(tmp_path: Path) -> None:
    make(tmp_path, ".vaultd-part-restore", ".vaultd-part-=x/y", ".vaultd-part", "x")
    assert {".vaultd-part", "x"} == taken_below(tmp_path)


def taken_below(root: Path) -> set[str]:
    return take(root).below(root)


# --- roots -------------------------------------------------------------------------------------


def test_roots_that_nest_or_repeat_are_merged(tmp_path: Path) -> None:
    make(tmp_path, "a/b/x", "a/y", "c/z")
    root = os.fsencode(tmp_path)
    taken = take(root + b"/a/b", root + b"/a", root + b"//a/./", root + b"/c", root + b"/a")
    assert len(taken.paths) == len(set(taken.paths))
    assert {"a", "a/b", "a/b/x", "a/y", "c", "c/z"} == taken.below(tmp_path)
    assert taken.facts is not None
    assert (root + b"/a", root + b"/c") == taken.facts.roots


def test_a_root_may_be_a_file_a_fifo_or_a_link_to_nothing_that_is_followed(tmp_path: Path) -> None:
    make(tmp_path, "d/f", "d/g")
    os.mkfifo(tmp_path / "p")
    taken = take(tmp_path / "d/f", tmp_path / "p")
    assert {"d", "d/f", "p"} == taken.below(tmp_path)
    assert [b"d/f"] == list(taken.contents.values())


def test_a_root_through_links_is_captured_where_it_lies_with_the_links(tmp_path: Path) -> None:
    make(tmp_path, "real/deep/x", "real/other")
    (tmp_path / "alias").symlink_to("real")
    (tmp_path / "hop").symlink_to(tmp_path / "alias" / "deep")
    (tmp_path / "up").symlink_to("real/deep/../deep")
    taken = take(tmp_path / "hop", tmp_path / "up")
    assert {"alias", "hop", "up", "real", "real/deep", "real/deep/x"} == taken.below(tmp_path)
    targets = {
        entry.name: entry.extra.link_target for entry in taken.entries() if stat.S_ISLNK(entry.mode)
    }
    assert os.fsencode(tmp_path) + b"/alias/deep" == targets[b"hop"]
    assert taken.facts is not None
    assert (os.fsencode(tmp_path) + b"/real/deep",) == taken.facts.roots


def test_the_whole_machine_can_be_a_root_and_the_kernels_view_is_not_entered() -> None:
    options = CaptureOptions(exclude=("/*", "!/proc"))
    taken = take(b"/", options=options)
    assert [(b"", [b"proc"])] == [(one.path, one.names) for one in taken.listings]


def test_a_root_in_the_kernels_view_is_entered_when_asked_for() -> None:
    options = CaptureOptions(exclude=("/proc/sys/kernel/*", "!ostype"))
    assert {"ostype"} == take(b"/proc/sys/kernel", options=options).below(b"/proc/sys/kernel")


@pytest.mark.parametrize("root", [b"relative", b"", b"nul/\0"])
def test_a_root_that_is_not_absolute_is_refused(root: bytes) -> None:
    with pytest.raises(SourceUnreadableError):
        take(root)


def test_a_missing_root_is_an_error_not_an_empty_snapshot(tmp_path: Path) -> None:
    make(tmp_path, "a/x")
    (tmp_path / "dangling").symlink_to("a/nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("nowhere", "a/x/y", "dangling", "dangling/z", "loop"):
        with pytest.raises(SourceUnreadableError):
            take(tmp_path / "a", tmp_path / name)


def test_an_unreadable_root_is_an_error(common: Path) -> None:
    make(common, "d/", "f")
    (common / "d").chmod(0o000)
    (common / "f").chmod(0o000)
    with ordinary_user():
        for name in ("d", "f", "d/below"):
            with pytest.raises(SourceUnreadableError):
                take(common / name)


def test_a_root_that_vanishes_before_it_is_reached_is_an_error(tmp_path: Path) -> None:
    make(tmp_path, "a/x", "b/y")

    def remove(listing: Listing) -> None:
        if listing.path.endswith(b"/a"):
            (tmp_path / "b/y").unlink()
            (tmp_path / "b").rmdir()

    with pytest.raises(SourceUnreadableError):
        take(tmp_path / "a", tmp_path / "b", before_open=remove)


# --- what cannot be entered --------------------------------------------------------------------


def test_a_directory_that_may_not_be_listed_stays_without_contents(common: Path) -> None:
    make(common, "secret/x", "open/y")
    (common / "secret").chmod(0o311)
    with ordinary_user():
        if os.geteuid() != os.stat(common).st_uid:
            (common / "secret").chmod(0o311)
        taken = take(common)
    assert {"open", "open/y", "secret"} == taken.below(common)
    assert [("denied", os.fsencode(common / "secret"))] == taken.heard.kinds


def test_names_in_a_directory_that_may_not_be_searched_are_reported(common: Path) -> None:
    make(common, "blind/x", "blind/y")
    os.chmod(common / "blind", 0o444)
    if os.geteuid() == 0:
        os.chown(common / "blind", 0, 0)
    with ordinary_user():
        taken = take(common)
    assert {"blind"} == taken.below(common)
    expected = [("denied", os.fsencode(common / "blind" / name)) for name in ("x", "y")]
    assert expected == taken.heard.kinds


def test_a_directory_that_vanishes_or_is_replaced_is_reported_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    make(tmp_path, "gone/x", "link/x", "plain/x", "zz/x")

    def change(listing: Listing) -> None:
        if listing.path == os.fsencode(tmp_path)[1:]:
            for name in ("gone", "link", "plain"):
                (tmp_path / name / "x").unlink()
                (tmp_path / name).rmdir()
            (tmp_path / "link").symlink_to("zz")
            (tmp_path / "plain").touch()

    taken = take(tmp_path, before_open=change)
    assert {"zz", "zz/x"} == taken.below(tmp_path)
    expected = [("vanished", os.fsencode(tmp_path / name)) for name in ("gone", "link", "plain")]
    assert expected == taken.heard.kinds


def test_names_that_vanish_between_listing_and_looking_are_failures_not_rows(
    tmp_path: Path,
) -> None:
    make(tmp_path, "a", "c")
    fd = os.open(tmp_path, os.O_RDONLY)
    rows = stat_names(fd, [b"a", b"b", b"c"])
    os.close(fd)
    assert [b"a", b"c"] == rows.names
    assert [b"b"] == [name for name, _ in rows.failed]
    assert 1 == rows.position(b"c")
    assert os.lstat(tmp_path / "c").st_ino == rows.numbers[7 + INO]


def test_a_file_on_a_mount_point_below_a_root_is_left_out_on_request() -> None:
    path = Path("/dev/shm") / f"vaultd-test-{os.getpid()}"  # another file system nearly everywhere
    assert os.stat("/dev/shm").st_dev != os.stat("/dev").st_dev
    path.touch()
    try:
        only = ("/dev/*", "!/dev/shm", "/dev/shm/*", f"!{path}")
        taken = take(b"/dev", options=CaptureOptions(exclude=only))
        assert {"shm", f"shm/{path.name}"} == taken.below(b"/dev")
        taken = take(b"/dev", options=CaptureOptions(exclude=only, one_file_system=True))
        assert {"shm"} == taken.below(b"/dev")
    finally:
        path.unlink()


# --- depth, descriptors ------------------------------------------------------------------------


def deep(root: Path, levels: int) -> None:
    """Make a chain of directories deeper than any path may be long."""
    fd = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 20, dir_fd=fd)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def test_a_tree_of_a_thousand_levels_is_captured_with_few_descriptors(bottomless: Path) -> None:
    deep(bottomless, 1000)
    (bottomless / "zz").mkdir()
    before = open_descriptors()
    most = 0

    def count(_: Listing) -> None:
        nonlocal most
        most = max(most, open_descriptors() - before)

    taken = take(bottomless, before_open=count)
    assert not taken.heard.problems
    assert 1002 == len(taken.below(bottomless))
    assert taken.listings[-1].path.endswith(b"/zz")
    assert most < 80
    assert before == open_descriptors()


def test_what_is_deeper_than_the_limit_is_reported_and_left_out(bottomless: Path) -> None:
    deep(bottomless, MAX_DEPTH + 2)
    taken = take(bottomless)
    assert ["unsupported"] == [kind for kind, _ in taken.heard.kinds]
    assert MAX_DEPTH == max(path.count(b"/") for path in taken.paths)


def chain_of(root: Path, levels: int) -> Path:
    return root.joinpath(*["d"] * levels)


@pytest.mark.parametrize("also_above", [False, True])
def test_a_deep_directory_that_is_moved_away_is_found_again_or_reported(
    tmp_path: Path, also_above: bool
) -> None:
    chain_of(tmp_path, 100).mkdir(parents=True)
    for depth in (5, 15, 25, 50):
        (chain_of(tmp_path, depth) / "z").mkdir()
        (chain_of(tmp_path, depth) / "z/x").touch()

    def move(listing: Listing) -> None:
        if listing.path.endswith(b"/d" * 100):
            chain_of(tmp_path, 20).rename(tmp_path / "moved")
            if also_above:
                chain_of(tmp_path, 10).rename(tmp_path / "away")

    taken = take(tmp_path, before_open=move)
    # What was moved is finished where it went, what is above it where it was: unless that is gone.
    expected = {5, 25, 50} if also_above else {5, 15, 25, 50}
    below = taken.below(tmp_path)
    assert expected == {
        depth for depth in (5, 15, 25, 50) if "/".join(["d"] * depth) + "/z/x" in below
    }
    lost = [("vanished", os.fsencode(chain_of(tmp_path, 15)))]
    assert (lost if also_above else []) == taken.heard.kinds


def test_leaving_a_capture_early_closes_everything(tmp_path: Path) -> None:
    make(tmp_path, *(f"a/b/c/{number}" for number in range(100)))
    before = open_descriptors()
    with FilesCapture([os.fsencode(tmp_path)], CaptureOptions(), SystemClock(), Heard()) as capture:
        scan = capture.scan()
        scanned = next(one for one in scan if one.listing.path.endswith(b"/c"))
        files = capture.open(scanned, range(100))
        next(files)
        assert open_descriptors() > before + 30
        files.close()  # type: ignore[attr-defined]  # as a loop that is left does
    assert before == open_descriptors()


# --- racy times --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_ns", "racy"),
    [(0, True), (99_000_000, True), (101_000_000, False), (-SECOND, True), (3 * SECOND, False)],
)
def test_an_entry_changed_just_before_the_scan_is_racy(
    tmp_path: Path, age_ns: int, racy: bool
) -> None:
    make(tmp_path, "f")
    changed_ns = os.lstat(tmp_path / "f").st_ctime_ns
    taken = take(tmp_path, clock=StoodClock(changed_ns + age_ns))
    assert ({0} if racy else set()) == taken.scans[-1].racy


@pytest.mark.parametrize(("age_ns", "racy"), [(SECOND, True), (2 * SECOND + 1, False)])
def test_whole_second_change_times_are_racy_for_longer(
    tmp_path: Path, age_ns: int, racy: bool
) -> None:
    make(tmp_path, "f")
    fd = os.open(tmp_path, os.O_RDONLY)
    rows = stat_names(fd, [b"f"])
    os.close(fd)
    whole_ns = 1_700_000_000 * SECOND
    rows.numbers[CTIME] = whole_ns
    assert ({0} if racy else set()) == rows.racy(whole_ns + age_ns)
    rows.numbers[CTIME] = whole_ns + 1
    assert set() == rows.racy(whole_ns + SECOND)


def test_the_largest_inodes_and_times_fit_into_a_row() -> None:
    status = os.stat_result(
        (0o100644, (1 << 64) - 2, 0, 1, 0, 0, 5, 0, 0, 0),
        {"st_mtime_ns": 1 << 70, "st_ctime_ns": -(1 << 70)},
    )
    numbers = numbers_of(status)
    assert -2 == numbers[INO]
    assert 5 == numbers[SIZE]
    assert ((1 << 63) - 1, -(1 << 63) + 1) == (numbers[MTIME], numbers[CTIME])
