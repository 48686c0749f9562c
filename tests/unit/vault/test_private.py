from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaultd.core.errors import KeyringError
from vaultd.vault.private import (
    LIMIT,
    NOT_WORLD,
    check_folder,
    make_folder,
    read_private,
    remove_private,
    write_private,
)


def test_a_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"old")
    write_private(path, b"new")
    assert b"new" == read_private(path)
    assert 0o600 == path.stat().st_mode & 0o777
    assert ["key"] == os.listdir(tmp_path)


def test_a_leftover_of_a_crash_does_not_give_its_mode_to_the_next(tmp_path: Path) -> None:
    left = tmp_path / f".key.{os.getpid()}"
    left.write_bytes(b"half of something longer")
    left.chmod(0o644)
    write_private(tmp_path / "key", b"new")
    assert b"new" == read_private(tmp_path / "key")


def test_a_missing_file_is_none_and_is_removed_without_complaint(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert read_private(path) is None
    remove_private(path)
    write_private(path, b"x")
    remove_private(path)
    assert read_private(path) is None


def test_the_group_may_read_what_is_only_closed_to_the_world(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"x")
    path.chmod(0o640)
    assert b"x" == read_private(path, forbidden=NOT_WORLD)
    with pytest.raises(KeyringError):
        read_private(path)


def test_a_fifo_does_not_hold_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(KeyringError, match="not a regular file"):
        read_private(tmp_path / "key")


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir(mode=0o700)
    with pytest.raises(KeyringError, match="regular file"):
        read_private(tmp_path / "key")
    with pytest.raises(KeyringError, match="cannot be written"):
        write_private(tmp_path / "key", b"x")
    with pytest.raises(KeyringError, match="cannot be removed"):
        remove_private(tmp_path / "key")


def test_a_loop_of_links_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to("key")
    with pytest.raises(KeyringError, match="cannot be opened"):
        read_private(tmp_path / "key")


def test_a_giant_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"")
    os.truncate(path, LIMIT + 1)
    with pytest.raises(KeyringError, match="more than"):
        read_private(path)


def test_folders_are_made_for_the_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    make_folder(folder)
    assert 0o700 == folder.stat().st_mode & 0o777


def test_folders_that_cannot_be_made_or_looked_at_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyringError, match="cannot be made"):
        make_folder(tmp_path / "file" / "a" / "b")
    with pytest.raises(KeyringError, match="cannot be looked at"):
        check_folder(tmp_path / "gone")


def test_a_file_that_fails_while_read_is_told() -> None:
    with pytest.raises(KeyringError, match="cannot be read"):
        read_private(Path("/proc/self/mem"))
