"""What goes wrong at three in the morning: each mistake has its words, its hint and its code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.cli import Home


@pytest.fixture(scope="module")
def alike(home: Home, data: Path) -> list[str]:
    """Ids of two snapshots of one store that begin with the same digit."""
    seen: dict[str, str] = {}
    for _ in range(17):
        snapshot_id = str(home.json("backup", data / "etc", "--name", "etc").summary["snapshot_id"])
        if snapshot_id[0] in seen:
            return [seen[snapshot_id[0]], snapshot_id]
        seen[snapshot_id[0]] = snapshot_id
    raise AssertionError("seventeen ids and sixteen digits")


@pytest.mark.parametrize(
    ("arguments", "code", "words", "hint"),
    [
        (("snapshot",), 2, "did you mean snapshots", "--help"),
        (("backup", "--knd", "full", "x"), 2, "--knd", "--help"),
        (("backup",), 2, "nothing to back up", "vaultctl backup"),
        (("backup", "/no/such/path"), 1, "/no/such/path", "exists"),
        (("backup", "--exclude-larger-than", "big", "/etc"), 2, "'big'", "1.5G"),
        (("backup", "--files-from", "/no/list", "/etc"), 2, "/no/list", None),
        (("backup", "--name", "", "/etc"), 2, "store name", None),
        (("snapshots", "-r", "/no/such/vault"), 10, "/no/such/vault", "mount"),
        (("snapshots", "-r", "empty"), 10, "no vault at", "vaultctl init"),
        (("snapshots", "-r", "ftp://host/vault"), 2, "no kind of storage", "s3:"),
        (("snapshots", "-r", "https://host/b"), 2, "a web address alone", "s3:https"),
        (("snapshots", "-r", "s3:https://me:secret@h/b"), 2, "credentials", "AWS_ACCESS"),
        (("snapshots", "-g", "colour"), 2, "'colour'", "--help"),
        (("snapshots", "--at", "soonish"), 2, "'soonish'", "3d ago"),
        (("snapshots", "--vault-file", "/no/file"), 2, "/no/file", None),
        (("ls", "latest"), 12, "needs a recovery key", "--recovery-key-file"),
        (("find",), 2, "PATTERN", "--help"),
        (("restore", "latest"), 2, "--target", "--help"),
        (("forget",), 2, "no snapshot was named", "filters"),
        (("forget", "--store", "etc"), 2, "would have no snapshot left", "--even-the-last"),
        (("forget", "latest~1"), 2, "nobody is here", "--yes"),
        (("tag", "add", "", "latest"), 2, "no tag", "a,b"),
        (("tag", "add", "a\nb", "latest"), 2, "printable", None),
        (("host", "enrol", "/no/request"), 2, "/no/request", "--here"),
        (("host", "revoke", "nobody", "--admin-key-file", "words"), 12, "is not an admin key", "r"),
        (("key", "add", "--label", "x", "--kit", "kit"), 2, "there is something", "--kit"),
        (("init", "-r", "vault"), 2, "passphrase", "--passphrase-file"),
        (("init", "-r", "vault", "--host", "Web 1"), 2, "'Web 1'", "a-z"),
    ],
)
@pytest.mark.usefixtures("alike")
def test_a_mistake_has_its_code_its_words_and_a_hint(
    home: Home, arguments: tuple[str, ...], code: int, words: str, hint: str | None
) -> None:
    (home.folder / "empty").mkdir(exist_ok=True)
    assert home.words_file.exists()

    done = home.run(*arguments)

    assert (code, b"") == (done.code, done.out)
    said = done.err.splitlines()
    at = next(at for at, line in enumerate(said) if line.startswith("vaultctl: error: "))
    first, rest = said[at], said[at + 1 :]
    assert words in first
    assert "Traceback" not in done.err
    if hint is not None:
        assert rest[-1].startswith("hint: ")
        assert hint in rest[-1]


@pytest.mark.parametrize(
    ("reference", "code", "words"),
    [
        ("ffffffffffffffff", 1, "no snapshot begins"),
        ("latest~999", 1, "no snapshot latest~999"),
        ("web1/999", 1, "no snapshot web1/999"),
        ("some thing", 2, "does not name a snapshot"),
        ("latest:/no/such/path", 1, "holds no /no/such/path"),
    ],
)
@pytest.mark.usefixtures("alike")
def test_a_snapshot_that_cannot_be_found(home: Home, reference: str, code: int, words: str) -> None:
    done = home.run("ls", reference, *home.key)

    assert code == done.code
    assert words in done.err


def test_an_ambiguous_id_lists_the_candidates(home: Home, alike: list[str]) -> None:
    done = home.run("ls", alike[0][0], *home.key)

    assert 2 == done.code
    assert all(one[:8] in done.err for one in alike)


def test_a_wrong_passphrase_is_told_from_a_wrong_file(home: Home) -> None:
    wrong = home.folder / "wrong"
    wrong.write_text("not the passphrase")
    wrong.chmod(0o600)
    key = home.kit / "recovery-file.key"

    mistyped = home.run("key", "test", "--recovery-key-file", key, "--passphrase-file", wrong)
    missing = home.run("key", "test", "--recovery-key-file", key)
    admin = home.run(
        *("key", "test", "--recovery-key-file", home.kit / "admin.key"),
        *("--passphrase-file", home.passphrase_file),
    )

    assert [12, 12, 12] == [mistyped.code, missing.code, admin.code]
    assert "does not open with this passphrase" in mistyped.err
    assert "has a passphrase, and none was given" in missing.err
    assert "expected recovery" in admin.err


def test_a_misspelt_word_is_named_with_those_that_come_near(home: Home) -> None:
    words = home.words
    path = home.folder / "misspelt"
    path.write_text(" ".join([*words[:4], words[4] + "x", *words[5:]]))
    path.chmod(0o600)

    done = home.run("key", "test", "--recovery-key-file", path)

    assert 12 == done.code
    assert f"word 5, '{words[4]}x'" in done.err
    assert words[4] in done.err.splitlines()[-1]


def test_a_sheet_as_text_may_be_given_as_it_is(home: Home) -> None:
    sheet = home.kit / "recovery-paper-sheet.txt"

    assert "recovery key 'paper' works" in home.ok("key", "test", "--recovery-key-file", sheet).text


def test_a_key_file_that_everybody_can_read_is_refused(home: Home) -> None:
    path = home.folder / "open.key"
    shutil.copy(home.kit / "recovery-file.key", path)
    path.chmod(0o644)

    done = home.run("key", "test", "--recovery-key-file", path)

    assert 12 == done.code
    assert "chmod 600" in done.err


def test_a_passphrase_can_come_from_a_program_or_a_descriptor(home: Home) -> None:
    key = ("key", "test", "--recovery-key-file", home.kit / "recovery-file.key")

    program = home.run(*key, "--passphrase-command", f"cat {home.passphrase_file}")
    with home.passphrase_file.open() as file:
        number = file.fileno()
        descriptor = home.run(*key, "--passphrase-fd", number, pass_fds=(number,))
    both = home.run(*key, "--passphrase-fd", 0, "--passphrase-command", "true")

    assert [0, 0, 2] == [program.code, descriptor.code, both.code]
    assert "both given" in both.err


def test_a_target_that_is_not_empty_is_left_alone(home: Home, data: Path, alike: list[str]) -> None:
    before = sorted(data.rglob("*"))

    done = home.run("restore", alike[0][:12], "-t", data, *home.key)

    assert 1 == done.code
    assert "--overwrite" in done.err
    assert before == sorted(data.rglob("*"))


def test_a_second_vault_is_not_made_where_one_is(home: Home) -> None:
    done = home.run(
        *("init", "-r", home.location, "--kit", "kit2"),
        *("--passphrase-file", home.passphrase_file),
    )

    assert 1 == done.code
    assert "there is a vault" in done.err
    assert not (home.folder / "kit2").exists()


def test_keys_are_never_written_over_other_keys(home: Home) -> None:
    done = home.run(
        *("init", "-r", "elsewhere", "--kit", home.kit),
        *("--passphrase-file", home.passphrase_file),
    )

    assert 2 == done.code
    assert "keys never replace other keys" in done.err
    assert not (home.folder / "elsewhere").exists()


def test_a_vault_whose_making_broke_off_can_be_made_anew(home: Home) -> None:
    half = home.folder / "half"
    shutil.copytree(home.vault / "keys", half / "keys")
    arguments = ("init", "-r", half, "--passphrase-file", home.passphrase_file, "--kit")
    machine = home.machine("half-machine")

    listed = machine.run("snapshots", "-r", half)
    refused = machine.run(*arguments, "kit")
    made = machine.run(*arguments, "kit", "--discard-unfinished")

    assert [10, 1, 0] == [listed.code, refused.code, made.code]
    assert "broke off" in refused.err

    machine.ok("snapshots", "-r", home.location, "--fingerprint", home.fingerprint)
    which = machine.run("snapshots")
    assert 2 == which.code
    assert "this machine knows 2" in which.err


def test_a_machine_that_meets_a_vault_asks_for_the_fingerprint(home: Home) -> None:
    stranger = home.machine("stranger")

    unknown = stranger.run("snapshots", "-r", home.location)
    wrong = stranger.run("snapshots", "-r", home.location, "--fingerprint", "aaaa-bbbb")
    right = stranger.run("snapshots", "-r", home.location, "--fingerprint", home.fingerprint)
    later = stranger.run("snapshots")

    assert [2, 20, 0, 0] == [unknown.code, wrong.code, right.code, later.code]
    assert home.fingerprint in unknown.err
    assert "keys are not on this machine" in later.err


def test_a_machine_that_is_no_host_cannot_back_up(home: Home, data: Path) -> None:
    stranger = home.machine("stranger-2")

    done = stranger.run(*("backup", data, "-r", home.location, "--fingerprint", home.fingerprint))

    assert 12 == done.code
    assert "not a host" in done.err


def test_damage_is_found_named_and_given_its_own_code(home: Home, data: Path) -> None:
    home.ok("backup", data, "--name", "damaged")
    copy = home.machine("damaged")
    shutil.copytree(home.state, copy.state)
    vault = copy.folder / "vault"
    shutil.copytree(home.vault, vault)
    pack = max(
        (vault / "packs").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size
    )
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(200)
        file.write(b"\0\xff" * 20)

    looked = copy.run("check", "-r", vault)
    read = copy.run("check", "-r", vault, "--read-data", "--json")

    assert 0 == looked.code
    assert 20 == read.code
    (damage,) = read.of_type("damage")
    assert pack.name in damage["name"]
    assert damage["snapshots"]
    pack.unlink()
    missing = copy.run("check", "-r", vault)
    assert 20 == missing.code
    assert "is missing" in missing.text


def test_what_is_gone_is_reported_and_the_rest_is_still_found(home: Home, data: Path) -> None:
    home.ok("backup", data / "etc", "--name", "gone", "--kind", "full")
    home.ok("backup", data / "etc", "--name", "gone", "--kind", "full")
    copy = home.machine("missing")
    vault = copy.folder / "vault"
    shutil.copytree(home.vault, vault)
    here = ("-r", vault, "--fingerprint", home.fingerprint)
    before = copy.json("snapshots", *here, *home.key).of_type("snapshot")
    first, second = (one for one in before if one["store"] == "gone")
    for pack in (vault / f"packs/web1/{first['seq']:010}").iterdir():
        pack.unlink()
    (vault / f"snap/web1/{second['seq']:010}").unlink()

    listed = copy.run("snapshots", *here, *home.key)
    found = copy.run("find", "hosts", "--json", "-H", "web1", "--store", "gone", *home.key)

    assert (20, True) == (listed.code, first["short_id"] in listed.text)
    assert f"snapshot web1/{second['seq']:010}: seen before and gone" in listed.err
    assert 3 == found.code
    assert {"matches": 0} == {"matches": found.summary["matches"]}


def test_errors_are_json_lines_for_scripts(home: Home) -> None:
    done = home.run("--json", "ls", "latest")

    assert b"" == done.out
    (line,) = map(json.loads, done.err.splitlines())
    assert {"message_type": "exit_error", "code": 12}.items() <= line.items()
    assert line["hint"]
    usage = json.loads(home.run("snapshots", "--json", "--nope").err)
    assert ("exit_error", 2) == (usage["message_type"], usage["code"])
    mixed = json.loads(home.run("dump", "latest", "--json").err)
    assert (2, True) == (mixed["code"], "-o FILE" in mixed["hint"])


def test_a_mistake_of_ours_shows_its_traceback_only_when_asked(home: Home) -> None:
    quiet = home.run("snapshots", "-r", "/no/such/vault")
    loud = home.run("snapshots", "-r", "/no/such/vault", "-vv")

    assert "Traceback" not in quiet.err
    assert "Traceback" in loud.err
    assert quiet.err in loud.err
