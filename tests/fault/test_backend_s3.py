"""A bucket as a backend, when keys are wrong and servers stop: on a real server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from tests.support.s3 import credentials
from tests.support.seaweed import READER, Seaweed
from vaultd.backends.base import Spooled
from vaultd.backends.s3.backend import S3Backend
from vaultd.backends.s3.options import S3Options
from vaultd.core.clock import SystemClock
from vaultd.core.errors import (
    AccessDeniedError,
    ObjectExistsError,
    StorageUnavailableError,
    VaultNotFoundError,
)
from vaultd.core.units import MIB


@pytest.fixture
def options(seaweed: Seaweed) -> Iterator[S3Options]:
    with credentials(seaweed.access_key, seaweed.secret_key):
        yield S3Options(
            bucket=seaweed.bucket, prefix=seaweed.prefix().rstrip("/"), endpoint=seaweed.endpoint
        )


def calls_of(backend: S3Backend) -> list[Callable[[], object]]:
    return [
        lambda: backend.put("x", b"x"),
        lambda: backend.get("x"),
        lambda: backend.head("x"),
        lambda: list(backend.list("")),
        lambda: backend.delete("x"),
    ]


def test_a_wrong_secret_is_denied_everywhere(options: S3Options, seaweed: Seaweed) -> None:
    with credentials(seaweed.access_key, "wrong"), S3Backend(options) as backend:
        for call in calls_of(backend):
            with pytest.raises(AccessDeniedError) as caught:
                call()
            assert caught.value.hint
            assert "wrong" not in caught.value.message


def test_a_reader_reads_and_is_told_what_it_may_not(options: S3Options) -> None:
    with S3Backend(options) as owner:
        owner.put("x", b"contents")
        with credentials(*READER), S3Backend(options) as reader:
            assert b"contents" == reader.get("x")
            assert ["x"] == [info.name for info in reader.list("")]
            with pytest.raises(AccessDeniedError) as caught:
                reader.put("y", b"y")
            assert "s3:PutObject" in (caught.value.hint or "")
            with pytest.raises(AccessDeniedError) as caught:
                reader.delete("x")
            assert "s3:DeleteObject" in (caught.value.hint or "")
        assert b"contents" == owner.get("x")


def test_a_missing_bucket_is_no_missing_object(options: S3Options) -> None:
    with S3Backend(replace(options, bucket="no-such-bucket")) as backend:
        for call in (calls_of(backend)[at] for at in (0, 1, 3)):
            with pytest.raises(VaultNotFoundError, match="no such bucket") as caught:
                call()
            assert "Create the bucket, or correct its name." == caught.value.hint


def test_the_bucket_can_be_made_and_examined(options: S3Options, seaweed: Seaweed) -> None:
    with S3Backend(options) as backend:
        backend.bucket.create()
        assert not backend.bucket.is_versioned()
        assert abs(backend.bucket.server_clock_skew_s()) < 2
    with S3Backend(replace(options, bucket=seaweed.versioned_bucket)) as versioned:
        assert versioned.bucket.is_versioned()


class DeadlyClock(SystemClock):
    """Stops the server in the middle of an upload: bodies look at the clock before each block."""

    def __init__(self, seaweed: Seaweed, looks: int) -> None:
        self.seaweed = seaweed
        self.looks = looks

    def monotonic_s(self) -> float:
        self.looks -= 1
        if self.looks == 0:
            self.seaweed.kill()
        return super().monotonic_s()


def test_a_server_killed_in_an_upload_keeps_nothing_of_it(
    options: S3Options, seaweed: Seaweed
) -> None:
    contents = os.urandom(MIB) * 16
    fd = os.memfd_create("body")
    os.write(fd, contents)
    body = Spooled(fd=fd, size=len(contents))
    with S3Backend(options) as backend:
        backend.put("before", b"before")
    with S3Backend(options, clock=DeadlyClock(seaweed, 100)) as backend:
        with pytest.raises(StorageUnavailableError):
            backend.put("x", body)
        for call in calls_of(backend):
            with pytest.raises(StorageUnavailableError) as caught:
                call()
            assert "Check the endpoint, the network and the server." == caught.value.hint
        seaweed.restart()
        # The same client goes on: broken connections are not used again.
        assert ["before"] == [info.name for info in backend.list("")]
        backend.put("x", body)
        with pytest.raises(ObjectExistsError):
            backend.put("x", body)
        assert contents == backend.get("x")
    os.close(fd)
