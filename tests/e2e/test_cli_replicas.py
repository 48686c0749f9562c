"""A second copy in daily life: made, used when the first fails, and healed from."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.support.cli import Home, make_home
from tests.support.damage import flip, harm_some, lose, names_of
from tests.support.seaweed import Seaweed
from vaultd.backends.local import LocalBackend

CONFIG = """
[vault]
location = "{location}"

[[vault.replicas]]
name = "offsite"
location = "{replica}"
offsite = true
{more}
"""


def configure(home: Home, replica: object, more: str = "") -> None:
    text = CONFIG.format(location=home.location, replica=replica, more=more)
    (home.folder / "vaultd.toml").write_text(text)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A machine with a vault of two snapshots, and a configuration that names a replica."""
    (tmp_path / "vaultd.toml").touch()
    home = make_home(tmp_path, VAULTD_CONFIG=str(tmp_path / "vaultd.toml"))
    configure(home, tmp_path / "replica")
    return home


@pytest.fixture
def data(home: Home) -> Path:
    """Customer data, backed up twice."""
    top = home.folder / "data"
    top.mkdir()
    for number in range(8):
        (top / f"file-{number}").write_bytes(number.to_bytes(2, "big") * 200_000)
    home.ok("backup", top, "--name", "crm")
    (top / "more").write_text("more")
    home.ok("backup", top, "--name", "crm")
    return top


def restored(home: Home, data: Path, target: str) -> tuple[str, bool]:
    """Restore the newest snapshot; return what was said, and whether it is as it was."""
    done = home.ok("restore", "latest", "-t", target, "--verify", *home.key)
    found = Path(f"{home.folder}/{target}{data}")
    names = sorted(path.name for path in data.iterdir())
    same = names == sorted(path.name for path in found.iterdir()) and all(
        (data / name).read_bytes() == (found / name).read_bytes() for name in names
    )
    return done.err, same


def test_a_replica_is_begun_once_and_then_kept_up_to_date(home: Home, data: Path) -> None:
    mistaken = home.run("replicate")
    home.folder.joinpath("replica").mkdir()
    empty = home.run("replicate")
    planned = home.json("replicate", "--init", "--dry-run").summary
    first = home.json("replicate", "--init").summary
    home.ok("backup", data, "--name", "crm")
    second = home.ok("replicate", "offsite", "--prove")
    (expired,) = home.json("replicate", "--prune").of_type("expired")

    assert (10, True) == (mistaken.code, "--init" in mistaken.err)
    assert (2, "--init" in empty.err) == (empty.code, True)
    assert (planned["objects"], planned["data"]) == (first["copied"], first["data"])
    assert "every one proven" in second.text
    assert 0 == expired["objects"]
    assert (
        0 == home.json("check", "--read-data", "-r", home.folder / "replica").summary["num_errors"]
    )
    assert (2, True) == _unknown(home)


def _unknown(home: Home) -> tuple[int, bool]:
    done = home.run("replicate", "elsewhere")
    return done.code, "there is no replica 'elsewhere'" in done.err


def test_a_replica_that_is_down_does_not_keep_the_others_from_being_copied(
    home: Home, data: Path
) -> None:
    more = '[[vault.replicas]]\nname = "here"\nlocation = "{}"'
    configure(home, home.folder / "missing", more.format(home.folder / "replica"))
    home.ok("replicate", "here", "--init")
    home.ok("backup", data, "--name", "crm")

    done = home.run("replicate")

    assert (1, True) == (done.code, "warning: replica offsite" in done.err)
    first, replica = (LocalBackend(home.folder / name) for name in ("vault", "replica"))
    assert names_of(first) == names_of(replica)


def test_a_run_that_is_killed_goes_on_when_it_is_run_again(home: Home, data: Path) -> None:
    configure(home, home.folder / "replica", 'limit_upload = "100K"')
    slow = home.start("replicate", "--init")
    packs = home.folder / "replica/packs"
    while not packs.exists():
        time.sleep(0.02)
    slow.send_signal(signal.SIGKILL)
    slow.communicate()
    assert not (home.folder / "replica/snap").exists()

    configure(home, home.folder / "replica")
    report = home.json("replicate").summary

    assert (0, True) == (report["num_errors"], report["there"] > 0)
    first, replica = (LocalBackend(home.folder / name) for name in ("vault", "replica"))
    assert names_of(first) == names_of(replica)


def test_a_damaged_first_target_restores_through_the_replica_and_is_healed(
    home: Home, data: Path
) -> None:
    home.ok("replicate", "--init")
    first = LocalBackend(home.vault)
    harmed = harm_some(first, 0.05, seed=1)
    lose(first, names_of(first, "snap/")[-1])

    said, same = restored(home, data, "out")
    assert same
    assert 1 == said.count("is read from replica offsite")
    assert 20 == home.run("check", "--read-data").code
    assert 20 == home.run("replicate", "--prove").code

    planned = home.ok("repair", "objects", "--read-data", "--dry-run")
    report = home.json("repair", "objects", "--read-data", *home.key)

    healed = {line["name"] for line in report.of_type("object") if line["outcome"] == "healed"}
    assert {*harmed, "snap/web1/0000000002"} == healed
    assert "would be healed: snap/web1/0000000002 from offsite" in planned.text
    assert 0 == home.run("check", "--read-data").code
    assert "nothing to heal" in home.ok("repair", "objects", "--read-data").text


