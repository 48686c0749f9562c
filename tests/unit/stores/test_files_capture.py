"""Opening, completing and settling entries of a file tree."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.support.trees import ACL_ACCESS, acl
from tests.unit.stores.taking import Heard, ordinary_user, row, take
from vaultd.core.clock import SystemClock
from vaultd.core.tree import INO, MODE, MTIME, SIZE, Extra
from vaultd.stores.base import Scanned
from vaultd.stores.files.attributes import (
    FLAG_NOATIME,
    FLAG_NODUMP,
    FS_IOC_GETFLAGS,
    FS_IOC_SETFLAGS,
    WORTH,
    segments_of,
)
from vaultd.stores.files.capture import FilesCapture
from vaultd.stores.files.options import CaptureOptions

MIB = 1 << 20


def extras(root: Path, options: CaptureOptions | None = None) -> dict[str, Extra]:
    """Return the extras of the entries of one directory, by name."""
    listing = take(root, options=options).listings[-1]
    return {os.fsdecode(listing.names[at]): extra for at, extra in listing.extras.items()}


@contextmanager
def last_listing(root: Path, heard: Heard | None = None) -> Iterator[tuple[FilesCapture, Scanned]]:
    """Scan up to the listing of ``root`` itself and stop there."""
    with FilesCapture(
        [os.fsencode(root)], CaptureOptions(), SystemClock(), heard or Heard()
    ) as capture:
        path = os.fsencode(root)[1:]
        for scanned in capture.scan():
            if scanned.listing.path == path:
                yield capture, scanned
                return
        pytest.fail("the root was not scanned")


def set_flags(path: Path, flags: int) -> None:
    """Set inode flags that people set; all file systems that tests run on know some of them."""
    fd = os.open(path, os.O_RDONLY)
    word = bytearray(4)
    ioctl(fd, FS_IOC_GETFLAGS, word)
    kept = struct.unpack("i", word)[0] & ~WORTH
    ioctl(fd, FS_IOC_SETFLAGS, struct.pack("i", kept | flags))
    os.close(fd)


# --- extras ------------------------------------------------------------------------------------


def test_ordinary_entries_have_no_extra(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "p")
    taken = take(tmp_path)
    assert {} == taken.listings[-2].extras
    assert ["d", "f", "p"] == sorted(taken.below(tmp_path))


def test_links_keep_their_target_byte_for_byte(tmp_path: Path) -> None:
    targets = {b"a": b"../..//x", b"b": b"\xff\n", b"c": b"t" * 3000}
    for name, target in targets.items():
        os.symlink(target, os.fsencode(tmp_path) + b"/" + name)
    found = extras(tmp_path)
    assert targets == {os.fsencode(name): extra.link_target for name, extra in found.items()}


def test_names_of_one_file_share_a_link_group_and_others_have_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "sub").mkdir()
    os.link(tmp_path / "a", tmp_path / "sub" / "b")
    (tmp_path / "c").write_text("x")
    os.link(tmp_path / "c", tmp_path / "d")
    (tmp_path / "single").write_text("x")
    groups = {
        entry.name: entry.extra.link_group for entry in take(tmp_path).entries() if entry.size == 1
    }
    status = os.lstat(tmp_path / "a")
    expected = status.st_dev.to_bytes(8, "little") + status.st_ino.to_bytes(8, "little")
    assert expected == groups[b"a"] == groups[b"b"]
    assert groups[b"c"] == groups[b"d"] != groups[b"a"]
    assert groups[b"single"] == b""


def test_devices_have_their_numbers_and_are_not_opened() -> None:
    root = Path("/dev")
    taken = take(root, options=CaptureOptions(exclude=("/dev/*", "!/dev/null", "!/dev/zero")))
    found = {entry.name: entry for entry in taken.entries() if entry.path == b"dev"}
    assert (1 << 32 | 3, 1 << 32 | 5) == (
        found[b"null"].extra.rdev,
        found[b"zero"].extra.rdev,
    )
    assert stat.S_ISCHR(found[b"null"].mode)


def test_attributes_of_files_directories_and_lists_of_rights_are_read(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "d").mkdir()
    for name in ("f", "d"):
        os.setxattr(tmp_path / name, "user.z", b"last")
        os.setxattr(tmp_path / name, b"user.\xff", b"\0\xff")
    os.setxattr(tmp_path / "f", ACL_ACCESS, acl(0o640, 1000, 5))
    taken = take(tmp_path)
    found = {entry.name: entry.extra.xattrs for entry in taken.entries()}
    plain = ((b"user.z", b"last"), (b"user.\xff", b"\0\xff"))
    assert plain == tuple(item for item in found[b"d"] if item[0].startswith(b"user."))
    assert (ACL_ACCESS, os.getxattr(tmp_path / "f", ACL_ACCESS)) in found[b"f"]
    assert list(found[b"f"]) == sorted(found[b"f"])


def test_attributes_of_entries_that_are_not_opened_are_read(tmp_path: Path) -> None:
    os.symlink("x", tmp_path / "l")
    os.mkfifo(tmp_path / "p")
    name, root = "trusted.vaultd", os.geteuid() == 0  # only root may, and only root sees them
    for entry in ("l", "p") if root else ():
        os.setxattr(tmp_path / entry, name, b"x", follow_symlinks=False)
    expected = ((b"trusted.vaultd", b"x"),) if root else ()
    found = extras(tmp_path)
    assert expected == found["l"].xattrs
    assert expected == found.get("p", Extra()).xattrs


def test_flags_that_people_set_are_read(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "d").mkdir()
    set_flags(tmp_path / "f", FLAG_NODUMP)
    set_flags(tmp_path / "d", FLAG_NODUMP | FLAG_NOATIME)
    found = {entry.name: entry.extra.flags for entry in take(tmp_path).entries()}
    assert (FLAG_NODUMP, FLAG_NODUMP | FLAG_NOATIME) == (found[b"f"], found[b"d"])


def test_attributes_and_flags_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    os.setxattr(tmp_path / "f", "user.a", b"x")
    set_flags(tmp_path / "f", FLAG_NODUMP)
    assert {} == extras(tmp_path, CaptureOptions(xattrs=False, flags=False))


def test_a_file_system_without_attributes_or_flags_is_no_problem() -> None:
    taken = take(b"/proc/sys/kernel", options=CaptureOptions(exclude=("/proc/*/*/*", "!ostype")))
    assert b"Linux\n" in taken.contents.values()
    assert [] == taken.heard.problems


# --- holes -------------------------------------------------------------------------------------


def sparse(path: Path, size: int, *pieces: tuple[int, int]) -> None:
    with path.open("wb") as file:
        for offset, length in pieces:
            file.seek(offset)
            file.write(b"x" * length)
        file.truncate(size)


def test_a_sparse_file_has_the_segments_of_its_data(tmp_path: Path) -> None:
    sparse(tmp_path / "ends", 3 * MIB, (MIB, 4096))
    sparse(tmp_path / "hole", 2 * MIB, (0, 4096), (MIB, MIB))
    sparse(tmp_path / "nothing", 5 * MIB)
    sparse(tmp_path / "short", 4097, (0, 4096))
    sparse(tmp_path / "full", MIB, (0, MIB))
    sparse(tmp_path / "byte", 1)
    for name in ("byte", "full"):  # such attributes have a block of their own
        os.setxattr(tmp_path / name, "user.large", b"x" * 1000)
    found = extras(tmp_path)
    assert ((MIB, 4096),) == found["ends"].segments
    assert ((0, 4096), (MIB, MIB)) == found["hole"].segments
    assert () == found["nothing"].segments
    assert ((0, 4096),) == found["short"].segments
    assert () == found["byte"].segments
    assert found["full"].segments is None


def test_a_file_is_read_from_its_beginning_after_its_holes_were_found(tmp_path: Path) -> None:
    sparse(tmp_path / "f", 2 * MIB, (0, 5), (MIB, 5))
    contents = take(tmp_path).contents[os.fsencode(tmp_path)[1:] + b"/f"]
    assert (2 * MIB, b"xxxxx\0") == (len(contents), contents[:6])


def test_a_file_of_very_many_holes_loses_the_short_ones(tmp_path: Path) -> None:
    path = tmp_path / "f"
    sparse(path, 64 * MIB, *((at * 16384, 4096) for at in range(1100)), (60 * MIB, 4096))
    with path.open("rb") as file:
        segments = segments_of(file.fileno(), 64 * MIB)
    assert ((0, 1099 * 16384 + 4096), (60 * MIB, 4096)) == segments


# --- reading -----------------------------------------------------------------------------------


def test_many_files_are_opened_ahead_in_the_order_asked_for(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}").write_text(str(number))
    with last_listing(tmp_path) as (capture, scanned):
        wanted = [*range(0, 300, 2), *range(299, 0, -2)]
        found = [(at, os.read(fd, 10).decode()) for at, fd in capture.open(scanned, wanted)]
    assert [(at, str(at)) for at in wanted] == found


def test_files_that_vanish_or_may_not_be_read_are_dropped_and_reported(common: Path) -> None:
    for name in ("gone", "open", "secret"):
        (common / name).write_text(name)
    (common / "secret").chmod(0o000)
    with ordinary_user():
        taken = take(common, before_open=lambda listing: remove(common / "gone", listing.names))
    assert {"open"} == taken.below(common)
    expected = {("vanished", b"gone"), ("denied", b"secret")}
    assert expected == {(kind, os.path.basename(path)) for kind, path in taken.heard.kinds}
    assert not any(problem.warning for problem in taken.heard.problems)


def remove(path: Path, names: list[bytes]) -> None:
    if os.fsencode(path.name) in names:
        path.unlink()


def test_access_times_stay_where_that_is_allowed_and_files_of_others_are_read_too(
    common: Path,
) -> None:
    for name in ("mine", "theirs"):
        (common / name).write_text("x" * 10)
        os.utime(common / name, ns=(1, 10**18))
    if os.geteuid() == 0:
        os.chown(common / "mine", 65534, 65534)
    with ordinary_user():
        taken = take(common)
    assert {b"x" * 10} == set(taken.contents.values())
    assert 1 == os.stat(common / "mine").st_atime_ns


def test_an_entry_that_is_replaced_before_it_is_completed_is_dropped(tmp_path: Path) -> None:
    os.symlink("x", tmp_path / "l")
    os.mkfifo(tmp_path / "p")

    def swap(names: list[bytes]) -> None:
        if b"l" in names:
            for name in ("l", "p"):
                (tmp_path / name).unlink()
                (tmp_path / name).write_text("now a file")

    taken = take(tmp_path, before_open=lambda listing: swap(listing.names))
    assert set() == taken.below(tmp_path)
    assert 2 == len(taken.heard.problems)


def test_an_input_error_is_reported_as_one(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    heard = Heard()
    with last_listing(tmp_path, heard) as (capture, scanned):
        capture.fail(scanned, 0, OSError(errno.EIO, os.strerror(errno.EIO)))
        assert {0} == scanned.dropped
    assert [("io-error", os.fsencode(tmp_path / "f"))] == heard.kinds
    assert "input/output error" in heard.problems[0].reason


# --- settling ----------------------------------------------------------------------------------


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("more")


def replace(path: Path) -> None:
    """Put a new file in the place of the old one: the reader still has the old one open."""
    other = path.with_name("other")
    other.write_text("new")
    other.rename(path)


@pytest.mark.parametrize(
    "change",
    [
        append,
        replace,
        lambda path: path.chmod(0o600),
        lambda path: os.truncate(path, 1),
        lambda path: os.utime(path, ns=(5, 5)),
        lambda path: os.link(path, path.with_name("second")),
        lambda path: os.setxattr(path, "user.a", b"x"),
        lambda path: path.unlink(),
    ],
    ids=["append", "replace", "chmod", "truncate", "touch", "link", "attribute", "unlink"],
)
def test_a_file_that_changes_while_it_is_read_is_read_once_more(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "f"
    path.write_text("old contents")
    with last_listing(tmp_path) as (capture, scanned):
        for position, fd in capture.open(scanned, [0]):
            change(path)
            assert not capture.settle(scanned, position, fd)
            status = os.fstat(fd)
            expected = [status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino]
            found = row(scanned.listing, b"f")
            assert expected == [found[MODE], found[SIZE], found[MTIME], found[INO]]
            assert {0} == scanned.racy
            assert capture.settle(scanned, position, fd)


def test_the_extras_of_a_changed_file_are_those_of_now(tmp_path: Path) -> None:
    path = tmp_path / "f"
    sparse(path, MIB, (0, 4096))
    os.link(path, tmp_path / "g")
    os.setxattr(path, "user.old", b"x")
    with last_listing(tmp_path) as (capture, scanned):
        for position, fd in capture.open(scanned, [0]):
            assert ((0, 4096),) == scanned.listing.extras[0].segments
            (tmp_path / "g").unlink()
            os.removexattr(path, "user.old")
            sparse(path, 2 * MIB, (MIB, 4096))
            assert not capture.settle(scanned, position, fd)
    assert Extra(segments=((MIB, 4096),)) == scanned.listing.extras[0]


def test_a_file_that_became_something_else_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    heard = Heard()
    with last_listing(tmp_path, heard) as (capture, scanned):
        path.unlink()
        os.mkfifo(path)
        for position, fd in capture.open(scanned, [0]):
            assert b"" == os.read(fd, 10)
            assert capture.settle(scanned, position, fd)
        assert {0} == scanned.dropped
    assert [("vanished", os.fsencode(path))] == heard.kinds


def test_a_file_that_never_settles_is_flagged_and_reported(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    heard = Heard()
    with last_listing(tmp_path, heard) as (capture, scanned):
        capture.flag_changed(scanned, 0)
        assert Extra(changed=True) == scanned.listing.extras[0]
        assert (set(), {0}) == (scanned.dropped, scanned.racy)
    assert [("changed-while-reading", os.fsencode(tmp_path / "f"))] == heard.kinds


# --- facts -------------------------------------------------------------------------------------


def test_facts_name_the_owners_that_were_seen(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    taken = take(tmp_path, options=CaptureOptions(hostname="web1"))
    facts = taken.facts
    assert facts is not None
    assert ("web1", (os.fsencode(tmp_path),)) == (facts.hostname, facts.roots)
    assert facts.users[0] == "root"
    assert facts.groups[0] == "root"


def test_the_fingerprint_changes_with_what_changes_the_result_only() -> None:
    plain = CaptureOptions().fingerprint()
    assert 32 == len(plain)
    assert plain == CaptureOptions(hostname="other", warn_live_databases=False).fingerprint()
    others = [
        CaptureOptions(exclude=("a", "b")),
        CaptureOptions(exclude=("b", "a")),
        CaptureOptions(exclude=("a, b",)),
        CaptureOptions(iexclude=("a", "b")),
        CaptureOptions(exclude_if_present=(".nobackup",)),
        CaptureOptions(exclude_caches=True),
        CaptureOptions(exclude_larger_than_bytes=5),
        CaptureOptions(exclude_nodump=True),
        CaptureOptions(one_file_system=True),
        CaptureOptions(xattrs=False),
        CaptureOptions(flags=False),
        CaptureOptions(exclude=("\udcff",)),
    ]
    assert len(others) + 1 == len({plain, *(options.fingerprint() for options in others)})
