"""Processes that die: a forked child does something and is killed at the worst moment.

The parent must have no other threads, so that a fork is safe; that makes hundreds of deaths cheap.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any, TypeVar

from vaultd.backends.wrappers.faults import Step

Result = TypeVar("Result")

BEFORE, AFTER = "before", "after"


class KilledError(Exception):
    """The child was killed before it had finished."""


class ChildError(Exception):
    """The child failed with an error of its own; its traceback is the message."""


def die() -> None:
    """End this process at once, as ``kill -9`` and the out-of-memory killer do."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(act: Callable[[], Result], *, kill_after_s: float | None = None) -> Result:
    """Do something in a forked child and return what came of it.

    Args:
        act: What to do; what it returns must be picklable.
        kill_after_s: Kill the child after so many seconds.

    Raises:
        KilledError: The child was killed.
        ChildError: It failed.
    """
    others = [thread.name for thread in threading.enumerate()][1:]
    assert [] == others, "a fork would be unsafe"
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        _live(act, writable)
    os.close(writable)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(readable, "rb") as stream:
        told = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        raise KilledError
    if not told:
        raise ChildError(f"the child ended with status {status} and said nothing")
    good, result = pickle.loads(told)
    if not good:
        raise ChildError(result)
    return result  # type: ignore[no-any-return]  # what `act` returned


def _live(act: Callable[[], object], writable: int) -> None:
    """Be the child: never return."""
    try:
        told = pickle.dumps((True, act()))
    except BaseException:  # noqa: BLE001 - whatever it is, the parent shall know
        told = pickle.dumps((False, traceback.format_exc()))
    with os.fdopen(writable, "wb") as stream:
        stream.write(told)
    os._exit(0)


def kill_at(number: int, moment: str) -> Callable[[Step, str], None]:
    """Return a hook for `Faulty` that ends the process at one call, before or after its effect."""

    def hook(step: Step, now: str) -> None:
        if (step.number, now) == (number, moment):
            die()

    return hook


class Lines:
    """Counts the lines of some modules as they are executed, and may end the process at one.

    Args:
        modules: Ends of the paths of these modules.
        last: The line to die at, counted from 1; 0 lets the process live.
    """

    def __init__(self, modules: Collection[str], last: int = 0) -> None:
        self._modules = tuple(modules)
        self._last = last
        self._lock = threading.Lock()
        self.count = 0

    def watch(self) -> None:
        """Begin to count, in this thread and in those that it starts."""
        threading.settrace(self._call)
        sys.settrace(self._call)

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._line if frame.f_code.co_filename.endswith(self._modules) else None

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            with self._lock:
                self.count += 1
                if self.count == self._last:
                    die()
        return self._line
