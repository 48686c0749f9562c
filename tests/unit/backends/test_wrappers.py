"""Wrappers: trying again, holding back, counting, and failing as planned."""

from __future__ import annotations

import contextlib
import itertools
import random
import tempfile
import threading
from collections.abc import Callable, Iterator

import pytest

from vaultd.backends.base import Body, Spooled
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.counting import Counting, Traffic
from vaultd.backends.wrappers.faults import (
    Fault,
    FaultKind,
    Plan,
    Step,
    busy,
    during,
    first_of,
    full,
    nothing,
    sometimes,
    when,
)
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.backends.wrappers.retrying import Retrying, RetryOptions
from vaultd.backends.wrappers.throttled import Breaker, Endpoint, Gate, Pace, Throttled
from vaultd.core.errors import (
    AccessDeniedError,
    NoSpaceError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
)
from vaultd.core.events import Event, Note

FAIL = Fault(kind=FaultKind.FAIL)
LOSE_ANSWER = Fault(kind=FaultKind.LOSE_ANSWER)


class StillClock:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.sleeps: list[float] = []

    def now_ns(self) -> int:
        return int(self.now_s * 1e9)

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds


def longest(count: int) -> bytes:
    """Draw the longest waits."""
    return b"\xff" * count


class Stage:
    """A retrying backend over a faulty one over memory."""

    def __init__(self, plan: Plan, options: RetryOptions | None = None) -> None:
        self.memory = MemoryBackend()
        self.clock = StillClock()
        self.counting = Counting(Faulty(self.memory, plan, clock=self.clock))
        self.events: list[Event] = []
        self.backend = Retrying(
            self.counting,
            clock=self.clock,
            randomness=longest,
            options=RetryOptions() if options is None else options,
            observer=self.events.append,
        )

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note)]


@pytest.fixture
def spooled() -> Iterator[Callable[[bytes], Spooled]]:
    with contextlib.ExitStack() as files:

        def make(contents: bytes) -> Spooled:
            file = files.enter_context(tempfile.TemporaryFile(buffering=0))
            file.write(contents)
            return Spooled(fd=file.fileno(), size=len(contents))

        yield make


@pytest.mark.parametrize("operation", ["put", "get", "head", "list", "delete"])
def test_every_operation_is_tried_again(operation: str) -> None:
    stage = Stage(when(lambda step: step.operation == operation and step.number < 5, FAIL))
    stage.memory.put("there", b"contents")
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: stage.backend.put("new", b"body"),
        "get": lambda: stage.backend.get("there", offset=3, length=2),
        "head": lambda: stage.backend.head("there"),
        "list": lambda: list(stage.backend.list("")),
        "delete": lambda: stage.backend.delete("there"),
    }
    calls[operation]()
    assert 4 == len(stage.clock.sleeps)
    assert 4 == stage.counting.traffic.errors


def test_waits_grow_to_a_limit_and_are_drawn_evenly() -> None:
    stage = Stage(during(1, 12, FAIL))
    stage.backend.put("x", b"")
    expected = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30, 30]
    assert pytest.approx(expected) == stage.clock.sleeps
    drawn = Stage(during(1, 300, FAIL), RetryOptions(first_s=10, longest_s=10, deadline_s=1e9))
    drawn.backend = Retrying(
        drawn.counting,
        clock=drawn.clock,
        randomness=random.Random(1).randbytes,
        options=RetryOptions(first_s=10, longest_s=10, deadline_s=1e9),
    )
    drawn.backend.put("x", b"")
    assert 4.5 < sum(drawn.clock.sleeps) / 300 < 5.5
    assert min(drawn.clock.sleeps) < 0.5
    assert max(drawn.clock.sleeps) > 9.5


def test_it_gives_up_at_the_deadline_and_says_so() -> None:
    stage = Stage(when(lambda _: True, FAIL))
    with pytest.raises(StorageUnavailableError):
        stage.backend.get("x")
    assert 870 <= sum(stage.clock.sleeps) <= 900
    assert stage.notes()[-1].endswith("given up after 37 tries in 14 min 51 s")
    # The 1st, 2nd, 4th … failure and giving up, not every one.
    assert 7 == len(stage.notes())


