"""Every backend and every wrapper keeps every promise of the conformance suite."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.s3 import credentials
from tests.support.seaweed import Seaweed
from vaultd.backends.base import Backend
from vaultd.backends.conformance import PROMISES, Bench, Promise, Verdict, try_promise
from vaultd.backends.local import LocalBackend
from vaultd.backends.local_placing import Placing
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.s3.backend import S3Backend
from vaultd.backends.s3.options import S3Options

Make = Callable[[], Backend]


def together(calls: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(calls)) as pool:
        for result in [pool.submit(call) for call in calls]:
            result.result()


def assert_kept(promise: Promise, make: Make, prefix: str = "scratch/") -> None:
    bench = Bench(make=make, prefix=prefix, randomness=os.urandom, together=together)
    verdict = try_promise(promise, bench)
    expected = Verdict(name=verdict.name, text=verdict.text, kept=True)
    assert expected == verdict
    assert verdict.text.endswith(".")


every_promise = pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)


@every_promise
def test_memory_keeps(promise: Promise) -> None:
    backend = MemoryBackend()
    assert_kept(promise, lambda: backend)


@every_promise
@pytest.mark.parametrize("placing", Placing)
def test_a_folder_keeps(promise: Promise, placing: Placing, tmp_path: Path) -> None:
    assert_kept(promise, lambda: LocalBackend(tmp_path, placing=placing))
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def place(seaweed: Seaweed) -> Iterator[str]:
    """A prefix in the test buckets, with credentials for them."""
    with credentials(seaweed.access_key, seaweed.secret_key):
        yield seaweed.prefix().rstrip("/")


@every_promise
@pytest.mark.parametrize("versioned", [False, True], ids=["plain", "versioned"])
def test_a_bucket_keeps(promise: Promise, versioned: bool, seaweed: Seaweed, place: str) -> None:
    options = S3Options(
        bucket=seaweed.versioned_bucket if versioned else seaweed.bucket,
        prefix=place,
        endpoint=seaweed.endpoint,
    )
    # Pages so short that every listing has several.
    with S3Backend(options, page_names=100) as writer, S3Backend(options, page_names=100) as reader:
        handles = itertools.cycle([writer, reader])
        assert_kept(promise, lambda: next(handles))
