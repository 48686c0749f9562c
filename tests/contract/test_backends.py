"""Every backend and every wrapper keeps every promise of the conformance suite."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.s3 import credentials
from tests.support.seaweed import Seaweed
from vaultd.backends.base import Backend, Body
from vaultd.backends.conformance import (
    DELETING,
    PROMISES,
    Bench,
    Promise,
    clock_ahead_s,
    may_delete,
    try_promise,
)
from vaultd.backends.conformance_promises import put_refuses_to_overwrite
from vaultd.backends.local import LocalBackend
from vaultd.backends.local_placing import Placing
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.names import check_name
from vaultd.backends.s3.backend import S3Backend
from vaultd.backends.s3.options import S3Options
from vaultd.backends.wrappers.counting import Counting
from vaultd.backends.wrappers.faults import Fault, FaultKind, Plan, busy, first_of, sometimes, when
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.backends.wrappers.retrying import Retrying
from vaultd.backends.wrappers.throttled import Endpoint, Throttled
from vaultd.core.clock import SystemClock
from vaultd.core.errors import AccessDeniedError

Make = Callable[[], Backend]


def together(calls: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(calls)) as pool:
        for result in [pool.submit(call) for call in calls]:
            result.result()


def bench_of(make: Make) -> Bench:
    return Bench(make=make, prefix="scratch/", randomness=os.urandom, together=together)


def assert_kept(promise: Promise, make: Make) -> None:
    verdict = try_promise(promise, bench_of(make))
    assert ("", None, 0) == (verdict.reason, verdict.hint, verdict.left)
    assert verdict.kept
    assert verdict.text.endswith(".")


every_promise = pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)


@every_promise
def test_memory_keeps(promise: Promise) -> None:
    backend = MemoryBackend()
    assert_kept(promise, lambda: backend)


@every_promise
def test_a_wrapper_that_changes_nothing_keeps(promise: Promise) -> None:
    backend = Forwarding(MemoryBackend())
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


class StillClock(SystemClock):
    """A clock on which waiting takes no time."""

    def sleep(self, seconds: float) -> None: ...


def lost_and_busy(randomness: Callable[[int], bytes]) -> Plan:
    """One call in ten fails before it, one in ten after it, one in twenty for being too many."""
    before = Fault(kind=FaultKind.FAIL)
    after = Fault(kind=FaultKind.LOSE_ANSWER)
    too_many = Fault(kind=FaultKind.FAIL, error=busy)
    return first_of(
        sometimes(0.1, randomness, before),
        sometimes(0.1, randomness, after),
        sometimes(0.05, randomness, too_many),
    )


@every_promise
@pytest.mark.parametrize("seed", range(3))
def test_wrappers_keep_on_a_backend_that_fails_often(promise: Promise, seed: int) -> None:
    memory = MemoryBackend()
    clock = StillClock()
    endpoint = Endpoint(clock, limit=8)
    randomness = random.Random(seed).randbytes

    def make() -> Backend:
        failing = Faulty(memory, lost_and_busy(randomness), clock=clock)
        throttled = Throttled(Counting(failing), endpoint)
        return Retrying(throttled, clock=clock, randomness=randomness)

    assert_kept(promise, make)
    assert [] == list(memory.list(""))


@pytest.mark.parametrize(
    ("kind", "operation", "broken"),
    [
        (FaultKind.FLIP, "get", "bytes_come_back_as_they_were"),
        (FaultKind.FLIP_STORED, "put", "spooled_bodies_are_stored_whole"),
        (FaultKind.LOSE_WRITE, "put", "bytes_come_back_as_they_were"),
        (FaultKind.STALE_LIST, "list", "a_list_shows_what_was_put_before"),
        (FaultKind.STALE_LIST, "list", "lists_are_in_order_and_exact"),
        (FaultKind.DOUBLE_LIST, "list", "lists_are_in_order_and_exact"),
        (FaultKind.TRUNCATE, "get", "ranges_are_exact"),
        (FaultKind.LOSE_WRITE, "delete", ""),
    ],
)
def test_lies_are_found_out(kind: FaultKind, operation: str, broken: str) -> None:
    lie = when(lambda step: step.operation == operation, Fault(kind=kind))
    backend = Faulty(MemoryBackend(), lie)
    found = {
        promise.__name__
        for promise in PROMISES
        if not try_promise(promise, bench_of(lambda: backend)).kept
    }
    assert (broken in found) if broken else not found


class Overwriting(MemoryBackend):
    """What a server does that ignores the condition of a put."""

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        check_name(name)
        super().delete(name)
        super().put(name, body, sha256=sha256)


class Undeletable(MemoryBackend):
    """What a host sees that may not delete."""

    def delete(self, name: str) -> None:
        check_name(name)
        raise AccessDeniedError(f"object {name}: denied", hint="Ask for the right.")


def test_a_server_without_conditions_is_found_out_with_advice() -> None:
    backend = Overwriting()
    verdict = try_promise(put_refuses_to_overwrite, bench_of(lambda: backend))
    assert not verdict.kept
    assert "overwritten by a second put" in verdict.reason
    assert "prune = off" in (verdict.hint or "")


def test_a_host_without_the_right_to_delete_leaves_objects_and_says_how_many() -> None:
    backend = Undeletable()
    bench = bench_of(lambda: backend)
    assert not may_delete(bench)
    assert may_delete(bench_of(MemoryBackend))
    kept = {p: try_promise(p, bench) for p in PROMISES if p not in DELETING}
    # Names refused by all are refused here as well, so only deleting itself is missed.
    assert {True} == {verdict.kept for verdict in kept.values()}
    verdict = try_promise(DELETING[0], bench)
    assert ("Ask for the right.", 2) == (verdict.hint, verdict.left)


def test_a_backend_that_is_down_is_a_verdict_too() -> None:
    down = Faulty(MemoryBackend(), when(lambda _: True, Fault(kind=FaultKind.FAIL)))
    verdict = try_promise(PROMISES[0], bench_of(lambda: down))
    assert (False, 0) == (verdict.kept, verdict.left)
    assert "no answer" in verdict.reason


def test_the_clock_of_a_backend_is_compared_with_ours() -> None:
    class Ahead(SystemClock):
        def now_ns(self) -> int:
            return super().now_ns() + 3_600_000_000_000

    backend = MemoryBackend(clock=Ahead())
    assert abs(clock_ahead_s(bench_of(lambda: backend), SystemClock()) - 3600) < 1
    assert [] == list(backend.list(""))
