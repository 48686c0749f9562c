"""A run that skips a test is a failed run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]
PASSES = "import pytest\n\ndef test_passes():\n    assert True\n\n"
MARKED = PASSES + "@pytest.mark.{}\ndef test_marked():\n    assert False\n"


@pytest.mark.parametrize(
    ("text", "fails"),
    [(PASSES, False), (MARKED.format("skip"), True), (MARKED.format("xfail"), True)],
    ids=["nothing", "skipped", "expected to fail"],
)
def test_a_run_fails_when_it_skips(tmp_path: Path, text: str, *, fails: bool) -> None:
    tmp_path.joinpath("pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    tmp_path.joinpath("test_one.py").write_text(text, encoding="utf-8")
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-c", tmp_path / "pytest.ini", tmp_path],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )

    assert fails == (run.returncode == 1), run.stdout + run.stderr
    assert fails == ("a test must run, or go" in run.stdout)
