"""A folder as a backend under failing disks, full disks and dying processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from vaultd.backends.base import Spooled
from vaultd.backends.local import LocalBackend
from vaultd.backends.local_placing import Placing
from vaultd.backends.local_system import System
from vaultd.core.errors import NoSpaceError, ObjectExistsError, ObjectNotFoundError, StorageError

NAMES = ["snap/web/1", "packs/web/1/a", "packs/web/1/b"]


class Counted(System):
    """Does something to the n-th call, before or after the system makes it."""

    def __init__(self, number: int, act: Callable[[], None], *, after: bool = False) -> None:
        self.left = number
        self.act = act
        self.after = after

    def _step(self, *, after: bool) -> None:
        if after is self.after:
            self.left -= 1
            if self.left == 0:
                self.act()

    def open_unnamed(self, folder: str) -> int:
        self._step(after=False)
        fd = super().open_unnamed(folder)
        self._step(after=True)
        return fd

    def open_named(self, path: str) -> int:
        self._step(after=False)
        fd = super().open_named(path)
        self._step(after=True)
        return fd

    def write(self, fd: int, block: bytes) -> None:
        self._step(after=False)
        super().write(fd, block[: len(block) // 2])
        self._step(after=False)
        super().write(fd, block[len(block) // 2 :])
        self._step(after=True)

    def copy(self, source: int, fd: int, size: int) -> int:
        self._step(after=False)
        done = super().copy(source, fd, size)
        self._step(after=True)
        return done

    def flush(self, fd: int) -> None:
        self._step(after=False)
        self._step(after=True)

    def flush_folder(self, path: str) -> None:
        self._step(after=False)
        self._step(after=True)

    def link_open(self, fd: int, path: str) -> None:
        self._step(after=False)
        super().link_open(fd, path)
        self._step(after=True)

    def link(self, source: str, path: str) -> None:
        self._step(after=False)
        super().link(source, path)
        self._step(after=True)

    def rename_new(self, source: str, path: str) -> None:
        self._step(after=False)
        super().rename_new(source, path)
        self._step(after=True)


def fail() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def put_all(backend: LocalBackend, source: int) -> None:
    for name in NAMES[:2]:
        backend.put(name, name.encode())
    os.ftruncate(source, len(NAMES[2]))
    os.pwrite(source, NAMES[2].encode(), 0)
    backend.put(NAMES[2], Spooled(fd=source, size=len(NAMES[2])))


def assert_whole_or_absent(backend: LocalBackend) -> int:
    found = [info.name for info in backend.list("")]
    for name in found:
        assert name.encode() == backend.get(name)
    assert set(found) <= set(NAMES)
    return len(found)


def finish(backend: LocalBackend) -> None:
    """Do all again, as a restarted backup does; what is there already is fine."""
    for name in NAMES:
        try:
            backend.put(name, name.encode())
        except ObjectExistsError:
            assert name.encode() == backend.get(name)
    assert len(NAMES) == assert_whole_or_absent(backend)


@pytest.mark.parametrize("placing", Placing)
@pytest.mark.parametrize("after", [False, True])
def test_any_failing_call_leaves_objects_whole_or_absent(
    placing: Placing, after: bool, tmp_path: Path
) -> None:
    source = os.memfd_create("source")
    for number in itertools.count(1):
        root = tmp_path / str(number)
        system = Counted(number, fail, after=after)
        backend = LocalBackend(root, create=True, system=system, placing=placing)
        with contextlib.suppress(StorageError):
            put_all(backend, source)
        assert_whole_or_absent(backend)
        finish(LocalBackend(root, placing=placing))
        assert [] == list(root.glob(".tmp/*"))
        if system.left > 0:  # there was no such call any more
            break
    assert number > 10
    os.close(source)


@pytest.mark.parametrize("placing", Placing)
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_call_leaves_nothing_to_clean_by_hand(
    placing: Placing, after: bool, tmp_path: Path
) -> None:
    source = os.memfd_create("source")
    leftovers = 0
    for number in itertools.count(1):
        root = tmp_path / str(number)
        root.mkdir()
        if not dies_in_the_middle(root, Counted(number, die, after=after), placing, source):
            break
        backend = LocalBackend(root, placing=placing)
        assert_whole_or_absent(backend)
        leftovers += len(list(root.glob(".tmp/*")))
        backend.put("next", b"x")
        backend.delete("next")
        assert [] == list(root.glob(".tmp/*"))
        finish(backend)
    assert number > 10
    assert (leftovers > 0) == (placing is not Placing.UNNAMED)
    os.close(source)


def dies_in_the_middle(root: Path, system: System, placing: Placing, source: int) -> bool:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            put_all(LocalBackend(root, system=system, placing=placing), source)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


def test_a_temporary_file_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path, placing=Placing.LINK)
    folder = backend.spool
    assert folder is not None
    living, dead = folder / f"{os.getpid()}-1", folder / "1-2"
    dead.write_bytes(b"half")
    with living.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        backend.put("object", b"x")
        assert [living] == list(folder.iterdir())
    LocalBackend(tmp_path, placing=Placing.LINK).put("other", b"x")
    assert [] == list(folder.iterdir())


def test_a_full_disk_is_no_space_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files stands for the disk: both make write(2) come back short.
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            backend = LocalBackend(tmp_path)
            backend.put("small", b"x" * 100_000)
            try:
                backend.put("big", b"x" * 100_001)
            except NoSpaceError:
                status = 0
        finally:
            os._exit(status)
    assert (child, 0) == os.waitpid(child, 0)
    backend = LocalBackend(tmp_path)
    assert ["small"] == [info.name for info in backend.list("")]
    with pytest.raises(ObjectNotFoundError):
        backend.get("big")
    backend.put("big", b"x" * 100_001)
