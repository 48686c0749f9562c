"""What a backup would read, and how much the last one held."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.vaults import CAPTURE, STORE, STORE_ID, Machine, Vault
from vaultd.backends.memory import MemoryBackend
from vaultd.core.clock import SystemClock
from vaultd.core.errors import SourceUnreadableError
from vaultd.core.events import Observer
from vaultd.core.snapshot import Kind
from vaultd.pipeline.backup import BackupRequest
from vaultd.pipeline.preview import Preview, last_counts, preview
from vaultd.stores.files.capture import FilesCapture

_DAY_NS = 86_400 * 10**9


class TomorrowClock(SystemClock):
    """A day ahead, so that nothing is too fresh to be trusted."""

    def now_ns(self) -> int:
        return super().now_ns() + _DAY_NS


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    vault, backend = Vault(), MemoryBackend()
    vault.found(backend)
    return Machine(vault=vault, backend=backend, state=tmp_path / "state", clock=TomorrowClock())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    top = tmp_path / "data"
    top.mkdir()
    (top / "a").write_bytes(b"a" * 10)
    (top / "b").write_bytes(b"b" * 100)
    os.symlink("a", top / "link")
    return top


@contextmanager
def looked(
    machine: Machine, *roots: Path, kind: Kind | None = None, options: bytes | None = None
) -> Iterator[Preview]:
    request = BackupRequest(
        store=STORE,
        store_id=STORE_ID,
        kind=kind,
        options=CAPTURE.fingerprint() if options is None else options,
    )
    paths = [os.fsencode(root) for root in roots]

    def capture(observer: Observer) -> FilesCapture:
        return FilesCapture(paths, CAPTURE, machine.clock, observer)

    with machine.opened() as host:
        yield preview(host, request, capture)


def test_before_the_first_snapshot_everything_would_be_read(machine: Machine, data: Path) -> None:
    with looked(machine, data) as seen:
        assert (Kind.FULL, False, 2, 110) == (
            seen.kind,
            seen.compared,
            seen.counts.files_read,
            seen.data_read,
        )
        assert not seen.is_unchanged


def test_nothing_is_written_to_the_vault(machine: Machine, data: Path) -> None:
    before = [info.name for info in machine.backend.list("")]

    with looked(machine, data):
        assert before == [info.name for info in machine.backend.list("")]


def test_an_unchanged_store_is_told_from_one_that_changed(machine: Machine, data: Path) -> None:
    machine.back_up(data)

    with looked(machine, data) as seen:
        assert seen.is_unchanged
        assert (Kind.INCREMENTAL, 0, 2) == (seen.kind, seen.data_read, seen.counts.files)


@pytest.mark.parametrize(
    ("change", "new", "changed", "gone"),
    [
        ("write", 0, 1, 0),
        ("add", 1, 0, 0),
        ("remove-first", 0, 0, 1),
        ("remove-last", 0, 0, 1),
        ("link", 0, 0, 0),
        ("folder", 0, 0, 0),
    ],
)
def test_what_changed_is_counted(
    machine: Machine, data: Path, change: str, new: int, changed: int, gone: int
) -> None:
    machine.back_up(data)
    if change == "write":
        (data / "b").write_bytes(b"other")
    elif change == "add":
        (data / "c").write_bytes(b"c")
    elif change == "remove-first":
        (data / "a").unlink()
    elif change == "remove-last":
        (data / "link").unlink()
    elif change == "link":
        (data / "link").unlink()
        os.symlink("b", data / "link")
    else:
        data.chmod(0o700)

    with looked(machine, data) as seen:
        counts = seen.counts
        assert (new, changed, gone) == (counts.files_new, counts.files_changed, seen.gone)
        assert not seen.is_unchanged


def test_folders_on_the_way_do_not_count_as_changes(machine: Machine, data: Path) -> None:
    machine.back_up(data)
    (data.parent / "neighbour").write_bytes(b"")

    with looked(machine, data) as seen:
        assert seen.is_unchanged


def test_other_options_than_last_time_read_everything(machine: Machine, data: Path) -> None:
    machine.back_up(data)

    with looked(machine, data, options=b"o" * 32) as seen:
        assert (False, 2) == (seen.compared, seen.counts.files_read)


def test_without_the_tree_of_the_last_snapshot_everything_is_read(
    machine: Machine, data: Path
) -> None:
    machine.back_up(data)
    for path in (machine.state / "trees").iterdir():
        path.unlink()

    with looked(machine, data) as seen:
        assert (False, 2) == (seen.compared, seen.counts.files_read)


def test_a_full_snapshot_would_read_everything(machine: Machine, data: Path) -> None:
    machine.back_up(data)

    with looked(machine, data, kind=Kind.FULL) as seen:
        assert (Kind.FULL, 2) == (seen.kind, seen.counts.files_read)


def test_a_root_that_is_missing_is_an_error(machine: Machine, data: Path) -> None:
    with pytest.raises(SourceUnreadableError), looked(machine, data / "nowhere"):
        pass


def test_the_last_counts_come_from_the_last_snapshot(machine: Machine, data: Path) -> None:
    with machine.opened() as host:
        assert last_counts(host, STORE_ID) is None
    machine.back_up(data)
    (data / "c").write_bytes(b"c")
    machine.back_up(data)

    with machine.opened() as host:
        counts = last_counts(host, STORE_ID)

    assert counts is not None
    assert (3, 111) == (counts.files, counts.data)
