"""Keys and machines through the real program: enrol, renew, rotate, add, revoke, test, print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Home, Machine, Terminal, words_of


@pytest.fixture(scope="module")
def web2(home: Home) -> Machine:
    """A second machine, enrolled by request and grant."""
    machine = home.machine("web2")
    first = ("-r", home.location, "--fingerprint", home.fingerprint)
    request = machine.ok("host", "request", "web2", *first)
    home.folder.joinpath("web2.request").write_bytes(request.out)
    grant = home.ok("host", "enrol", "--yes", "web2.request", *home.admin)
    machine.folder.joinpath("web2.grant").write_bytes(grant.out)
    accepted = machine.ok("host", "accept", "web2.grant")
    assert "host web2" in accepted.text
    return machine


def test_a_second_machine_backs_up_once_it_is_let_in(home: Home, web2: Machine, data: Path) -> None:
    summary = web2.json("backup", data / "etc", "--name", "etc").summary

    assert "web2" == summary["host"]
    # The first machine is the keeper: it sees what stores are called, and no path.
    (kept,) = home.json("snapshots", "-H", "web2").of_type("snapshot")
    assert ("etc", []) == (kept["store"], kept["paths"])
    (shown,) = home.json("snapshots", "-H", "web2", *home.key).of_type("snapshot")
    assert ("etc", [str(data / "etc")]) == (shown["store"], shown["paths"])
    other = home.machine("neither")
    place = ("-r", home.location, "--fingerprint", home.fingerprint)
    (hidden,) = other.json("snapshots", "-H", "web2", *place).of_type("snapshot")
    assert ("", []) == (hidden["store"], hidden["paths"])


def test_a_request_is_compared_before_it_is_answered(home: Home, web2: Machine) -> None:
    assert web2.state.exists()

    done = home.run("host", "enrol", "web2.request", *home.admin)

    assert 2 == done.code
    assert "fingerprint" in done.err
    assert "--yes" in done.err


def test_an_admin_compares_the_fingerprint_at_the_terminal(home: Home, web2: Machine) -> None:
    again = web2.json("host", "request", "web2").summary
    home.folder.joinpath("again.request").write_text(again["request"])
    arguments = ("host", "enrol", "again.request", *home.admin, *home.key)

    with Terminal(home, *arguments) as terminal:
        terminal.wait_for(again["fingerprint"])
        terminal.wait_for("yes or no")
        terminal.type("no")
        assert 2 == terminal.end()
    with Terminal(home, *arguments) as terminal:
        terminal.wait_for("yes or no")
        terminal.type("yes")
        assert 0 == terminal.end()

    assert "nobody was let in" not in terminal.shown
    assert "vaultctl host accept FILE" in terminal.shown


def test_the_list_of_machines_shows_hosts_and_keepers(home: Home, web2: Machine) -> None:
    assert web2.state.exists()

    machines = home.json("host", "list").of_type("machine")

    assert {("host", "web1", True), ("host", "web2", False), ("keeper", "keeper", True)} <= {
        (line["role"], line["name"], line["here"]) for line in machines
    }
    assert "this machine" in home.ok("host", "list").text


def test_a_machine_can_be_enrolled_where_the_admin_sits(home: Home, data: Path) -> None:
    machine = home.machine("here")
    first = ("-r", home.location, "--fingerprint", home.fingerprint)

    enrolled = machine.ok("host", "enrol", "--here", "here", *first, *home.admin)

    assert "host here" in enrolled.text
    assert "full" == machine.json("backup", data / "etc").summary["kind"]


def test_a_machine_that_joins_a_domain_needs_a_recovery_key(home: Home) -> None:
    machine = home.machine("twin")
    arguments = (
        *("host", "enrol", "--here", "twin", "--domain", "web1", "-r", home.location),
        *("--fingerprint", home.fingerprint, *home.admin),
    )

    without = machine.run(*arguments)
    machine.ok(*arguments, *home.key)

    assert 12 == without.code
    domains = {line["name"]: line["domain"] for line in home.json("host", "list").lines[:-1]}
    assert "web1" == domains["twin"]


def test_another_keeper_can_tag_and_forget(home: Home, data: Path) -> None:
    machine = home.machine("keeper2")
    home.ok("backup", data / "etc", "--name", "kept")
    place = ("-r", home.location, "--fingerprint", home.fingerprint)

    machine.ok(*("host", "enrol", "--here", "--keeper", "keeper2", *place, *home.admin, *home.key))
    tagged = machine.json("tag", "add", "seen", "latest", "--store", "kept", *home.key)

    assert [["seen"]] == [line["tags"] for line in tagged.of_type("changed")]
    listed = home.json("snapshots", "--store", "kept").of_type("snapshot")
    assert [["seen"]] == [line["tags"] for line in listed]


def test_a_revoked_machine_cannot_back_up_any_more(home: Home, data: Path) -> None:
    machine = home.machine("gone")
    place = ("-r", home.location, "--fingerprint", home.fingerprint)
    machine.ok("host", "enrol", "--here", "gone", *place, *home.admin)
    machine.ok("backup", data / "etc", "--name", "etc")

    revoked = home.json("host", "revoke", "gone", *home.admin).summary
    late = machine.run("backup", data / "etc", "--name", "etc")

    assert ("gone", 1) == (revoked["host"], revoked["last_session"])
    assert 0 != late.code
    assert 1 == home.json("snapshots", "-H", "gone").summary["snapshots"]


def test_both_keys_of_the_kit_open_the_vault(home: Home) -> None:
    paper = home.json("key", "test", *home.key).summary
    file = home.json(
        *("key", "test", "--recovery-key-file", home.kit / "recovery-file.key"),
        *("--passphrase-file", home.passphrase_file),
    ).summary

    assert ["paper", "file"] == [paper["label"], file["label"]]
    assert {"domain": "web1", "epoch": 1} in paper["opened"]
    listed = home.json("key", "list").of_type("key")
    assert all(line["tested"] for line in listed)
    assert home.fingerprint in home.ok("key", "list").text


def test_the_sheet_can_be_printed_again(home: Home) -> None:
    sheet = home.ok("key", "sheet", *home.key).text
    page = home.folder / "again.html"
    home.ok("key", "sheet", *home.key, "--html", page)

    printed = home.folder / "printed"
    printed.write_text(sheet)
    assert home.words == words_of(printed)
    assert (home.kit / "recovery-paper-sheet.html").read_text() == page.read_text()
    assert 0o100600 == page.stat().st_mode


def test_a_new_recovery_key_opens_old_backups_and_a_revoked_one_no_new_ones(
    home: Home, data: Path
) -> None:
    home.ok("backup", data / "etc", "--name", "before")
    added = home.json(
        *("key", "add", "--label", "safe 2", "--kit", "kit2", *home.admin, *home.key)
    ).summary
    assert ["recovery-safe-2-sheet.html", "recovery-safe-2-sheet.txt"] == added["files"]
    new = home.folder / "new-words"
    new.write_text(" ".join(words_of(home.folder / "kit2/recovery-safe-2-sheet.txt")))
    new.chmod(0o600)
    new_key = ("--recovery-key-file", new)
    home.ok("ls", "latest", "--store", "before", *new_key)

    revoked = home.json("key", "revoke", "safe 2", *home.admin, *home.key).summary
    rotated = home.json("key", "rotate", "web1", *home.admin, *home.key).of_type("rotated")
    home.ok("backup", data / "etc", "--name", "after", "--kind", "full")

    assert revoked["deleted"]
    assert [("web1", 2)] == [(line["domain"], line["epoch"]) for line in rotated]
    assert 12 == home.run("ls", "latest", "--store", "after", *new_key).code
    home.ok("ls", "latest", "--store", "after", *home.key)
    home.ok("ls", "latest", "--store", "before", *home.key)


def test_a_key_file_is_added_under_a_passphrase(home: Home, data: Path) -> None:
    home.ok("backup", data / "etc", "--name", "for-the-notary")
    arguments = ("key", "add", "--form", "file", "--label", "notary", *home.admin, *home.key)
    arguments += ("--passphrase-file", str(home.passphrase_file))

    home.ok(*arguments, "--kit", "notary")
    again = home.run(*arguments, "--kit", "notary-2")
    opened = home.ok(
        *("ls", "latest", "--store", "for-the-notary"),
        *("--recovery-key-file", home.folder / "notary/recovery-notary.key"),
        *("--passphrase-file", home.passphrase_file),
    )

    assert "/data/etc/hosts" in opened.text
    assert 2 == again.code
    assert "there is a recovery key 'notary'" in again.err
    home.ok("key", "revoke", "notary", *home.admin, *home.key)


def test_a_domain_that_is_not_there_is_not_rotated(home: Home) -> None:
    done = home.run("key", "rotate", "nowhere", *home.admin, *home.key)

    assert 2 == done.code
    assert "no domain 'nowhere'; there are " in done.err


def test_a_grant_for_somebody_else_is_refused(home: Home, web2: Machine) -> None:
    stranger = home.machine("stranger")
    place = ("-r", home.location, "--fingerprint", home.fingerprint)

    done = stranger.run("host", "accept", web2.folder / "web2.grant", *place)
    missing = stranger.run("host", "accept", "/no/grant")

    assert [12, 2] == [done.code, missing.code]
    assert "no enrolment request" in done.err


def test_the_last_recovery_key_but_one_is_not_revoked(home: Home) -> None:
    done = home.run("key", "revoke", "file", *home.admin, *home.key)

    assert 12 == done.code
    assert "would have 1 recovery key" in done.err


def test_a_vault_with_a_single_key_must_be_asked_for(tmp_path: Path, home: Home) -> None:
    machine = Machine(folder=tmp_path)

    made = machine.json(
        *("init", "-r", "vault", "--host", "x", "--single-key-i-accept-loss", "--kit", "kit"),
        *("--passphrase-file", home.passphrase_file),
    ).summary

    assert ["paper"] == made["recovery_keys"]
    assert "recovery-file.key" not in made["files"]
