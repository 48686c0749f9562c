"""The whole of perf against the real vaultctl, very small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from perf.jobs import Bench
from perf.large import large_vault, start
from perf.programs import Vaultctl
from perf.results import load

ROOT = Path(__file__).parents[3]


def test_a_session_measures_and_checks_what_it_restores(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "perf.run", "--scale", "0.002", "--repetitions", "1", "--peers", ""),
            *("--workloads", "mix", "--jobs", "unchanged,restore,check,changed"),
            *("--work", str(tmp_path), "--output", str(output)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "" == done.stderr
    assert 0 == done.returncode
    found = load(output)

    assert {"unchanged", "restore", "check", "changed"} == {one.job for one in found.measurements}
    assert {"vaultd"} == found.programs.keys()
    assert [output] == list(tmp_path.iterdir())
    assert "nothing changed" in done.stdout


def test_very_large_vaults_and_starts_are_measured(tmp_path: Path) -> None:
    said: list[str] = []
    ours = Vaultctl()
    bench = Bench(work=tmp_path, programs=[ours], repetitions=1, say=said.append)
    found = large_vault(bench, ours, 3_000) + start(bench, ours, snapshots=2)

    assert [
        "large-backup", "large-first", "large-restore", "version", "help", "snapshots",
    ] == [one.job for one in found]  # fmt: skip
    assert ["log"] == [path.name for path in tmp_path.iterdir()]
