"""Threads: bounded, started and joined inside one ``with``, and never left waiting for each other.

This module must know nothing of what the jobs do. It is the only place that starts threads.
"""

from __future__ import annotations

import gc
import itertools
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

Tool = TypeVar("Tool")
Job = Callable[[Tool], None]

_TURN_S = 0.0002
_NOW, _IDLE, _END = range(3)
"""In which order waiting jobs are taken; jobs of one rank in the order of their submission."""


class Crew(Generic[Tool]):
    """A few threads that take jobs in order from a bounded queue.

    The first job that fails stops the work: later jobs are dropped, and the error is raised from
    the next call of `submit` or `drain`. Jobs may own what must be released; `submit` therefore
    takes a second callable that is called for every job, run or dropped.

    Args:
        name: Of the threads.
        threads: How many.
        depth: Jobs that may wait; `submit` blocks beyond it.
        make_tool: Makes what each thread owns and passes to its jobs.
    """

    def __init__(self, name: str, threads: int, depth: int, make_tool: Callable[[], Tool]) -> None:
        self._jobs: queue.PriorityQueue[
            tuple[int, int, Job[Tool] | None, Callable[[], None] | None]
        ] = queue.PriorityQueue()
        self._room = threading.Semaphore(depth)
        self._numbers = itertools.count()
        # Tools are made here, so that who asks for them hears of it when that fails.
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(
                target=self._run, args=(make_tool(),), name=f"{name}-{number}", daemon=True
            )
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        """Start the threads."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop and join the threads: at once after a failure, else when all jobs are done."""
        if error is not None and self._error is None:
            self._error = error
        for _ in self._threads:
            self._put(_END, None, None)
        for thread in self._threads:
            thread.join()
        if error is None and self._error is not None:
            raise self._error

    def submit(self, job: Job[Tool], release: Callable[[], None] | None = None) -> None:
        """Queue a job, waiting while the queue is full.

        Raises:
            BaseException: What an earlier job raised; this one is not run, but released.
        """
        if self._error is not None:
            if release is not None:
                release()
            raise self._error
        self._room.acquire()
        self._put(_NOW, job, release)

    def submit_idle(self, job: Job[Tool]) -> None:
        """Queue a job for when no other waits. Never blocks, so the caller bounds their number.

        Raises:
            BaseException: What an earlier job raised; this one is not run.
        """
        self.check()
        self._put(_IDLE, job, None)

    def drain(self) -> None:
        """Wait until every job submitted so far is done.

        Raises:
            BaseException: What a job raised.
        """
        self._jobs.join()
        self.check()

    def check(self) -> None:
        """Raise what a job raised, if any did."""
        if self._error is not None:
            raise self._error

    def _put(self, rank: int, job: Job[Tool] | None, release: Callable[[], None] | None) -> None:
        self._jobs.put((rank, next(self._numbers), job, release))

    def _run(self, tool: Tool) -> None:
        while True:
            rank, _, job, release = self._jobs.get()
            if rank == _NOW:
                self._room.release()
            try:
                if job is None:
                    return
                if self._error is None:
                    job(tool)
            except BaseException as error:  # noqa: BLE001 - raised again by who waits
                self._error = self._error or error
            finally:
                if release is not None:
                    release()
                del job, release
                self._jobs.task_done()


@contextmanager
def bulk_work() -> Iterator[None]:
    """Set the interpreter up for many threads and many small values.

    Python looks for cycles less often: bulk work makes millions of small values and none, and
    looking for them every 700 values costs a tenth of the time of a scan. And a thread that comes
    back from the disk gets its turn after 0.2 ms instead of 5: while one thread computes, the
    others would mostly wait (a restore of small files took half as long again).
    """
    before = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        gc.set_threshold(*before[0])
        sys.setswitchinterval(before[1])


class Buffers:
    """A fixed set of buffers that are used again and again: this bounds the memory of a pipeline.

    Args:
        count: How many.
        size: Bytes of each.
    """

    def __init__(self, count: int, size: int) -> None:
        self.size = size
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._left = count

    def take(self) -> Lease:
        """Return a free buffer, waiting for one when all are in use; one thread takes."""
        if self._left and self._free.empty():
            # Made on demand: a small run touches few.
            self._left -= 1
            return Lease(self, bytearray(self.size))
        return Lease(self, self._free.get())

    def give_back(self, buffer: bytearray) -> None:
        """Make a buffer free again."""
        self._free.put(buffer)


class Lease:
    """One buffer in use by one or more jobs; it is free again when all have released it."""

    __slots__ = ("_buffers", "_count", "_lock", "buffer", "view")

    def __init__(self, buffers: Buffers, buffer: bytearray) -> None:
        self._buffers = buffers
        self.buffer = buffer
        self.view = memoryview(buffer)
        self._count = 1
        self._lock = threading.Lock()

    def share(self) -> None:
        """Count one more user."""
        with self._lock:
            self._count += 1

    def release(self) -> None:
        """Count one user less."""
        with self._lock:
            self._count -= 1
            free = self._count == 0
        if free:
            self._buffers.give_back(self.buffer)
