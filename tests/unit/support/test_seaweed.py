"""The S3 server of the tests: its three buckets, its two identities, its death."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.seaweed import READER, Seaweed


def test_prefixes_of_one_server_differ(seaweed: Seaweed) -> None:
    assert seaweed.prefix() != seaweed.prefix()


def test_the_reader_can_read_and_list_but_not_write_or_delete(seaweed: Seaweed) -> None:
    name = seaweed.prefix() + "one"
    admin, reader = seaweed.client(), seaweed.client(READER)
    admin.put_object(Bucket=seaweed.bucket, Key=name, Body=b"1")

    assert b"1" == reader.get_object(Bucket=seaweed.bucket, Key=name)["Body"].read()
    assert 1 == reader.list_objects_v2(Bucket=seaweed.bucket, Prefix=name)["KeyCount"]
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.put_object(Bucket=seaweed.bucket, Key=name + "two", Body=b"2")
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.delete_object(Bucket=seaweed.bucket, Key=name)

    admin.close()
    reader.close()


def test_only_the_versioned_bucket_keeps_versions(seaweed: Seaweed) -> None:
    name = seaweed.prefix() + "one"
    client = seaweed.client()
    kept = {}
    for bucket in (seaweed.bucket, seaweed.versioned_bucket):
        for body in (b"1", b"2"):
            client.put_object(Bucket=bucket, Key=name, Body=body)
        kept[bucket] = len(client.list_object_versions(Bucket=bucket, Prefix=name)["Versions"])
    client.close()

    assert {seaweed.bucket: 1, seaweed.versioned_bucket: 2} == kept


def test_objects_survive_a_kill_and_a_restart() -> None:
    with Seaweed() as server:
        client = server.client()
        client.put_object(Bucket=server.bucket, Key="one", Body=b"1")
        server.kill()
        server.restart()
        assert b"1" == client.get_object(Bucket=server.bucket, Key="one")["Body"].read()
        client.close()


def test_the_server_dies_with_its_starter() -> None:
    program = (
        "from tests.support.seaweed import Seaweed\n"
        "with Seaweed() as server:\n"
        "    print(server.pid, flush=True)\n"
        "    input()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        server = int(starter.stdout.readline())
        folder = Path(f"/proc/{server}/cwd").readlink()
        starter.kill()
    give_up = time.monotonic() + 10
    while _is_alive(server) and time.monotonic() < give_up:
        time.sleep(0.05)
    shutil.rmtree(folder)

    assert not _is_alive(server)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except FileNotFoundError:
        return False
