"""Forgetting by rules, and trying rules, through the real program."""

from __future__ import annotations

import os
import re
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.cli import Home, Terminal, make_home
from tests.support.seaweed import Seaweed

DAY_NS = 86_400 * 10**9


def aged(home: Home, seq: int, days: float) -> None:
    """Let the storage say that it took a snapshot so many days ago."""
    then = time.time_ns() - int(days * DAY_NS)
    os.utime(home.vault / f"snap/web1/{seq:010d}", ns=(then, then))


def backed_up(home: Home, data: Path, store: str, kinds: str) -> list[int]:
    """Make a snapshot of each kind (F, I) and let the storage say that it took them long ago."""
    names = {"F": "full", "I": "incremental"}
    seqs = []
    for kind, days in zip(kinds, (100, 99, 60, 40, 10, 5, 1), strict=True):
        done = home.json("backup", data / "etc", "--name", store, "--kind", names[kind])
        seqs.append(done.summary["seq"])
        aged(home, seqs[-1], days)
    return seqs


@pytest.fixture(scope="module")
def crm(home: Home, data: Path) -> list[int]:
    return backed_up(home, data, "crm", "FIFFFFF")


def test_a_dry_run_says_of_each_snapshot_what_becomes_of_it_and_why(
    home: Home, crm: list[int]
) -> None:
    done = home.json("forget", "-n", "--store", "crm", "--keep-daily", "1", "--keep-yearly", "1")

    verdicts = done.of_type("verdict")
    assert crm == [line["seq"] for line in verdicts]
    assert [False] * 4 + [True] * 3 == [line["kept"] for line in verdicts]
    assert ["no rule keeps it"] == verdicts[0]["reasons"]
    assert "younger than 14 days" in verdicts[4]["reasons"]
    assert {"daily", "yearly"} <= {reason.split()[0] for reason in verdicts[-1]["reasons"]}
    assert (3, 4, True) == tuple(done.summary[name] for name in ("kept", "forgotten", "dry_run"))
    assert "keep-daily 1, keep-yearly 1, min-age 14 days" == verdicts[0]["policy"]
    assert 7 == home.json("snapshots", "--store", "crm").summary["snapshots"]


@pytest.mark.usefixtures("crm")
def test_people_see_a_table(home: Home) -> None:
    done = home.ok("forget", "-n", "--store", "crm", "--keep-within", "59d")

    rows = done.text.splitlines()
    assert ["What", "Why"] == rows[0].split()[-2:]
    assert rows[2].endswith("forget  no rule keeps it")
    assert "keep    within 59d of the newest" in rows[5]
    assert "4 snapshots kept, 3 would be forgotten." in done.err


@pytest.mark.usefixtures("crm")
def test_a_narrow_terminal_folds_the_reasons(home: Home) -> None:
    with Terminal(
        home, "forget", "-n", "--keep-daily", "9", "--keep-weekly", "9", columns=70
    ) as run:
        run.wait_for("would be forgotten")
        assert 0 == run.end()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", run.shown)
    assert max(map(len, plain.splitlines())) <= 70


def test_a_kept_incremental_keeps_its_full(home: Home, crm: list[int]) -> None:
    done = home.json("forget", "-n", "--store", "crm", "--keep-daily", "6")

    reasons = {line["seq"]: line["reasons"] for line in done.of_type("verdict")}
    assert ["incremental 2, kept, needs it"] == reasons[crm[0]]
    assert 0 == done.summary["forgotten"]


