"""Forgetting, bringing back and deleting, as keepers do it with `vaultctl`."""

from __future__ import annotations

import filecmp
import random
from pathlib import Path

import pytest

from tests.support.cli import Home, Machine, make_home
from tests.support.seaweed import Seaweed

SOURCE = random.Random(7)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path)


@pytest.fixture
def tree(home: Home) -> Path:
    top = home.folder / "tree"
    top.mkdir()
    (top / "kept").write_bytes(SOURCE.randbytes(3_000_000))
    return top


def backed_up(machine: Machine, tree: Path, kind: str) -> str:
    (tree / "changing").write_bytes(SOURCE.randbytes(2_000_000))
    done = machine.json("backup", "--name", "crm", tree, "--kind", kind)
    return str(done.summary["snapshot_id"])


def listed(machine: Machine) -> list[str]:
    return [line["id"] for line in machine.json("snapshots").of_type("snapshot")]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_is_forgotten_is_deleted_in_two_steps(home: Home, tree: Path) -> None:
    first = backed_up(home, tree, "full")
    second = backed_up(home, tree, "full")
    before = size_of(home.vault)
    home.ok("forget", first, "--yes")

    dry = home.ok("prune", "--dry-run", "--recall", "0s")
    assert "would be condemned" in dry.text
    waiting = home.ok("prune", "--recall", "0s")
    assert "a run after" in waiting.text
    assert before <= size_of(home.vault)
    done = home.json("prune", "--recall", "0s", "--wait", "0s")

    assert done.summary["objects_deleted"] >= 3
    assert done.summary["bytes_deleted"] > 4_000_000
    assert before - size_of(home.vault) > 4_000_000
    assert [second] == listed(home)
    home.ok("check", "--read-data", *home.key)
    home.ok("restore", "latest", "--target", home.folder / "back", *home.key)
    assert filecmp.cmp(f"{home.folder}/back{tree}/kept", tree / "kept", shallow=False)


def test_a_forgotten_snapshot_is_brought_back(home: Home, tree: Path) -> None:
    first = backed_up(home, tree, "full")
    second = backed_up(home, tree, "incremental")
    home.ok("forget", first[:8], "--yes")
    home.ok("prune", "--wait", "0s")
    assert [second] == listed(home)

    shown = home.json("undelete").of_type("snapshot")
    assert [first] == [line["id"] for line in shown]
    done = home.ok("undelete", first[:8])

    assert f"back: {first[:8]}" in done.text
    assert [first, second] == listed(home)
    assert [] == home.json("undelete").of_type("snapshot")
    home.ok("check", "--read-data", *home.key)


def test_what_was_deleted_does_not_come_back(home: Home, tree: Path) -> None:
    first = backed_up(home, tree, "full")
    backed_up(home, tree, "full")
    home.ok("forget", first, "--yes")
    home.ok("prune", "--recall", "0s", "--wait", "0s")

    done = home.run("undelete", first[:8])

    assert 1 == done.code
    assert "no snapshot begins with" in done.err


def test_pins_are_shown_and_taken_off(home: Home, tree: Path) -> None:
    first = backed_up(home, tree, "full")
    home.ok("snapshots", "pin", "latest", "--reason", "closing of the year")
    (line,) = home.json("snapshots").of_type("snapshot")
    assert "closing of the year" == line["pinned"]
    assert "* pinned" in home.ok("snapshots").err
    home.ok("snapshots", "unpin", first[:8])
    (line,) = home.json("snapshots").of_type("snapshot")
    assert line["pinned"] is None


def test_a_keeper_that_is_no_host_prunes_with_what_it_holds(home: Home, tree: Path) -> None:
    first = backed_up(home, tree, "full")
    backed_up(home, tree, "full")
    machine = home.machine("keeper2")
    place = ("-r", home.location, "--fingerprint", home.fingerprint)
    machine.ok(*("host", "enrol", "--here", "--keeper", "keeper2", *place, *home.admin, *home.key))

    machine.ok("forget", first, "--yes")
    done = machine.json("prune", "--recall", "0s", "--wait", "0s")

    assert done.summary["objects_deleted"] >= 3
    backed_up(home, tree, "incremental")
    home.ok("check", "--read-data", *home.key)


