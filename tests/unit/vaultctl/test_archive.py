"""Contents of a snapshot as bytes, with everything that an archive can hold."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from vaultctl.archive import dump, new_file

from tests.support.vaults import Desk, Machine, Vault
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import ConfigError, ObjectNotFoundError
from vaultd.vault.reader import SnapshotReader

SIZE = 5 << 20


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("data")
    (top / "file").write_bytes(bytes(range(256)) * 5000)
    os.link(top / "file", top / "same")
    os.symlink("file", top / "link")
    os.mkfifo(top / "pipe")
    (top / "folder").mkdir()
    (top / "folder/empty").write_bytes(b"")
    (top / "folder").chmod(0o2750)
    with (top / "holes").open("wb") as file:
        file.truncate(SIZE)
        for offset in (0, 1 << 20, SIZE - 7):
            file.seek(offset)
            file.write(b"segment")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(".", os.O_RDONLY)
        os.chdir(top)  # the path of a socket must be short
        listening.bind("socket")
        os.fchdir(here)
        os.close(here)
    return top


@pytest.fixture(scope="module")
def reader(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnapshotReader]:
    vault, backend = Vault(), MemoryBackend()
    vault.found(backend)
    folder = tmp_path_factory.mktemp("state")
    Machine(vault=vault, backend=backend, state=folder / "host").back_up(data)
    desk = Desk(vault=vault, backend=backend, folder=folder / "desk")
    (snapshot,) = desk.snapshots()
    with desk.reader(snapshot) as opened:
        yield opened


def _below(data: Path, name: str = "") -> bytes:
    return os.fsencode(data / name)[1:]


def test_a_folder_becomes_an_archive_of_what_is_in_it(reader: SnapshotReader, data: Path) -> None:
    stream, warnings = io.BytesIO(), list[str]()

    dumped = dump(reader, _below(data), stream, warnings.append)

    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        members = {member.name: member for member in archive}
        for name in ("file", "holes", "folder/empty"):
            file = archive.extractfile(name)
            assert file is not None
            assert (data / name).read_bytes() == file.read()
    assert {"file", "same", "link", "pipe", "folder", "folder/empty", "holes"} == set(members)
    assert (members["same"].islnk(), members["same"].linkname) == (True, "file")
    assert members["pipe"].isfifo()
    assert members["holes"].issparse()
    assert 0o2750 == members["folder"].mode
    assert (7, True) == (dumped.entries, dumped.archive)
    assert [f"{data}/socket: a socket, left out: tar cannot hold it"] == warnings
    assert 0 == len(stream.getvalue()) % tarfile.RECORDSIZE


def test_a_sparse_file_takes_only_the_room_of_its_data(reader: SnapshotReader, data: Path) -> None:
    stream = io.BytesIO()

    dump(reader, _below(data), stream, lambda _: None)

    assert len(stream.getvalue()) < 3 << 20


def test_the_whole_snapshot_has_whole_paths(reader: SnapshotReader, data: Path) -> None:
    stream = io.BytesIO()

    dump(reader, b"", stream, lambda _: None)

    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        assert os.fsdecode(_below(data, "file")) in archive.getnames()


@pytest.mark.parametrize("name", ["file", "holes", "same"])
def test_a_file_is_its_bytes(reader: SnapshotReader, data: Path, name: str) -> None:
    stream = io.BytesIO()

    dumped = dump(reader, _below(data, name), stream, lambda _: None)

    assert (data / name).read_bytes() == stream.getvalue()
    assert (1, False) == (dumped.entries, dumped.archive)


def test_what_has_no_contents_is_refused(reader: SnapshotReader, data: Path) -> None:
    with pytest.raises(ConfigError) as link:
        dump(reader, _below(data, "link"), io.BytesIO(), lambda _: None)
    with pytest.raises(ConfigError) as pipe:
        dump(reader, _below(data, "pipe"), io.BytesIO(), lambda _: None)

    assert "It leads to file" in str(link.value.hint)
    assert "is a fifo" in pipe.value.message


def test_what_is_not_there_is_not_found(reader: SnapshotReader, data: Path) -> None:
    with pytest.raises(ObjectNotFoundError):
        dump(reader, _below(data, "nothing"), io.BytesIO(), lambda _: None)


def test_an_archive_does_not_go_to_a_terminal(reader: SnapshotReader, data: Path) -> None:
    with pytest.raises(ConfigError):
        dump(reader, _below(data), io.BytesIO(), lambda _: None, terminal=True)


def test_a_new_file_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "dump"

    with new_file(path) as stream:
        stream.write(b"contents")
        assert not path.exists()

    assert (b"contents", 0o100600) == (path.read_bytes(), path.stat().st_mode)
    with pytest.raises(ConfigError), new_file(path):
        pass


def test_a_file_that_was_given_up_leaves_nothing(tmp_path: Path) -> None:
    file = new_file(tmp_path / "dump")
    file.__enter__().write(b"half")

    assert not file.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)

    assert [] == list(tmp_path.iterdir())
