"""Repairing a vault with `vaultctl`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Home, make_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A vault with a snapshot."""
    home = make_home(tmp_path)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(bytes(range(256)) * 1000)
    home.ok("backup", tree)
    return home


def parts(home: Home) -> list[Path]:
    return [path for path in (home.vault / "index").rglob("*") if path.is_file()]


def test_a_lost_index_part_is_written_anew(home: Home) -> None:
    (part,) = parts(home)
    part.chmod(0o600)
    part.unlink()

    planned = home.json("repair", "index", "--dry-run", *home.key)
    assert [] == parts(home)
    done = home.json("repair", "index", *home.key)

    name = str(part.relative_to(home.vault))
    assert [(name, "is missing")] == [(o["name"], o["reason"]) for o in planned.of_type("lost")]
    assert (1, 0, True) == tuple(planned.summary[key] for key in ("lost", "written", "dry_run"))
    (written,) = done.of_type("written")
    assert [home.vault / written["name"]] == parts(home)
    assert name == written["for"]
    assert 0 == home.json("check", *home.key).summary["num_errors"]
    assert "No index part is lost." in home.ok("repair", "index", "--read-data", *home.key).text


def test_packs_that_cannot_be_read_give_an_exit_code_of_their_own(home: Home) -> None:
    (part,) = parts(home)
    pack = next(path for path in (home.vault / "packs").rglob("*") if path.is_file())
    for path in (part, pack):
        path.chmod(0o600)
        path.unlink()

    done = home.run("repair", "index", *home.key)

    assert 20 == done.code
    assert f"lost: {part.relative_to(home.vault)}: is missing" in done.text
    assert pack.name[:8] in done.err


def test_a_recovery_key_is_needed(home: Home) -> None:
    done = home.run("repair", "index")

    assert 0 != done.code
    assert "hint:" in done.err