def test_errors_that_would_come_again_are_not_tried_again() -> None:
    stage = Stage(when(lambda _: True, Fault(kind=FaultKind.FAIL, error=full)))
    with pytest.raises(NoSpaceError):
        stage.backend.put("x", b"")
    with pytest.raises(NoSpaceError):
        list(stage.backend.list(""))
    assert [] == stage.clock.sleeps
    assert [] == stage.notes()


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
@pytest.mark.parametrize("spool", [False, True], ids=["bytes", "spooled"])
def test_a_put_whose_answer_was_lost_succeeds(
    size: int, spool: bool, spooled: Callable[[bytes], Spooled]
) -> None:
    contents = random.Random(size).randbytes(size)
    body: Body = spooled(contents) if spool else contents
    stage = Stage(during(1, 1, LOSE_ANSWER))
    stage.backend.put("x", body)
    assert contents == stage.memory.get("x")


@pytest.mark.parametrize("other", [b"", b"other bytes", b"the bytex", b"the bytes and more"])
def test_a_put_that_lost_to_another_is_refused_even_after_a_failure(other: bytes) -> None:
    stage = Stage(during(1, 1, FAIL))
    stage.memory.put("x", other)
    with pytest.raises(ObjectExistsError):
        stage.backend.put("x", b"the bytes")
    assert other == stage.memory.get("x")


def test_a_put_to_a_taken_name_is_refused_even_if_the_bytes_are_the_same() -> None:
    stage = Stage(nothing)
    stage.memory.put("x", b"same")
    with pytest.raises(ObjectExistsError):
        stage.backend.put("x", b"same")
    assert 0 == stage.counting.traffic.gets


def test_looking_at_what_a_lost_put_left_is_tried_again_too() -> None:
    stage = Stage(first_of(during(1, 1, LOSE_ANSWER), during(3, 4, FAIL), during(6, 7, FAIL)))
    stage.backend.put("x", b"bytes")
    assert 5 == len(stage.clock.sleeps)


def test_a_host_that_may_not_read_its_packs_trusts_their_names() -> None:
    def forbidden(step: Step) -> AccessDeniedError:
        return AccessDeniedError(f"{step.operation} {step.name}: denied")

    denied = Fault(kind=FaultKind.FAIL, error=forbidden)
    plan = first_of(
        when(lambda step: step.operation in ("get", "head"), denied), during(1, 1, LOSE_ANSWER)
    )
    digest = bytes(range(32))
    name = f"packs/{digest.hex()}"
    stage = Stage(plan)
    stage.memory = MemoryBackend()
    backend = Retrying(Faulty(Unchecked(stage.memory), plan), clock=stage.clock, randomness=longest)
    backend.put(name, b"pack", sha256=digest)
    again = Retrying(Faulty(Unchecked(stage.memory), plan), clock=stage.clock, randomness=longest)
    with pytest.raises(ObjectExistsError):
        again.put(name, b"pack")


class Unchecked(Counting):
    """Takes a SHA-256 on trust, so that a test may make one up."""

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        super().put(name, body)


def test_an_object_removed_while_it_is_looked_at_was_not_ours() -> None:
    stage = Stage(nothing)

    def remove(step: Step, moment: str) -> None:
        if (step.operation, moment) == ("head", "before"):
            stage.memory.delete("x")

    faulty = Faulty(stage.memory, during(1, 1, LOSE_ANSWER), hook=remove)
    backend = Retrying(faulty, clock=stage.clock, randomness=longest)
    with pytest.raises(ObjectExistsError):
        backend.put("x", b"")


