"""The demonstration: its local half, played as `make demo` plays it, and its way of comparing."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"


@pytest.fixture(scope="module")
def stage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_stage", DOCS / "demo_stage.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    folder = tmp_path_factory.mktemp("demo") / "new"
    return subprocess.run(
        [sys.executable, DOCS / "demo.py", "--local-only", "--folder", folder],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_local_half_brings_everything_back(played: subprocess.CompletedProcess[str]) -> None:
    assert 0 == played.returncode, played.stdout + played.stderr
    assert "" == played.stderr
    lines = played.stdout.splitlines()
    proofs = [line for line in lines if line.startswith("✔ ")]
    commands = [line for line in lines if line.startswith("$ vaultctl ")]
    assert 5 == sum("every byte and all metadata as they were" in line for line in proofs)
    assert proofs[-2].startswith("✔ 5 restores from a folder: ")
    assert {"init", "key", "backup", "snapshots", "restore", "check"} == {
        line.split()[2] for line in commands
    }
    assert "\x1b" not in played.stdout


def _alike(line: str) -> str:
    """Return a line without what differs from run to run: ids, numbers, instants, places."""
    line = re.sub(r"\b([a-z2-7]{4}-){4}[a-z2-7]{4}\b", "PRINT", line)
    line = re.sub(r"\b[0-9a-f]{8}\b", "ID", line)
    line = re.sub(r"\d+ [KMG]iB", "N", re.sub(r"\d[\d.,:TZ-]*", "1", line))
    # How many files share the record with the damaged byte depends on the vault's keys.
    line = re.sub(r"\bfile damaged", "files damaged", line)
    return " ".join(re.sub(r"\d+", "N", line).split())


def test_the_run_in_the_readme_is_what_the_demo_shows(
    played: subprocess.CompletedProcess[str],
) -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    block = text.partition("<!-- demo: begin -->")[2].partition("<!-- demo: end -->")[0]
    shown = [line for line in block.splitlines() if line and not line.startswith("```")]
    said = iter([_alike(line) for line in played.stdout.splitlines()])
    missing = [line for line in shown if _alike(line) not in said]
    assert [] == missing[:1]  # the first that does not come, in this order
    assert len(shown) > 20


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
