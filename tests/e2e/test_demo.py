"""The demonstration: its local half, played as `make demo` plays it, and its way of comparing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def stage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_stage", DOCS / "demo_stage.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_local_half_brings_everything_back(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, DOCS / "demo.py", "--local-only", "--folder", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "" == done.stderr
    lines = done.stdout.splitlines()
    proofs = [line for line in lines if line.startswith("✔ ")]
    commands = [line for line in lines if line.startswith("$ vaultctl ")]
    assert 5 == sum("every byte and all metadata as they were" in line for line in proofs)
    assert proofs[-2].startswith("✔ 5 restores from a folder: ")
    assert {"init", "key", "backup", "snapshots", "restore", "check"} == {
        line.split()[2] for line in commands
    }
    assert "\x1b" not in done.stdout


def test_the_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "local" / "kept"
    kept.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, DOCS / "demo.py", "--local-only", "--folder", tmp_path],
        capture_output=True,
        check=False,
    )
    assert 0 != done.returncode
    assert kept.is_dir()


def _grow(tree: Path) -> None:
    (tree / "file").write_bytes(b"longer")


def _turn(tree: Path) -> None:
    status = (tree / "file").stat()
    (tree / "file").write_bytes(b"bites")
    os.utime(tree / "file", ns=(status.st_atime_ns, status.st_mtime_ns))


def _touch(tree: Path) -> None:
    os.utime(tree / "file", ns=(0, 1))


def _open_to_all(tree: Path) -> None:
    (tree / "file").chmod(0o666)


def _divide(tree: Path) -> None:
    contents = (tree / "file").read_bytes()
    status = (tree / "file").stat()
    (tree / "second").unlink()
    (tree / "second").write_bytes(contents)
    os.utime(tree / "second", ns=(status.st_atime_ns, status.st_mtime_ns))


def _point_elsewhere(tree: Path) -> None:
    status = (tree / "link").lstat()
    (tree / "link").unlink()
    (tree / "link").symlink_to("gone")
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(tree / "link", ns=times, follow_symlinks=False)


def _fill(tree: Path) -> None:
    status = (tree / "holes").stat()
    (tree / "holes").write_bytes(bytes(1 << 20))
    os.utime(tree / "holes", ns=(status.st_atime_ns, status.st_mtime_ns))


def _remove(tree: Path) -> None:
    (tree / "second").unlink()


@pytest.mark.parametrize(
    ("alter", "fields"),
    [
        (_grow, {"size", "sha256", "mtime_ns", "runs"}),
        (_turn, {"sha256"}),
        (_touch, {"mtime_ns"}),
        (_open_to_all, {"mode"}),
        (_divide, {"names"}),
        (_point_elsewhere, {"target"}),
        (_fill, {"runs"}),
        (_remove, {"missing", "names"}),
    ],
)
def test_the_comparison_names_what_differs(
    stage: ModuleType, tmp_path: Path, alter: Callable[[Path], None], fields: set[str]
) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    (tmp_path / "second").hardlink_to(tmp_path / "file")
    (tmp_path / "link").symlink_to("file")
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 20)
    before = stage.facts_of(tmp_path)
    assert [] == stage.differences(before, stage.facts_of(tmp_path))
    alter(tmp_path)
    lines = stage.differences(before, stage.facts_of(tmp_path))
    assert fields == {line.split(": ")[1].split()[0] for line in lines}