@pytest.mark.usefixtures("crm")
def test_the_least_age_of_the_vault_is_a_floor(home: Home) -> None:
    done = home.json("forget", "-n", "--store", "crm", "--keep-last", "1", "--min-age", "0d")

    assert "younger than 14 days" in done.of_type("verdict")[4]["reasons"]
    assert "keep-last counts snapshots" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy",), "the retention policy keeps nothing"),
        (("--keep-daily", "0"), "the rules that are given keep nothing"),
        (("--keep-tag", ""), "the rules that are given keep nothing"),
        (("--keep-within", "0d"), "the retention policy keeps nothing"),
        (("--keep-within", "3w"), "cannot read '3w' as a span of time"),
        (("--keep-daily", "-1"), "-1 is not in the range"),
        (("--keep-daily", "1", "--timezone", "Mars/North"), "'Mars/North' is not known"),
        (("--keep-daily", "1", "--policy"), "both given"),
        (("--keep-daily", "1", "latest"), "snapshots are named, and rules are given"),
        (("--policy", "latest"), "snapshots are named, and rules are given"),
        (("--min-age", "3d", "--store", "crm"), "go with rules"),
        (("--keep-daily", "1", "--reason", "x"), "go with snapshots that are named"),
        (("--keep-daily", "1", "--even-the-last"), "go with snapshots that are named"),
        (("--keep-daily", "1"), "nobody is here to confirm"),
    ],
)
@pytest.mark.usefixtures("crm")
def test_rules_that_make_no_sense_are_refused(
    home: Home, arguments: tuple[str, ...], message: str
) -> None:
    done = home.run("forget", *arguments)

    assert 2 == done.code
    assert message in done.err
    assert 7 == home.json("snapshots", "--store", "crm").summary["snapshots"]


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_what_is_no_number_never_chooses_by_filters(
    home: Home, crm: list[int], number: str
) -> None:
    done = home.run("forget", "--store", "crm", "--keep-last", number, "--yes", "--even-the-last")

    assert 2 == done.code
    assert len(crm) == home.json("snapshots", "--store", "crm").summary["snapshots"]


def test_the_configuration_file_says_what_each_store_keeps(home: Home, data: Path) -> None:
    ledger = backed_up(home, data, "ledger", "FFFFFFF")
    scratch = backed_up(home, data, "scratch", "FFFFFFF")
    plain = backed_up(home, data, "plain", "FFFFFFF")
    config = home.folder / "vaultd.toml"
    config.write_text(
        "[retention]\nmin_age = '20d'\n"
        "[stores.ledger.retention]\nkeep_daily = 7\ntimezone = 'Europe/Berlin'\n"
        "[stores.scratch.retention]\nkeep_within = '50d'\n"
    )
    filters = ("--store", "ledger", "--store", "scratch", "--store", "plain")

    done = home.json("forget", "--policy", "--yes", "--config", config, *filters)

    forgotten = [line["seq"] for line in done.of_type("verdict") if not line["kept"]]
    assert scratch[:3] == forgotten
    left = home.json("snapshots", *filters).of_type("snapshot")
    assert {*ledger, *scratch[3:], *plain} == {line["seq"] for line in left}
    reasons = {line["seq"]: line["reasons"] for line in done.of_type("verdict")}
    assert ["there are no rules for its store"] == reasons[plain[0]]
    assert "younger than 20 days" in reasons[scratch[4]]


def test_a_filter_limits_what_is_forgotten_and_not_what_counts(home: Home, data: Path) -> None:
    seqs = backed_up(home, data, "tags", "FFFFFFF")
    home.ok("tag", "add", "old", f"web1/{seqs[0]}", f"web1/{seqs[6]}")

    done = home.json("forget", "--tag", "old", "--store", "tags", "--keep-last", "3", "--yes")

    assert [(seqs[0], False), (seqs[6], True)] == [
        (line["seq"], line["kept"]) for line in done.of_type("verdict")
    ]
    assert 6 == home.json("snapshots", "--store", "tags").summary["snapshots"]


def test_a_person_is_asked(home: Home, data: Path) -> None:
    backed_up(home, data, "asked", "FFFFFFF")
    arguments = ("forget", "--store", "asked", "--keep-within", "50d")

    with Terminal(home, *arguments) as refused:
        refused.wait_for("Forget 3 snapshots?")
        refused.type("no")
        assert 2 == refused.end()
    with Terminal(home, *arguments) as agreed:
        agreed.wait_for("Forget 3 snapshots?")
        agreed.type("yes")
        assert 0 == agreed.end()

    assert 4 == home.json("snapshots", "--store", "asked").summary["snapshots"]


