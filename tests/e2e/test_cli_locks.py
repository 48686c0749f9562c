"""`vaultctl lock` and `undelete` in a bucket that locks: the real program, a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Home, make_home
from tests.support.s3 import credentials
from tests.support.seaweed import Seaweed
from vaultd.backends.s3.backend import S3Backend
from vaultd.backends.s3.options import S3Options

CONFIG = """
[vault.lock]
mode = "compliance"
retain = "1d"
generation = "1d"
"""


@pytest.fixture(scope="module")
def home(seaweed: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("locks")
    (folder / "vaultd.toml").write_text(CONFIG)
    return make_home(
        folder,
        f"s3:{seaweed.endpoint}/{seaweed.locked_bucket}/{seaweed.prefix()}cli",
        AWS_ACCESS_KEY_ID=seaweed.access_key,
        AWS_SECRET_ACCESS_KEY=seaweed.secret_key,
        VAULTD_INSECURE_TLS="1",
        VAULTD_CONFIG=str(folder / "vaultd.toml"),
    )


@pytest.fixture(scope="module")
def bucket(home: Home, seaweed: Seaweed) -> Iterator[S3Backend]:
    prefix = home.location.partition(f"/{seaweed.locked_bucket}/")[2]
    options = S3Options(bucket=seaweed.locked_bucket, prefix=prefix, endpoint=seaweed.endpoint)
    with credentials(seaweed.access_key, seaweed.secret_key), S3Backend(options) as backend:
        yield backend


def test_a_locked_vault_keeps_its_promises(home: Home, data: Path) -> None:
    for _ in range(2):
        home.ok("backup", data, "--name", "crm")
        (data / "more").write_text("more")
    checked = home.json("lock", "check").summary
    assert (0, 2, 2) == tuple(
        checked[key] for key in ("violations", "snapshots", "promised_snapshots")
    )
    assert "locked as promised" in home.ok("lock", "check").text
    planned = home.json("lock", "extend", "--dry-run").summary
    assert (0, 0, 0) == tuple(planned[key] for key in ("planned", "extended", "failed"))
    assert "0 locks extended" in home.ok("lock", "extend").text
    counted = home.run("copies")
    assert "locked: nobody can delete before its date" in counted.text


def test_longer_promises_are_extended_to(home: Home, data: Path) -> None:
    longer = home.folder / "longer.toml"
    longer.write_text(CONFIG.replace("1d", "3d"))
    home.ok("backup", data, "--name", "crm", "--config", longer)

    broken = home.run("lock", "check", "--config", longer)
    assert 20 == broken.code
    assert "promised" in broken.text
    planned = home.ok("lock", "extend", "-n", "-v", "--config", longer).text
    assert "lock packs/web1/" in planned
    home.ok("lock", "extend", "--config", longer)
    home.ok("lock", "check", "--config", longer)


def test_what_a_thief_hid_and_covered_comes_back(
    home: Home, bucket: S3Backend, seaweed: Seaweed, data: Path
) -> None:
    home.ok("backup", data, "--name", "crm")
    ids = [line["id"] for line in home.json("snapshots").of_type("snapshot")]
    names = [info.name for info in bucket.list("")]
    client = seaweed.client()
    prefix = bucket.location.partition(f"/{seaweed.locked_bucket}/")[2]
    for name in names:
        client.put_object(Bucket=seaweed.locked_bucket, Key=f"{prefix}/{name}", Body=b"ransom")
        bucket.delete(name)
    client.close()

    listed = home.ok("snapshots", "--json")
    assert ids == [line["id"] for line in listed.of_type("snapshot")]
    assert "ALARM" in listed.err

    unasked = home.run("undelete", "--markers")
    assert 2 == unasked.code
    planned = home.json("undelete", "--markers", "--dry-run").summary
    assert (len(names), 0, 0) == tuple(planned[key] for key in ("planned", "revived", "lost"))
    stranger = home.machine("stranger")
    done = stranger.ok(
        *("undelete", "--markers", "--yes", "-r", home.location),
        *("--fingerprint", home.fingerprint),
    )
    assert f"{len(names)} objects brought back" in done.text
    assert names == [info.name for info in bucket.list("")]
    home.ok("check", "--read-data", *home.key)
    home.ok("restore", "latest", "-t", "out", "--verify", *home.key)
    assert "0 objects" in home.ok("undelete", "--markers", "--dry-run").text


def test_undelete_says_what_it_needs(home: Home, tmp_path: Path) -> None:
    assert 2 == home.run("undelete", "--markers", "latest").code
    local = make_home(tmp_path)
    for words in (("undelete", "--markers"), ("lock", "check"), ("lock", "extend")):
        done = local.run(*words)
        assert 2 == done.code
        assert "keeps no versions" in done.err
