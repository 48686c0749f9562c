"""Scrubbing and checking through the real program: samples, limits, damage, and its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.cli import Home, make_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A vault with two snapshots of a store: three large files, and a small one that came later."""
    home = make_home(tmp_path)
    data = home.folder / "data"
    data.mkdir()
    for number in range(3):
        (data / f"large-{number}").write_bytes(os.urandom(900_000))
    home.ok("backup", data, "--name", "crm")
    (data / "small").write_text("small\n")
    home.ok("backup", data, "--name", "crm")
    return home


def packs(home: Home) -> list[Path]:
    """Return all packs, the largest first."""
    found = [path for path in (home.vault / "packs").rglob("*") if path.is_file()]
    return sorted(found, key=lambda path: -path.stat().st_size)


def spoil(path: Path) -> None:
    """Flip a byte in the middle."""
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(contents)


def test_a_dry_run_reads_nothing_and_a_run_reads_what_is_due(home: Home) -> None:
    plan = home.json("scrub", "--dry-run").of_type("plan")[0]
    again = home.json("scrub", "-n").of_type("plan")[0]
    done = home.json("scrub").summary
    nothing = home.json("scrub").summary

    assert plan == again
    assert [("never read", plan["objects"], plan["bytes"])] == [
        (part["due"], part["objects"], part["bytes"]) for part in plan["planned"]
    ]
    assert (plan["objects"], plan["bytes"], 0) == (
        done["objects_read"],
        done["bytes_read"],
        done["rest_objects"],
    )
    assert 0 == nothing["objects_read"] == nothing["requests"]
    assert "good: 0 objects read (0 B); 100.0 % of all bytes" in home.ok("scrub").text


def test_a_run_keeps_to_its_limits_and_the_configuration_to_those_of_the_day(home: Home) -> None:
    first = home.json("scrub", "--max-bytes", "200K").summary
    second = home.json("scrub", "--max-requests", "1").summary
    config = home.folder / "vaultd.toml"
    config.write_text('[scrub]\nbytes_per_day = "10K"\n')
    third = home.ok("scrub", "--config", config)

    assert 0 < first["bytes_read"] <= 200 << 10
    assert (1, 1) == (second["objects_read"], second["requests"])
    assert "0 objects read" in third.text
    assert "warning: at 10.0 KiB a day everything is read in" in third.err


def test_damage_is_named_file_by_file_told_to_hosts_and_healed_by_the_next_run(home: Home) -> None:
    home.ok("scrub")
    spoil(packs(home)[0])

    found = home.run("scrub", "--window", "1d", *home.key)
    files = home.run("check", "--read-data", *home.key, "--json")
    home.ok("backup", home.folder / "data", "--name", "crm")
    later = home.run("scrub", *home.key, "--json")

    newest = home.json("snapshots", "--latest", 1).of_type("snapshot")[0]["short_id"]
    assert (20, 20, 20) == (found.code, files.code, later.code)
    assert "damaged file: " in found.text
    assert "2 snapshots harmed, 1 file damaged" in found.text
    assert "Hosts are told" in found.err
    (file,) = files.of_type("damaged_file")
    assert file["item"].startswith(f"{home.folder}/data/large-".lstrip("/"))
    assert ("web1", "crm", 2) == (file["host"], file["store"], len(file["snapshots"]))
    (damage,) = later.of_type("damage")
    assert newest not in damage["snapshots"]
    assert 0 == home.run("restore", newest, "--target", home.folder / "back", *home.key).code


def test_what_a_scrub_has_found_is_repaired_from_a_second_copy(home: Home) -> None:
    config = home.folder / "vaultd.toml"
    replica = home.folder / "replica"
    config.write_text(f'[[vault.replicas]]\nname = "offsite"\nlocation = "{replica}"\n')
    home.ok("replicate", "offsite", "--init", "--config", config)
    victim = packs(home)[0]
    name = str(victim.relative_to(home.vault))
    spoil(victim)
    found = home.run("scrub")

    repaired = home.ok("repair", "objects", "--config", config)
    after = home.ok("scrub")

    assert 20 == found.code
    assert f"healed: {name} from offsite" in repaired.text
    assert f"good again: {name}" in after.text
    assert 0 == home.json("check", "--read-data").summary["num_errors"]


def proven_good(home: Home) -> list[bool]:
    """Tell of each snapshot whether rules keep it because it is proven good."""
    verdicts = home.json("forget", "--dry-run", "--keep-last", "1").of_type("verdict")
    return ["proven good" in " ".join(verdict["reasons"]) for verdict in verdicts]


def test_rules_know_what_a_scrub_has_proven(home: Home) -> None:
    before = proven_good(home)
    home.ok("scrub")
    after = proven_good(home)
    newest = max(packs(home), key=lambda path: int(path.parent.name))
    spoil(newest)
    home.run("check", "--read-data")

    assert ([False, False], [True, True], [True, False]) == (before, after, proven_good(home))


def test_a_machine_that_is_only_a_keeper_scrubs_without_any_key_to_contents(home: Home) -> None:
    keeper = home.machine("keeper-2")
    place = ("-r", home.location, "--fingerprint", home.fingerprint)
    keeper.ok("host", "enrol", "--here", "--keeper", "keeper-2", *place, *home.admin, *home.key)
    spoil(packs(home)[0])

    done = keeper.run("scrub", "--json")

    assert (20, False, 1, []) == (
        done.code,
        done.summary["contents_opened"],
        done.summary["log_entries"],
        done.summary["hidden_snapshots"],
    )
    assert 2 == len(done.of_type("damage")[0]["snapshots"])
    assert [] == done.of_type("damaged_file")


def test_a_check_reads_shares_that_together_are_everything(home: Home) -> None:
    whole = home.json("check", "--read-data").summary
    shares = [
        home.json("check", "--read-data", option, f"{number}/3").summary["bytes_read"]
        for option in ("--subset", "--shard")
        for number in (1, 2, 3)
    ]

    assert [whole["bytes_read"]] * 2 == [sum(shares[:3]), sum(shares[3:])]
    assert 0 == whole["rest_objects"]


def test_a_sample_begins_with_what_was_never_read_and_says_what_is_left(home: Home) -> None:
    first = home.ok("check", "--read-data", "--subset", "1K")
    plain = home.json("check").summary
    rest = [home.json("check", "--read-data", "--subset", "1K").summary for _ in range(5)]

    assert "good so far" in first.text
    assert "was never read" in first.text
    assert plain["rest_never_read"] > rest[0]["rest_never_read"] > rest[1]["rest_never_read"]
    assert 0 == rest[-1]["rest_never_read"]


@pytest.mark.parametrize(
    "options",
    [
        ("check", "--subset", "5%"),
        ("check", "--read-data", "--subset", "0/3"),
        ("check", "--read-data", "--shard", "5%"),
        ("scrub", "--window", "a month"),
        ("scrub", "--max-requests", "0"),
    ],
)
def test_what_makes_no_sense_is_refused(home: Home, options: tuple[str, ...]) -> None:
    done = home.run(*options)

    assert (2, "") == (done.code, done.text)
    assert "hint: " in done.err
