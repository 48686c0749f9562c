"""A backend on which things go wrong as planned: for tests, and for runs that crash on purpose."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from vaultd.backends.base import Backend, Body, ObjectInfo
from vaultd.backends.bodies import bytes_of
from vaultd.backends.wrappers.faults import Fault, FaultKind, Plan, Step, nothing
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.clock import Clock, SystemClock

Result = TypeVar("Result")

Hook = Callable[[Step, str], None]
"""Called ``before`` each call and ``after`` its effect; may end the process there."""

_FORGOTTEN_BY_A_STALE_LIST = 3


def ignore(step: Step, moment: str) -> None:
    """Do nothing at any call."""


class Faulty(Forwarding):
    """Follows a plan of faults.

    Args:
        inner: The backend that does the work.
        plan: Which call meets which fault.
        hook: Sees every call before and after; a test may end the process there.
        clock: For slow calls; the system's by default.
    """

    def __init__(
        self,
        inner: Backend,
        plan: Plan = nothing,
        *,
        hook: Hook = ignore,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(inner)
        self._plan = plan
        self._hook = hook
        self._clock = SystemClock() if clock is None else clock
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._latest: deque[str] = deque(maxlen=_FORGOTTEN_BY_A_STALE_LIST)

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        """Create an object: see `Backend.put`."""

        def change(kind: FaultKind) -> None:
            if kind is FaultKind.FLIP_STORED:
                self._inner.put(name, _flipped(bytes_of(body)))
            elif kind is FaultKind.HALF_BODY:
                contents = bytes_of(body)
                self._inner.put(name, contents[: len(contents) // 2])
            elif kind is not FaultKind.LOSE_WRITE:
                self._inner.put(name, body, sha256=sha256)
            self._latest.append(name)

        self._meet("put", name, change)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""

        def change(kind: FaultKind) -> bytes:
            found = self._inner.get(name, offset=offset, length=length)
            if kind is FaultKind.FLIP:
                return _flipped(found)
            return found[: len(found) // 2] if kind is FaultKind.TRUNCATE else found

        return self._meet("get", name, change)

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object: see `Backend.head`."""
        return self._meet("head", name, lambda _: self._inner.head(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield objects in order: see `Backend.list`."""

        def change(kind: FaultKind) -> tuple[ObjectInfo, ...]:
            found = tuple(self._inner.list(prefix))
            if kind is FaultKind.STALE_LIST:
                return tuple(info for info in found if info.name not in self._latest)
            return tuple(info for info in found for _ in range(1 + (kind is FaultKind.DOUBLE_LIST)))

        yield from self._meet("list", prefix, change)

    def delete(self, name: str) -> None:
        """Remove an object: see `Backend.delete`."""
        self._meet("delete", name, lambda _: self._inner.delete(name))

    def _meet(self, operation: str, name: str, act: Callable[[FaultKind], Result]) -> Result:
        """Make one call as the plan has it."""
        with self._lock:
            step = Step(number=next(self._numbers), operation=operation, name=name)
            fault = self._plan(step) or _NO_FAULT
        self._hook(step, "before")
        if fault.seconds:
            self._clock.sleep(fault.seconds)
        if fault.kind is FaultKind.FAIL:
            raise fault.error(step)
        result = act(fault.kind)
        self._hook(step, "after")
        torn = fault.kind is FaultKind.HALF_BODY and operation == "put"
        if torn or fault.kind is FaultKind.LOSE_ANSWER:
            raise fault.error(step)
        return result


_NO_FAULT = Fault(kind=FaultKind.SLOW)


def _flipped(contents: bytes) -> bytes:
    """Return bytes with one bit in their middle flipped; nothing to flip in none."""
    if not contents:
        return contents
    at = len(contents) // 2
    return contents[:at] + bytes([contents[at] ^ 0x10]) + contents[at + 1 :]
