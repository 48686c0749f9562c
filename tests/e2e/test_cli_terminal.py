"""The program on a terminal: what it asks, what it shows while it works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.cli import PASSPHRASE, Home, Machine, Terminal, words_of


@pytest.fixture(scope="module")
def snapshot(home: Home, data: Path) -> str:
    return str(home.json("backup", data, "--name", "crm").summary["snapshot_id"])


def test_init_asks_twice_for_a_passphrase_and_says_what_to_keep(tmp_path: Path) -> None:
    machine = Machine(folder=tmp_path)

    with Terminal(machine, "init", "-r", "vault", "--host", "desk") as terminal:
        terminal.wait_for("New passphrase:")
        terminal.type("short")
        terminal.wait_for("too short")
        terminal.wait_for("New passphrase:")
        terminal.type(PASSPHRASE)
        terminal.wait_for("same again:")
        terminal.type(PASSPHRASE + "?")
        terminal.wait_for("not the same")
        terminal.wait_for("New passphrase:")
        terminal.type(PASSPHRASE)
        terminal.wait_for("same again:")
        terminal.type(PASSPHRASE)
        code = terminal.end()

    assert 0 == code
    assert PASSPHRASE not in terminal.shown
    assert "every backup is lost for ever" in terminal.shown
    (kit,) = tmp_path.glob("vaultd-kit-*")
    assert 0o40700 == kit.stat().st_mode
    assert {
        "README.txt",
        "admin-sheet.html",
        "admin-sheet.txt",
        "admin.key",
        "recovery-file.key",
        "recovery-paper-sheet.html",
        "recovery-paper-sheet.txt",
    } == {path.name for path in kit.iterdir()}
    assert {0o100600} == {path.stat().st_mode for path in kit.iterdir()}


def test_a_restore_on_a_new_machine_needs_the_sheet_and_nothing_else(
    home: Home, data: Path, snapshot: str
) -> None:
    machine = home.machine("rescue")
    words = words_of(home.kit / "recovery-paper-sheet.txt")

    with Terminal(machine, "restore", "latest", "-r", home.location, "--target", "out") as terminal:
        terminal.wait_for(home.fingerprint)
        terminal.wait_for("yes or no")
        terminal.type("yes")
        terminal.wait_for("Key:")
        terminal.type(" ".join(f"{at} {word}" for at, word in enumerate(words[:10], 1)))
        terminal.wait_for("Words 11 to 24:")
        terminal.type(" ".join(words[10:]).upper())
        code = terminal.end()

    assert 0 == code, terminal.shown
    assert snapshot[:8] in terminal.shown
    restored = Path(f"{machine.folder}/out{data}/etc/hosts")
    assert (data / "etc/hosts").read_bytes() == restored.read_bytes()


def test_a_fingerprint_that_is_not_confirmed_stops_everything(home: Home) -> None:
    machine = home.machine("doubtful")

    with Terminal(machine, "snapshots", "-r", home.location) as terminal:
        terminal.wait_for("yes or no")
        terminal.type("y")
        code = terminal.end()

    assert 2 == code
    assert "not confirmed" in terminal.shown
    assert not machine.state.exists()


@pytest.mark.usefixtures("snapshot")
def test_who_mistypes_may_try_again(home: Home) -> None:
    words = home.words

    with Terminal(home, "ls", "latest") as terminal:
        terminal.wait_for("Key:")
        terminal.type(" ".join([words[0] + "zz", *words[1:]]))
        terminal.wait_for(f"word 1, '{words[0]}zz', is not in the list")
        terminal.wait_for("Key:")
        terminal.type(str(home.kit / "recovery-file.key"))
        terminal.wait_for("Passphrase of the recovery key:")
        terminal.type("wrong " + PASSPHRASE)
        terminal.wait_for("does not open with this passphrase")
        terminal.wait_for("Passphrase of the recovery key:")
        terminal.type(PASSPHRASE)
        code = terminal.end()

    assert 0 == code
    assert "/data/etc/hosts" in terminal.shown


def test_progress_is_drawn_and_cleared(home: Home, tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}").write_bytes(home.kit.name.encode() * 400_000 + bytes([number]))

    with Terminal(home, "backup", tmp_path, "--name", "drawn", columns=90) as terminal:
        code = terminal.end()

    assert 0 == code
    assert "scan and store, " in terminal.shown
    drawn = re.findall(r"\x1b\[\?7l(.*?)\x1b\[\?7h", terminal.shown)
    assert drawn
    assert all(len(line) < 90 for line in drawn)
    assert "\r\x1b[2K" in terminal.shown
    assert terminal.shown.rstrip().splitlines()[-1].startswith("  stored ")


def test_a_second_backup_shows_how_much_is_left(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10_000_000)
    home.ok("backup", tmp_path, "--name", "estimated")

    with Terminal(home, "backup", tmp_path, "--name", "estimated") as terminal:
        terminal.end()

    assert re.search(r"\[[#.]+\] scan and store, \d+ %", terminal.shown)


def test_quiet_draws_nothing(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with Terminal(home, "-q", "backup", tmp_path, "--name", "quiet") as terminal:
        assert 0 == terminal.end()

    assert "\x1b" not in terminal.shown


def test_forgetting_asks_first(home: Home, tmp_path: Path) -> None:
    for _ in range(2):
        home.ok("backup", tmp_path, "--name", "ask")

    with Terminal(home, "forget", "latest~1", "--store", "ask") as terminal:
        terminal.wait_for("Forget 1 snapshot?")
        terminal.type("no")
        assert 2 == terminal.end()
    assert 2 == home.json("snapshots", "--store", "ask").summary["snapshots"]
    with Terminal(home, "forget", "latest~1", "--store", "ask") as terminal:
        terminal.wait_for("Forget 1 snapshot?")
        terminal.type("yes")
        assert 0 == terminal.end()
    assert 1 == home.json("snapshots", "--store", "ask").summary["snapshots"]


@pytest.mark.usefixtures("snapshot")
def test_no_color_is_heard(home: Home) -> None:
    with Terminal(home, "snapshots") as terminal:
        assert 0 == terminal.end()
    plain = Machine(folder=home.folder, environment={"NO_COLOR": "1"})
    with Terminal(plain, "snapshots") as without:
        assert 0 == without.end()

    assert "\x1b[1m" in terminal.shown
    assert not re.search(r"\x1b\[[0-9;]*[3-4][0-7]m", without.shown)


def test_an_archive_is_not_thrown_at_a_terminal(home: Home) -> None:
    with Terminal(home, "dump", "latest", *home.key) as terminal:
        assert 2 == terminal.end()

    assert "helps nobody" in terminal.shown