def test_with_the_first_target_gone_everything_is_listed_and_restored_as_usual(
    home: Home, data: Path
) -> None:
    home.ok("replicate", "--init")
    home.vault.rename(home.folder / "stolen")

    listed = home.json("snapshots").of_type("snapshot")
    said, same = restored(home, data, "out")
    stranger = home.machine("stranger")
    done = stranger.run(
        *("restore", "latest", "-t", "out", "--fingerprint", home.fingerprint, *home.key)
    )

    assert 2 == len(listed)
    assert same
    assert "missing" in said
    assert 0 == done.code, done.err
    assert home.run("backup", data).code == 10


def test_with_the_first_target_emptied_it_is_filled_again_from_the_replica(
    home: Home, data: Path
) -> None:
    home.ok("replicate", "--init")
    shutil.rmtree(home.vault)
    home.vault.mkdir(mode=0o700)

    _, same = restored(home, data, "out")
    home.ok("repair", "objects")

    assert same
    assert 0 == home.json("check", "--read-data").summary["num_errors"]
    home.ok("backup", data, "--name", "crm")


def test_a_replica_that_lags_behind_what_this_machine_has_seen_is_still_restored_from(
    home: Home, data: Path
) -> None:
    home.ok("replicate", "--init")
    home.ok("forget", "latest~1", "--yes")
    home.vault.rename(home.folder / "stolen")

    said, same = restored(home, data, "out")

    assert same
    assert "older state" in said


def test_names_are_healed_when_asked_for_and_the_replica_likewise(home: Home, data: Path) -> None:
    home.ok("replicate", "--init")
    first, replica = (LocalBackend(home.folder / name) for name in ("vault", "replica"))
    here, there = names_of(first, "packs/")[:2]
    flip(first, here)
    flip(replica, there)

    named = home.ok("repair", "objects", here)
    other = home.ok("repair", "objects", "--at", "offsite", "--read-data")
    nothing = home.run("repair", "objects", "packs/../x")
    flip(first, here)
    flip(replica, here)
    hopeless = home.run("repair", "objects", here)

    assert f"healed: {here} from offsite" in named.text
    assert f"healed: {there} from the vault" in other.text
    assert 2 == nothing.code
    assert (20, True) == (hopeless.code, "no good copy" in hopeless.text)


def test_a_replica_of_another_vault_is_refused_and_not_read(home: Home, data: Path) -> None:
    other = home.folder / "other"
    other.mkdir()
    make_home(other, str(home.folder / "replica"))

    refused = home.run("replicate", "--init")
    said, same = restored(home, data, "out")
    home.vault.rename(home.folder / "stolen")
    lost = home.run("restore", "latest", "-t", "out-2", *home.key)

    assert (2, True) == (refused.code, "nothing was copied" in refused.err)
    assert same
    assert "not used" in said
    assert lost.code != 0


def test_two_prefixes_of_a_bucket_are_two_targets(seaweed: Seaweed, tmp_path: Path) -> None:
    place = f"s3:{seaweed.endpoint}/{seaweed.bucket}/{seaweed.prefix()}"
    (tmp_path / "vaultd.toml").touch()
    home = make_home(
        tmp_path,
        f"{place}first",
        AWS_ACCESS_KEY_ID=seaweed.access_key,
        AWS_SECRET_ACCESS_KEY=seaweed.secret_key,
        VAULTD_CONFIG=str(tmp_path / "vaultd.toml"),
    )
    configure(home, f"{place}second")
    top = tmp_path / "data"
    top.mkdir()
    (top / "file").write_bytes(bytes(range(256)) * 4000)
    home.ok("backup", top, "--name", "crm")
    home.ok("replicate", "--init")
    client = seaweed.client()
    prefix = f"{place.rpartition(seaweed.bucket)[2].strip('/')}/first/packs"
    listed = client.list_objects_v2(Bucket=seaweed.bucket, Prefix=prefix)["Contents"]
    for found in listed:
        client.delete_object(Bucket=seaweed.bucket, Key=found["Key"])
    client.close()

    _, same = restored(home, top, "out")
    report = home.json("repair", "objects")

    assert same
    assert len(listed) == report.summary["healed"]
    assert 0 == home.json("check", "--read-data").summary["num_errors"]


def test_copies_are_counted_digit_by_digit_with_evidence(home: Home, data: Path) -> None:
    alone = home.run("copies")
    home.ok("replicate", "--init")
    home.ok("replicate", "--prove")
    home.ok("check", "--read-data")
    both = home.run("copies")
    (store,) = home.run("copies", "--json").of_type("store")

    assert (1, True) == (alone.code, "crm on web1: 2-1-0-0-?" in alone.text)
    assert (1, True) == (both.code, "crm on web1: 3-1-1-0-0" in both.text)
    assert "offsite: 2 of 2 snapshots complete" in both.text
    assert "offsite: 0 missing, 0 damaged when read at" in both.text
    assert [True, False, True, False, True] == [digit["reached"] for digit in store["digits"]]
    assert ["vault", "offsite"] == [target["target"] for target in store["targets"]]


@pytest.mark.usefixtures("data")
def test_a_scrub_heals_from_the_second_copy_what_it_finds_bad(home: Home) -> None:
    home.ok("replicate", "--init")
    packs = sorted(path for path in (home.vault / "packs").rglob("*") if path.is_file())
    contents = packs[0].read_bytes()
    packs[0].chmod(0o600)
    packs[0].write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
    lost = packs[1].read_bytes()
    packs[1].unlink()

    done = home.run("scrub", "--json")

    assert [str(path.relative_to(home.vault)) for path in packs[:2]] == [
        line["name"] for line in done.of_type("healed")
    ]
    assert (contents, lost) == (packs[0].read_bytes(), packs[1].read_bytes())
    home.ok("check", "--read-data", *home.key)
