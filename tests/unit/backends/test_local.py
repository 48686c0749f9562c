"""A folder as a backend: what it leaves on the disk, and what it makes of odd folders."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vaultd.backends.base import Spooled
from vaultd.backends.bodies import read_exactly
from vaultd.backends.local import LocalBackend
from vaultd.backends.local_placing import Placing
from vaultd.backends.local_system import System
from vaultd.core.errors import (
    AccessDeniedError,
    NoSpaceError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    VaultNotFoundError,
)


class Recording(System):
    """Notes what is flushed and named, in order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[str] = []

    def flush(self, fd: int) -> None:
        self.events.append("flush bytes")
        super().flush(fd)

    def flush_folder(self, path: str) -> None:
        self.events.append(f"flush {os.path.relpath(path, self.root)}")
        super().flush_folder(path)

    def link_open(self, fd: int, path: str) -> None:
        self.events.append(f"name {os.path.relpath(path, self.root)}")
        super().link_open(fd, path)

    def copy(self, source: int, fd: int, size: int) -> int:
        self.events.append("copy")
        return super().copy(source, fd, size)


class Refusing(System):
    """A file system without some calls."""

    def __init__(self, number: int, *calls: str) -> None:
        self.number = number
        self.calls = calls

    def _check(self, call: str) -> None:
        if call in self.calls:
            raise OSError(self.number, os.strerror(self.number))

    def open_unnamed(self, folder: str) -> int:
        self._check("open_unnamed")
        return super().open_unnamed(folder)

    def lock(self, fd: int) -> bool:
        self._check("lock")
        return super().lock(fd)

    def link_open(self, fd: int, path: str) -> None:
        self._check("link_open")
        super().link_open(fd, path)

    def link(self, source: str, path: str) -> None:
        self._check("link")
        super().link(source, path)

    def rename_new(self, source: str, path: str) -> None:
        self._check("rename_new")
        super().rename_new(source, path)

    def flush(self, fd: int) -> None:
        self._check("flush")
        super().flush(fd)


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[Spooled]:
    with tempfile.TemporaryFile(dir=tmp_path, buffering=0) as file:
        file.write(b"spooled bytes")
        yield Spooled(fd=file.fileno(), size=13)


def test_bytes_are_flushed_before_the_name_and_the_name_before_put_returns(tmp_path: Path) -> None:
    system = Recording(tmp_path)
    backend = LocalBackend(tmp_path, system=system)
    backend.put("a/b/c", b"x")
    expected = ["flush .", "flush a", "flush bytes", "name a/b/c", "flush a/b"]
    assert expected == system.events
    system.events.clear()
    backend.put("a/b/d", b"x")
    assert ["flush bytes", "name a/b/d", "flush a/b"] == system.events


def test_a_taken_name_is_flushed_before_it_is_reported(tmp_path: Path) -> None:
    LocalBackend(tmp_path).put("a/b", b"x")
    system = Recording(tmp_path)
    with pytest.raises(StorageError, match="exists already"):
        LocalBackend(tmp_path, system=system).put("a/b", b"x")
    assert ["flush .", "flush bytes", "name a/b", "flush a"] == system.events


def test_a_spooled_file_becomes_the_object_without_copying(tmp_path: Path) -> None:
    system = Recording(tmp_path)
    backend = LocalBackend(tmp_path, system=system)
    fd = os.open(str(backend.spool), os.O_TMPFILE | os.O_RDWR, 0o644)
    os.write(fd, b"packed")
    backend.put("packs/one", Spooled(fd=fd, size=6))
    assert os.fstat(fd).st_ino == (tmp_path / "packs/one").stat().st_ino
    backend.put("packs/two", Spooled(fd=fd, size=6))
    os.close(fd)
    assert ["copy"] == [event for event in system.events if event == "copy"]
    assert b"packed" == backend.get("packs/one") == backend.get("packs/two")