def test_a_prune_that_takes_much_wants_a_word(home: Home, tree: Path) -> None:
    for number in range(40):
        (tree / f"bulk-{number}").write_bytes(SOURCE.randbytes(9_000_000))
    first = backed_up(home, tree, "full")
    for path in tree.glob("bulk-*"):
        path.unlink()
    backed_up(home, tree, "full")
    home.ok("forget", first, "--yes")

    done = home.run("prune", "--recall", "0s", "--wait", "0s")

    assert 1 == done.code
    assert "more than 30%" in done.err
    count = done.err.split("--confirm ")[1].partition(".")[0]
    home.ok("prune", "--recall", "0s", "--wait", "0s", "--confirm", count)
    home.ok("check", *home.key)


def test_a_machine_that_is_no_keeper_prunes_nothing(home: Home, tree: Path) -> None:
    backed_up(home, tree, "full")
    other = home.machine("other")
    done = other.run("prune", "-r", home.location, "--fingerprint", home.fingerprint)
    assert 12 == done.code
    assert "not a keeper" in done.err


@pytest.mark.parametrize("words", [("--wait", "soon"), ("--confirm", "many"), ("--recall", "-1d")])
def test_what_is_no_time_or_number_is_refused(home: Home, words: tuple[str, str]) -> None:
    done = home.run("prune", *words)
    assert 2 == done.code
    assert "hint:" in done.err


def test_storage_without_conditional_writes_is_not_pruned_by_the_way(
    tmp_path: Path, seaweed: Seaweed
) -> None:
    home = make_home(
        tmp_path,
        f"s3:{seaweed.endpoint}/{seaweed.bucket}/{seaweed.prefix()}",
        AWS_ACCESS_KEY_ID=seaweed.access_key,
        AWS_SECRET_ACCESS_KEY=seaweed.secret_key,
        VAULTD_S3_CONDITIONAL="none",
    )
    done = home.run("prune")
    assert 2 == done.code
    assert "--exclusive" in done.err
    home.ok("prune", "--exclusive")


def test_a_bucket_is_pruned(tmp_path: Path, seaweed: Seaweed) -> None:
    home = make_home(
        tmp_path,
        f"s3:{seaweed.endpoint}/{seaweed.versioned_bucket}/{seaweed.prefix()}",
        AWS_ACCESS_KEY_ID=seaweed.access_key,
        AWS_SECRET_ACCESS_KEY=seaweed.secret_key,
    )
    tree = tmp_path / "tree"
    tree.mkdir()
    first = backed_up(home, tree, "full")
    second = backed_up(home, tree, "incremental")
    third = backed_up(home, tree, "full")
    home.ok("forget", first, second, "--yes")
    done = home.json("prune", "--recall", "0s", "--wait", "0s")
    assert done.summary["objects_deleted"] >= 6
    again = home.json("prune", "--recall", "0s", "--wait", "0s")
    assert 0 == again.summary["objects_deleted"]
    assert [third] == listed(home)
    home.ok("check", "--read-data", *home.key)


def test_rules_do_not_forget_what_is_pinned(home: Home, tree: Path) -> None:
    ids = [backed_up(home, tree, "full") for _ in range(6)]
    home.ok("snapshots", "pin", ids[0][:8])
    lines = home.json("forget", "--dry-run", "--keep-last", "1", "--min-age", "0h")
    said = {line["id"]: line for line in lines.of_type("verdict")}
    assert any("pinned" in reason for reason in said[ids[0]]["reasons"])


def test_half_empty_packs_are_found_with_a_recovery_key(home: Home, tree: Path) -> None:
    (tree / "kept").write_bytes(SOURCE.randbytes(20_000))
    (tree / "changing").write_bytes(b"")
    home.ok("backup", "--name", "crm", tree, "--kind", "full")
    backed_up(home, tree, "incremental")
    backed_up(home, tree, "incremental")

    assert 12 == home.run("condense").code
    dry = home.json("condense", "--most", "100", "--dry-run", *home.key).of_type("sparse")
    done = home.json("condense", "--most", "100", *home.key).of_type("sparse")

    assert dry == done
    assert [1] == [line["packs"] for line in done]
    assert done[0]["bytes"] > 1_900_000
    backed_up(home, tree, "incremental")
    home.ok("check", "--read-data", *home.key)
