"""Results survive a file; goals, tables and comparisons read them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from perf import compare
from perf.compare import changes
from perf.goals import GOALS, judge
from perf.results import load, machine, save
from perf.table import BEGIN, END, newest, put_into, table, verdicts
from tests.unit.perf.samples import MB, result, taken

FAST = taken("full", "mix", "vaultd", 3.0, rss=80 * MB, stored=500 * MB)
RESTIC = taken("full", "mix", "restic", 12.0, rss=120 * MB, stored=520 * MB)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "results/one.json"
    save(result(FAST, RESTIC), path)
    found = load(path)

    assert [FAST.key, RESTIC.key] == [one.key for one in found.measurements]
    assert (3.0, 1.5, 80 * MB, 500 * MB) == (
        found.measurements[0].wall,
        found.measurements[0].cpu,
        found.measurements[0].rss,
        found.measurements[0].stored,
    )
    assert newest(path.parent) == path


def test_a_result_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    save(result(), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 0}))

    with pytest.raises(ValueError, match="not a result"):
        load(path)


def test_this_machine_can_be_described() -> None:
    assert {"processor", "cores", "memory_gib", "system", "python"} == machine().keys()


def test_goals_are_met_missed_or_not_measured() -> None:
    slow = taken("check", "mix", "vaultd", 1.0)
    found = result(FAST, RESTIC, slow, taken("check", "mix", "restic", 3.0))
    verdicts = {
        (one.goal.job, one.goal.workload, one.goal.measure, one.goal.peer): one
        for one in judge(found)
    }

    assert len(GOALS) == len(verdicts)
    assert verdicts["full", "mix", "faster", "restic"].met is True
    assert verdicts["full", "mix", "stored", "restic"].met is True
    assert verdicts["full", "mix", "rss", "restic"].met is True
    assert verdicts["full", "mix", "faster", "tar|zstd"].met is None
    assert verdicts["check", "mix", "faster", "restic"].met is False
    assert verdicts["restore", "tiny", "faster", "restic"].met is None


@pytest.mark.parametrize(("wall_s", "met"), [(0.09, True), (0.11, False)])
def test_goals_without_a_peer_are_absolute(wall_s: float, met: bool) -> None:
    found = [one.met for one in judge(result(taken("version", "start", "vaultd", wall_s)))]

    assert [met] == [one for one in found if one is not None]


def test_missed_goals_are_told_first() -> None:
    slow = taken("check", "mix", "vaultd", 1.0)
    lines = verdicts(result(FAST, RESTIC, slow, taken("check", "mix", "restic", 3.0))).splitlines()

    assert lines[0].startswith("MISSED       check          mix")
    assert "3.00 times as fast as restic, at least 3.5" in lines[0]
    assert "3 of 4 goals are met" == lines[-1]


def test_the_table_shows_both_and_the_ratio() -> None:
    alone = taken("version", "start", "vaultd", 0.05, rss=18 * MB)
    text = table(result(FAST, RESTIC, alone))

    assert "| first backup, local | mix | 3.0 s | 12.0 s | **4.0** | 1.5 / 6.0 s |" in text
    assert "| 80 / 120 MB | 500 / 520 MB |" in text
    assert "| `vaultctl version` | 50 ms | 18 MB |" in text
    assert "mix: 40,000 files, 900 MB." in text


def test_the_table_does_without_a_peer() -> None:
    assert "| mix | 3.0 s | - | - | - | 80 MB | 500 MB |" in table(result(FAST))


def test_the_table_leaves_out_what_was_not_measured() -> None:
    text = table(result(taken("help", "start", "vaultd", 0.1)))

    assert "| job | data |" not in text
    assert "| job | time | memory |" in text


def test_a_page_gets_the_table_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    assert put_into("new\n", page)
    assert f"before\n{BEGIN}\nnew\n{END}\nafter\n" == page.read_text()
    page.write_text("no markers\n")

    assert not put_into("new\n", page)
    assert "no markers\n" == page.read_text()


def test_a_comparison_shows_what_became_worse() -> None:
    after = taken("full", "mix", "vaultd", 4.0, rss=80 * MB, stored=505 * MB)
    found = {one.measure: one for one in changes(result(FAST), result(after), 0.1)}

    assert {"wall": True, "cpu": True, "rss": False, "stored": False} == {
        name: one.worse for name, one in found.items()
    }
    assert 4 / 3 == pytest.approx(found["wall"].ratio)


def test_a_slower_machine_is_no_slower_program() -> None:
    before = result(FAST, RESTIC)
    after = result(
        taken("full", "mix", "vaultd", 6.0, rss=80 * MB),
        taken("full", "mix", "restic", 24.0),
    )
    found = {one.measure: one for one in changes(before, after, 0.1)}

    assert 1.0 == pytest.approx(found["wall"].ratio)
    assert not found["wall"].worse


def test_the_comparison_fails_when_something_became_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(result(FAST), tmp_path / "before.json")
    save(result(taken("full", "mix", "vaultd", 4.0)), tmp_path / "after.json")
    names = [str(tmp_path / "before.json"), str(tmp_path / "after.json")]
    monkeypatch.setattr(sys, "argv", ["compare", *names])

    with pytest.raises(SystemExit) as ended:
        compare.main()
    assert 1 == ended.value.code
    assert "+33.3 %  WORSE" in capsys.readouterr().out