def test_a_spooled_file_longer_than_its_body_is_copied(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    fd = os.open(str(backend.spool), os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"packed and more")
    backend.put("one", Spooled(fd=fd, size=6))
    os.close(fd)
    assert b"packed" == backend.get("one")


def test_a_spooled_file_that_is_too_short_is_refused(tmp_path: Path, spooled: Spooled) -> None:
    with pytest.raises(StorageError, match="ends at byte 13, expected 14"):
        LocalBackend(tmp_path).put("short", Spooled(fd=spooled.fd, size=14))
    assert [] == files_below(tmp_path)


def test_a_spooled_file_of_another_file_system_is_copied(tmp_path: Path) -> None:
    fd = os.memfd_create("elsewhere")
    os.write(fd, b"far" * 1_000_000)
    LocalBackend(tmp_path).put("far", Spooled(fd=fd, size=3_000_000))
    assert 3_000_000 == os.lseek(fd, 0, os.SEEK_CUR)
    os.close(fd)
    assert b"far" * 1_000_000 == LocalBackend(tmp_path).get("far")


@pytest.mark.parametrize("placing", Placing)
def test_modes_are_private_whatever_the_umask_and_the_spool_say(
    placing: Placing, tmp_path: Path
) -> None:
    old = os.umask(0)
    try:
        root = tmp_path / "new"
        backend = LocalBackend(root, create=True, placing=placing)
        backend.put("a/b", b"x")
        fd = os.open(str(backend.spool), os.O_TMPFILE | os.O_RDWR, 0o666)
        backend.put("a/c", Spooled(fd=fd, size=0))
        os.close(fd)
    finally:
        os.umask(old)
    modes = {str(p.relative_to(tmp_path)): stat.S_IMODE(p.stat().st_mode) for p in root.rglob("*")}
    modes["new"] = stat.S_IMODE(root.stat().st_mode)
    expected = {"new": 0o700, "new/.tmp": 0o700, "new/a": 0o700, "new/a/b": 0o600, "new/a/c": 0o600}
    assert expected == modes


@pytest.mark.parametrize(
    ("number", "calls", "expected"),
    [
        (errno.EOPNOTSUPP, ("open_unnamed",), Placing.LINK),
        (errno.EISDIR, ("open_unnamed",), Placing.LINK),
        (errno.EPERM, ("link_open",), Placing.LINK),
        (errno.EPERM, ("open_unnamed", "link"), Placing.RENAME),
        (errno.EOPNOTSUPP, ("link_open", "link"), Placing.RENAME),
        (errno.EOPNOTSUPP, ("open_unnamed", "lock"), Placing.LINK),
    ],
)
def test_a_file_system_without_a_call_is_used_in_another_way(
    number: int, calls: tuple[str, ...], expected: Placing, tmp_path: Path, spooled: Spooled
) -> None:
    backend = LocalBackend(tmp_path, system=Refusing(number, *calls))
    for body in (b"spooled bytes", spooled):
        name = f"a/{type(body).__name__}"
        backend.put(name, body)
        assert expected is backend.placing
        assert b"spooled bytes" == backend.get(name)
        with pytest.raises(StorageError, match="exists already"):
            backend.put(name, body)
    assert ["a/Spooled", "a/bytes"] == files_below(tmp_path)


class Swept(System):
    """Another process sweeps the temporary folder at the worst moments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.locks = 0

    def open_unnamed(self, folder: str) -> int:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def lock(self, fd: int) -> bool:
        self.locks += 1
        if self.locks == 1:  # it has the lock, and will remove the file
            return False
        if self.locks == 2:  # it has removed the file just before we locked it
            (self.folder / ".tmp" / f"{os.getpid()}-2").unlink()
        return super().lock(fd)


def test_a_sweep_between_opening_and_locking_does_no_harm(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path, system=Swept(tmp_path))
    backend.put("a", b"contents")
    assert b"contents" == backend.get("a")
    assert [f".tmp/{os.getpid()}-1", "a"] == files_below(tmp_path)
    LocalBackend(tmp_path, placing=Placing.LINK).put("b", b"")
    assert ["a", "b"] == files_below(tmp_path)


def test_an_error_of_locking_is_an_error_of_the_put(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path, system=Refusing(errno.EIO, "lock"), placing=Placing.LINK)
    with pytest.raises(StorageError, match="Input/output error"):
        backend.put("a", b"x")


def test_a_file_system_that_could_overwrite_is_refused(tmp_path: Path) -> None:
    system = Refusing(errno.EINVAL, "link_open", "link", "rename_new")
    with pytest.raises(StorageError, match="could replace") as caught:
        LocalBackend(tmp_path, system=system).put("a", b"x")
    assert caught.value.hint
    assert [] == files_below(tmp_path)


def test_a_folder_in_which_nothing_may_be_named_is_a_missing_right(tmp_path: Path) -> None:
    system = Refusing(errno.EPERM, "link_open", "link", "rename_new")
    with pytest.raises(AccessDeniedError):
        LocalBackend(tmp_path, system=system).put("a", b"x")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EACCES, AccessDeniedError),
        (errno.EROFS, AccessDeniedError),
        (errno.ESTALE, StorageUnavailableError),
        (errno.EIO, StorageError),
        (errno.ENOMEM, StorageError),
    ],
)
def test_errors_of_the_system_become_errors_of_a_backend(
    number: int, expected: type[StorageError], tmp_path: Path
) -> None:
    backend = LocalBackend(tmp_path, system=Refusing(number, "flush"))
    with pytest.raises(StorageError) as caught:
        backend.put("some/object", b"x")
    assert expected is type(caught.value)
    assert caught.value.message.startswith("object some/object: ")
    assert [] == files_below(tmp_path)


def test_a_missing_folder_is_no_vault_unless_it_may_be_made(tmp_path: Path) -> None:
    with pytest.raises(VaultNotFoundError, match="missing"):
        LocalBackend(tmp_path / "not" / "there")
    backend = LocalBackend(tmp_path / "not" / "there", create=True)
    assert str(tmp_path / "not" / "there") == backend.location
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(VaultNotFoundError, match="not a folder"):
        LocalBackend(tmp_path / "file")


def test_looking_at_a_folder_makes_nothing_in_it(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    assert [] == list(backend.list(""))
    assert backend.free_bytes() > 0
    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_went_away_is_not_an_empty_vault(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    backend = LocalBackend(root, create=True)
    backend.put("snap/one", b"x")
    mounted = root.rename(tmp_path / "unmounted")
    gone: list[Callable[[], object]] = [
        lambda: backend.get("snap/one"),
        lambda: backend.head("snap/one"),
        lambda: list(backend.list("")),
        lambda: backend.delete("snap/one"),
        lambda: backend.put("snap/two", b"x"),
    ]
    for call in gone:
        with pytest.raises(StorageError, match="gone") as caught:
            call()
        assert StorageError is type(caught.value)
    assert backend.spool is None
    root.mkdir()  # the mount point
    for call in gone:
        with pytest.raises(StorageError, match="no longer the folder"):
            call()
    assert [] == list(root.iterdir())
    root.rmdir()
    mounted.rename(root)
    assert b"x" == backend.get("snap/one")


def test_a_folder_cleared_under_a_running_backend_is_filled_again(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    backend.put("a/b/c", b"x")
    for name in ("a/b/c", "a/b", "a", ".tmp"):
        path = tmp_path / name
        path.unlink() if path.is_file() else path.rmdir()
    backend.put("a/b/c", b"y")
    assert b"y" == backend.get("a/b/c")


def test_only_regular_files_with_fit_names_are_objects(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    backend.put("a/object", b"x")
    (tmp_path / "a" / "bad name").write_bytes(b"x")
    (tmp_path / "a" / ".nfs0001").write_bytes(b"x")
    (tmp_path / "a" / "folder").mkdir()
    os.mkfifo(tmp_path / "a" / "fifo")
    assert ["a/object"] == [info.name for info in backend.list("")]
    for name in ("a/fifo", "a/folder", "a"):
        with pytest.raises(ObjectNotFoundError):
            backend.get(name)


def test_symbolic_links_are_refused_and_not_passed_over(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "link").symlink_to(tmp_path / "secret")
    looks: list[Callable[[], object]] = [
        lambda: backend.get("packs/link"),
        lambda: backend.head("packs/link"),
        lambda: list(backend.list("")),
    ]
    for look in looks:
        with pytest.raises(StorageError) as caught:
            look()
        assert "Put what the symbolic link points to in its place." == caught.value.hint


def test_bodies_over_64_mib_are_refused(tmp_path: Path, spooled: Spooled) -> None:
    with pytest.raises(StorageError, match=r"64\.0 MiB"):
        LocalBackend(tmp_path).put("big", Spooled(fd=spooled.fd, size=(64 << 20) + 1))
    with (tmp_path / "planted").open("wb") as file:
        file.truncate(1 << 40)
    assert 5 == len(LocalBackend(tmp_path).get("planted", offset=1 << 39, length=5))
    with pytest.raises(StorageError, match=r"1\.00 TiB"):
        LocalBackend(tmp_path).get("planted")


def test_a_file_that_ends_early_is_no_short_result(spooled: Spooled) -> None:
    assert b"bytes" == read_exactly(spooled.fd, 5, 8)
    with pytest.raises(EOFError, match="ends at byte 13, expected 14"):
        read_exactly(spooled.fd, 6, 8)


def test_a_range_before_the_beginning_is_refused(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    backend.put("a", b"0123456789")
    with pytest.raises(StorageError):
        backend.get("a", offset=-1)
    with pytest.raises(StorageError):
        backend.get("a", length=-1)
