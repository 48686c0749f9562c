"""Threads that take jobs: in order, bounded, and with every job released whatever happens."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from functools import partial

import pytest

from vaultd.pipeline.workers import Buffers, Crew, Lease, bulk_work


class PlannedError(Exception):
    """What a job fails with in these tests."""


def fail(_: object) -> None:
    raise PlannedError


def wait_for(gate: threading.Event, _: object) -> None:
    gate.wait(10)


def crew(threads: int = 1, depth: int = 4) -> Crew[list[int]]:
    """Return a crew each of whose threads owns a list."""
    return Crew("test", threads, depth, list)


def test_one_thread_does_its_jobs_in_order() -> None:
    done: list[int] = []
    with crew() as workers:
        for number in range(50):
            workers.submit(lambda _, number=number: done.append(number))  # type: ignore[misc]
        workers.drain()

        assert list(range(50)) == done


def test_each_thread_has_a_tool_of_its_own() -> None:
    together = threading.Barrier(3)
    tools: list[list[int]] = []

    def job(tool: list[int]) -> None:
        together.wait(timeout=10)
        tools.append(tool)

    with crew(threads=3) as workers:
        for _ in range(3):
            workers.submit(job)

    assert 3 == len({id(tool) for tool in tools})


def test_leaving_waits_for_all_jobs() -> None:
    done: list[int] = []

    with crew(threads=2, depth=100) as workers:
        for number in range(100):
            workers.submit(partial(lambda number, _: done.append(number), number))

    assert 100 == len(done)


@pytest.mark.parametrize("meet", ["submit", "drain", "check", "leave"])
def test_what_a_job_raises_is_raised_where_its_giver_looks(meet: str) -> None:
    failed = threading.Event()

    def job(_: object) -> None:
        try:
            raise PlannedError
        finally:
            failed.set()

    def use(workers: Crew[list[int]]) -> None:
        workers.submit(job)
        failed.wait(10)
        if meet == "drain":
            workers.drain()
        while meet == "check":
            workers.check()
        while meet == "submit":
            workers.submit(lambda _: None)

    with pytest.raises(PlannedError), crew() as workers:
        use(workers)


def test_after_a_failure_jobs_are_dropped_and_released_all_the_same() -> None:
    done: list[int] = []
    released: list[int] = []
    gate = threading.Event()

    def stop(_: object) -> None:
        gate.wait(10)
        raise PlannedError

    def use(workers: Crew[list[int]]) -> None:
        workers.submit(stop, lambda: released.append(0))
        for number in range(1, 4):
            workers.submit(
                partial(lambda number, _: done.append(number), number),
                partial(released.append, number),
            )
        gate.set()
        workers.drain()

    with pytest.raises(PlannedError), crew() as workers:
        use(workers)

    assert ([], [0, 1, 2, 3]) == (done, released)


def test_a_job_that_is_refused_is_released() -> None:
    released: list[str] = []
    with crew() as workers:
        workers.submit(fail)
        with pytest.raises(PlannedError):
            workers.drain()
        with pytest.raises(PlannedError):
            workers.submit(fail, lambda: released.append("refused"))
        with pytest.raises(PlannedError):
            workers.check()
        workers._error = None  # noqa: SLF001 - so that leaving does not raise it once more

    assert ["refused"] == released


def test_a_failure_of_the_giver_drops_what_is_waiting() -> None:
    done: list[int] = []
    gate = threading.Event()

    def use(workers: Crew[list[int]]) -> None:
        workers.submit(partial(wait_for, gate))
        for number in range(3):
            workers.submit(partial(lambda number, _: done.append(number), number))
        threading.Timer(0.01, gate.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), crew() as workers:
        use(workers)

    assert [] == done


def test_giving_waits_while_the_queue_is_full() -> None:
    gate = threading.Event()
    with crew(depth=1) as workers:
        workers.submit(partial(wait_for, gate))
        given: list[int] = []

        def give() -> None:
            for number in range(3):
                workers.submit(lambda _: None)
                given.append(number)

        giver = threading.Thread(target=give)
        giver.start()
        giver.join(0.05)
        assert len(given) < 3
        gate.set()
        giver.join(10)

        assert [0, 1, 2] == given


def test_idle_jobs_wait_for_all_others_and_not_for_room() -> None:
    done: list[int] = []
    gate = threading.Event()
    with crew(depth=1) as workers:
        workers.submit(partial(wait_for, gate))
        for number in range(10):
            workers.submit_idle(partial(lambda number, _: done.append(number), number))
        workers.submit(lambda _: done.append(-1))
        gate.set()
        workers.drain()

        assert [-1, *range(10)] == done


def test_idle_jobs_are_refused_after_a_failure() -> None:
    done: list[int] = []

    def use(workers: Crew[list[int]]) -> None:
        workers.submit(fail)
        with pytest.raises(PlannedError):
            workers.drain()
        workers.submit_idle(lambda _: done.append(1))

    with pytest.raises(PlannedError), crew() as workers:
        use(workers)

    assert [] == done


def test_buffers_are_made_on_demand_and_used_again() -> None:
    buffers = Buffers(2, 16)
    first = buffers.take()
    first.release()

    again = buffers.take()
    other = buffers.take()

    assert first.buffer is again.buffer
    assert other.buffer is not again.buffer
    assert (16, 16) == (buffers.size, len(other.view))


def test_a_buffer_is_free_when_its_last_user_has_released_it() -> None:
    buffers = Buffers(1, 4)
    lease = buffers.take()
    lease.share()
    taken: list[Lease] = []
    taker = threading.Thread(target=lambda: taken.append(buffers.take()))

    lease.release()
    taker.start()
    taker.join(0.05)
    assert taker.is_alive()
    lease.release()
    taker.join(10)

    assert lease.buffer is taken[0].buffer


def test_bulk_work_sets_the_interpreter_up_and_then_back() -> None:
    before = gc.get_threshold(), sys.getswitchinterval()

    with bulk_work():
        assert gc.get_threshold() > before[0]
        assert sys.getswitchinterval() < before[1]

    assert before == (gc.get_threshold(), sys.getswitchinterval())


def test_a_crew_whose_tools_cannot_be_made_is_none() -> None:
    make: Callable[[], object] = lambda: fail(None)  # noqa: E731 - one line says it

    with pytest.raises(PlannedError):
        Crew("test", 1, 1, make)