@pytest.mark.usefixtures("crm")
def test_a_keeper_that_is_no_host_judges_with_what_it_holds(home: Home) -> None:
    other = home.machine("other")
    place = ("-r", home.location, "--fingerprint", home.fingerprint)
    other.ok("host", "enrol", "--here", "--keeper", "keeper-2", *place, *home.admin, *home.key)

    rules = ("forget", "-n", "--keep-last", "1", "--host", "web1")

    assert home.json(*rules).summary == other.json(*rules).summary


def test_rules_can_be_tried_without_a_vault(home: Home) -> None:
    rules = ("--keep-daily", "7", "--keep-weekly", "5", "--keep-monthly", "12", "--min-age", "0d")

    fulls = home.json("retention", "simulate", "--full-every", "24h", *rules)
    chained = home.json("retention", "simulate", "--between", "differential", *rules)

    reasons = [reason.split()[0] for line in fulls.of_type("held") for reason in line["reasons"]]
    assert (7, 5, 12) == tuple(map(reasons.count, ("daily", "weekly", "monthly")))
    assert 400 == len(fulls.of_type("sample")) == fulls.summary["made"]
    assert fulls.summary["held"] == len(fulls.of_type("held")) < chained.summary["held"]
    assert 0 < chained.summary["only_for_a_chain"] < chained.summary["differential"]


def test_people_see_what_is_held_over_time(home: Home) -> None:
    done = home.ok("retention", "simulate", "--days", "90", "--keep-within", "80d")
    everything = home.ok("retention", "simulate", "--days", "90", "--keep-within", "80d", "-v")

    assert "policy: keep-within 80d, min-age 14 days, days of UTC" == done.text.splitlines()[0]
    assert "older ones are not listed" in done.text
    assert "of 90 snapshots made, " in done.text.splitlines()[-1]
    assert len(everything.text.splitlines()) > len(done.text.splitlines())
    short = home.ok("retention", "simulate", "--days", "2", "--keep-last", "9")
    assert "of 2 snapshots made, 2 are held" in short.text
    assert "keep-last counts snapshots" in short.err


def test_a_simulation_takes_the_rules_of_a_store(home: Home) -> None:
    config = home.folder / "simulated.toml"
    config.write_text("[retention]\nkeep_last = 1\n[stores.crm.retention]\nkeep_daily = 3\n")

    of_store = home.json("retention", "simulate", "--store", "crm", "--config", config)
    general = home.json("retention", "simulate", "--config", config)
    none = home.run("retention", "simulate")

    assert of_store.summary["policy"].startswith("keep-daily 3,")
    assert general.summary["policy"].startswith("keep-last 1,")
    assert 2 == none.code
    assert "keeps nothing" in none.err


def test_a_bucket_s_clock_counts(seaweed: Seaweed, tmp_path: Path) -> None:
    bucket = make_home(
        tmp_path,
        f"s3:{seaweed.endpoint}/{seaweed.bucket}/{seaweed.prefix()}kept",
        AWS_ACCESS_KEY_ID=seaweed.access_key,
        AWS_SECRET_ACCESS_KEY=seaweed.secret_key,
        VAULTD_INSECURE_TLS="1",
    )
    (tmp_path / "file").write_text("contents")
    bucket.ok("backup", tmp_path / "file", "--name", "crm")

    verdict = bucket.json("forget", "-n", "--keep-daily", "1").of_type("verdict")[0]

    committed = datetime.fromisoformat(verdict["committed"])
    assert abs(committed - datetime.fromisoformat(verdict["time"])) < timedelta(minutes=5)
    assert "younger than 14 days" in verdict["reasons"]
