"""The same program on a bucket: a smoke of the whole life, and of what storage answers badly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Home, make_home
from tests.support.seaweed import Seaweed


@pytest.fixture(scope="module")
def bucket(seaweed: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(
        tmp_path_factory.mktemp("s3"),
        f"s3:{seaweed.endpoint}/{seaweed.bucket}/{seaweed.prefix()}cli",
        AWS_ACCESS_KEY_ID=seaweed.access_key,
        AWS_SECRET_ACCESS_KEY=seaweed.secret_key,
        VAULTD_INSECURE_TLS="1",
    )


def test_a_bucket_takes_backups_and_gives_them_back(bucket: Home, data: Path) -> None:
    full = bucket.json("backup", data, "--name", "crm").summary
    (data / "added").write_text("added")
    incremental = bucket.json("backup", data, "--name", "crm").summary
    listed = bucket.json("snapshots").of_type("snapshot")
    bucket.json("restore", "latest", "-t", "out", "--verify", *bucket.key)
    checked = bucket.json("check", "--read-data", *bucket.key).summary

    assert [full["snapshot_id"], incremental["snapshot_id"]] == [line["id"] for line in listed]
    assert "added" == Path(f"{bucket.folder}/out{data}/added").read_text()
    assert 0 == checked["num_errors"]
    assert (data / "numbers").read_bytes() == bucket.ok(
        "dump", "latest", data / "numbers", *bucket.key
    ).out


def test_the_sheet_names_the_bucket_and_how_to_reach_it(bucket: Home) -> None:
    sheet = (bucket.kit / "recovery-paper-sheet.txt").read_text()

    assert f"vaultctl -r {bucket.location} restore latest" in sheet
    assert "AWS_SECRET_ACCESS_KEY" in sheet


def test_wrong_credentials_are_named_as_such(bucket: Home) -> None:
    stranger = bucket.machine("stranger", AWS_SECRET_ACCESS_KEY="wrong")

    done = stranger.run("snapshots", "-r", bucket.location)

    assert 1 == done.code
    assert "secret key" in done.err
    assert "Traceback" not in done.err


def test_a_bucket_that_is_missing_or_empty_is_named_as_such(bucket: Home, seaweed: Seaweed) -> None:
    missing = bucket.run("snapshots", "-r", f"s3:{seaweed.endpoint}/no-such-bucket/x")
    empty = bucket.run("snapshots", "-r", f"s3:{seaweed.endpoint}/{seaweed.bucket}/nothing-here")

    assert missing.code in {1, 10}
    assert "Create the bucket" in missing.err
    assert 10 == empty.code