class Breaking(MemoryBackend):
    """A backend whose lists break off after a few objects, ever later."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = 0

    def list(self, prefix: str) -> Iterator:  # type: ignore[type-arg]
        self.lists += 1
        yield from itertools.islice(super().list(prefix), 3 * self.lists)
        if 3 * self.lists < 10:
            raise StorageUnavailableError("broken off")


def test_a_list_that_breaks_off_goes_on_where_it_was() -> None:
    memory = Breaking()
    for number in range(10):
        memory.put(f"{number}", b"")
    clock = StillClock()
    backend = Retrying(memory, clock=clock, randomness=longest)
    assert [str(number) for number in range(10)] == [info.name for info in backend.list("")]
    # Each wait is a first one: the list had brought objects in between.
    assert pytest.approx([0.2, 0.2, 0.2]) == clock.sleeps


def test_the_gate_halves_once_for_answers_to_the_same_time_and_recovers() -> None:
    gate = Gate(16)
    slow = StorageUnavailableError("slow", throttled=True)

    def fail(error: StorageError) -> None:
        with pytest.raises(StorageError), gate.passing():
            raise error

    fail(StorageUnavailableError("not throttled"))
    assert 16 == gate.allowed
    with contextlib.suppress(StorageError), gate.passing():  # on its way while another is slowed
        fail(slow)
        assert 8 == gate.allowed
        raise slow
    assert 8 == gate.allowed
    for expected in (4, 2, 1, 1):
        fail(slow)
        assert expected == gate.allowed
    for _ in range(100):
        assert 1 == gate.allowed
        with gate.passing():
            pass
    assert 2 == gate.allowed
    for _ in range(100 * 20):
        with gate.passing():
            pass
    assert 16 == gate.allowed


def test_no_more_than_the_gate_allows_are_inside() -> None:
    gate = Gate(3)
    inside = itertools.count()
    seen: list[int] = []
    full_house = threading.Barrier(3)

    def pass_through() -> None:
        with gate.passing():
            seen.append(next(inside))
            full_house.wait(10)  # broken if fewer than three can be inside

    threads = [threading.Thread(target=pass_through) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert list(range(9)) == seen
    assert not full_house.broken


def test_the_breaker_opens_probes_and_closes() -> None:
    clock = StillClock()
    breaker = Breaker(clock)
    asked = 0

    def ask(error: StorageError | None) -> None:
        nonlocal asked
        with breaker.guarding():
            asked += 1
            if error is not None:
                raise error

    down = StorageUnavailableError("down")
    for _ in range(20):
        with pytest.raises(StorageUnavailableError, match="down"):
            ask(down)
    with pytest.raises(StorageUnavailableError, match="asked again in 30 s"):
        ask(None)
    clock.sleep(31)
    with pytest.raises(StorageUnavailableError, match="down"):
        ask(down)
    with pytest.raises(StorageUnavailableError, match="asked again in 30 s"):
        ask(None)
    assert 21 == asked
    clock.sleep(31)
    with pytest.raises(ObjectNotFoundError):  # an answer, though not a good one
        ask(ObjectNotFoundError("gone"))
    ask(None)
    assert 23 == asked


def test_the_breaker_bears_rare_failures_and_a_busy_server() -> None:
    clock = StillClock()
    breaker = Breaker(clock)

    def ask(error: StorageError) -> None:
        with pytest.raises(StorageError, match=error.message), breaker.guarding():
            raise error

    for _ in range(100):
        ask(StorageUnavailableError("now and then"))
        clock.sleep(4)
    for _ in range(100):
        ask(StorageUnavailableError("busy", throttled=True))
    for _ in range(19):
        ask(StorageUnavailableError("down"))
    ask(StorageUnavailableError("busy", throttled=True))
    ask(StorageUnavailableError("down"))
    with breaker.guarding():
        pass


def test_bytes_are_spread_over_time() -> None:
    clock = StillClock()
    pace = Pace(1000, clock)
    for count in (500, 1000, 0, 250):
        pace.take(count)
    assert [0.5, 1.0] == clock.sleeps
    clock.sleep(100)
    pace.take(10_000)  # time not used is not saved up, and the first never waits
    pace.take(1)
    assert [0.5, 1.0, 100, 10.0] == clock.sleeps
    Pace(0, clock).take(10**12)
    assert 4 == len(clock.sleeps)


def test_a_throttled_backend_keeps_to_its_paces() -> None:
    clock = StillClock()
    endpoint = Endpoint(clock, upload_bytes_s=100, download_bytes_s=10)
    backend = Throttled(MemoryBackend(), endpoint)
    backend.put("a", b"x" * 200)
    backend.put("b", b"x" * 200)
    assert [2.0] == clock.sleeps
    backend.get("a", length=20)
    backend.get("a")
    backend.get("a", length=20)
    assert [2.0, 2.0, 20.0] == clock.sleeps


def test_a_listing_leaves_room_for_other_requests() -> None:
    memory = MemoryBackend()
    for number in range(2500):
        memory.put(f"{number:04d}", b"")
    backend = Throttled(memory, Endpoint(StillClock(), limit=1))
    found = [(info.name, backend.head(info.name).size) for info in backend.list("")]
    assert 2500 == len(found)


def test_slow_down_reaches_the_gate_through_retries() -> None:
    clock = StillClock()
    plan = during(1, 2, Fault(kind=FaultKind.FAIL, error=busy))
    endpoint = Endpoint(clock, limit=8)
    throttled = Throttled(Faulty(MemoryBackend(), plan), endpoint)
    Retrying(throttled, clock=clock, randomness=longest).put("x", b"")
    assert 2 == endpoint.gate.allowed


def test_traffic_is_counted(spooled: Callable[[bytes], Spooled]) -> None:
    backend = Counting(MemoryBackend())
    backend.put("a", b"12345")
    backend.put("b", spooled(b"1234567"))
    with pytest.raises(ObjectExistsError):
        backend.put("a", b"123")
    backend.get("a", offset=1)
    backend.head("b")
    with pytest.raises(ObjectNotFoundError):
        backend.head("c")
    assert 2 == len(list(backend.list("")))
    next(iter(backend.list("")))  # left early
    backend.delete("a")
    expected = Traffic(
        puts=3, gets=1, heads=2, lists=2, deletes=1, errors=2, put_bytes=12, got_bytes=4, listed=3
    )
    assert expected == backend.traffic


FAULTS_OF_GET = [
    (FaultKind.TRUNCATE, b"0123"),
    (FaultKind.FLIP, b"0123$567"),
    (FaultKind.FLIP_STORED, b"01234567"),
    (FaultKind.SLOW, b"01234567"),
]


@pytest.mark.parametrize(("kind", "expected"), FAULTS_OF_GET)
def test_faults_of_a_get(kind: FaultKind, expected: bytes) -> None:
    memory = MemoryBackend()
    memory.put("x", b"01234567")
    clock = StillClock()
    faulty = Faulty(memory, during(1, 1, Fault(kind=kind, seconds=3)), clock=clock)
    assert expected == faulty.get("x")
    assert b"01234567" == faulty.get("x")
    assert [3] == clock.sleeps


@pytest.mark.parametrize(
    ("kind", "stored", "raises"),
    [
        (FaultKind.FAIL, None, True),
        (FaultKind.LOSE_ANSWER, b"01234567", True),
        (FaultKind.HALF_BODY, b"0123", True),
        (FaultKind.FLIP_STORED, b"0123$567", False),
        (FaultKind.LOSE_WRITE, None, False),
        (FaultKind.TRUNCATE, b"01234567", False),
    ],
)
def test_faults_of_a_put(kind: FaultKind, stored: bytes | None, raises: bool) -> None:
    memory = MemoryBackend()
    faulty = Faulty(memory, during(1, 1, Fault(kind=kind)))
    if raises:
        with pytest.raises(StorageUnavailableError, match="planned fault"):
            faulty.put("x", b"01234567")
    else:
        faulty.put("x", b"01234567")
    assert ([] if stored is None else [stored]) == [memory.get(i.name) for i in memory.list("")]


def test_faults_of_a_list() -> None:
    stale = Fault(kind=FaultKind.STALE_LIST)
    double = Fault(kind=FaultKind.DOUBLE_LIST)
    plan = first_of(during(6, 6, stale), during(7, 7, double))
    backend = Faulty(MemoryBackend(), plan)
    for name in "abcde":
        backend.put(name, b"")
    lists = ["".join(info.name for info in backend.list("")) for _ in range(3)]
    assert ["ab", "aabbccddee", "abcde"] == lists


def test_no_bit_of_nothing_can_flip() -> None:
    backend = Faulty(MemoryBackend(), when(lambda _: True, Fault(kind=FaultKind.FLIP_STORED)))
    backend.put("x", b"")
    assert b"" == backend.get("x")


def test_a_hook_sees_every_call_before_and_after() -> None:
    seen: list[tuple[int, str, str, str]] = []

    def watch(step: Step, moment: str) -> None:
        seen.append((step.number, step.operation, step.name, moment))

    backend = Faulty(MemoryBackend(), during(3, 3, LOSE_ANSWER), hook=watch)
    backend.put("a", b"")
    with pytest.raises(ObjectExistsError):
        backend.put("a", b"")
    with pytest.raises(StorageUnavailableError):
        backend.delete("a")
    expected = [
        (1, "put", "a", "before"),
        (1, "put", "a", "after"),
        (2, "put", "a", "before"),
        (3, "delete", "a", "before"),
        (3, "delete", "a", "after"),
    ]
    assert expected == seen


def test_a_share_of_calls_fails() -> None:
    plan = sometimes(0.1, random.Random(7).randbytes, FAIL)
    steps = (Step(number=number, operation="get", name="x") for number in range(10_000))
    assert 900 < sum(plan(step) is FAIL for step in steps) < 1100
