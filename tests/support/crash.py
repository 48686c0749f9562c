"""Processes that die: a forked child does something and is killed at the worst moment.

The parent must have no other threads, so that a fork is safe; that makes hundreds of deaths cheap.
A `Stage` is where backups die again and again, each from the same beginning, and where the run
that follows must go on by itself.
"""

from __future__ import annotations

import itertools
import os
import pickle
import random
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Self, TypeVar

from msgspec import structs

from tests.support.s3 import bucket_of
from tests.support.seaweed import Seaweed
from tests.support.trees import Facts, differences, snapshot_of
from tests.support.vaults import Desk, Machine, Scene
from vaultd.backends.base import Backend, Body, ObjectInfo
from vaultd.backends.local import LocalBackend
from vaultd.backends.wrappers.faults import Fault, FaultKind, Step, during
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.snapshot import Kind, Snapshot

Result = TypeVar("Result")

BEFORE, AFTER, HALF = "before", "after", "half body"
"""Moments of a call of a backend at which a process may die."""

ONE_BY_ONE = {"workers": 1, "uploads": 1}
"""One thread of each kind, so that operations come in nearly the same order every time."""


class KilledError(Exception):
    """The child was killed before it had finished."""


class ChildError(Exception):
    """The child failed with an error of its own; its traceback is the message."""


def die() -> None:
    """End this process at once, as ``kill -9`` and the out-of-memory killer do."""
    os.kill(os.getpid(), signal.SIGKILL)


class Child(Generic[Result]):
    """A forked child that does something.

    Args:
        act: What to do; what it returns must be picklable.
    """

    def __init__(self, act: Callable[[], Result]) -> None:
        others = [thread.name for thread in threading.enumerate()][1:]
        assert [] == others, "a fork would be unsafe"
        readable, writable = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(readable)
            _live(act, writable)
        os.close(writable)
        self._readable = readable

    def kill(self) -> None:
        """End it at once."""
        os.kill(self._pid, signal.SIGKILL)

    def result(self) -> Result:
        """Wait for the child and return what came of it.

        Raises:
            KilledError: It was killed.
            ChildError: It failed.
        """
        with os.fdopen(self._readable, "rb") as stream:
            told = stream.read()
        _, status = os.waitpid(self._pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            raise KilledError
        if not told:
            raise ChildError(f"the child ended with status {status} and said nothing")
        good, result = pickle.loads(told)
        if not good:
            raise ChildError(result)
        return result  # type: ignore[no-any-return]  # what `act` returned


def in_child(act: Callable[[], Result], *, kill_after_s: float | None = None) -> Result:
    """Do something in a forked child and return what came of it.

    Args:
        act: What to do; what it returns must be picklable.
        kill_after_s: Kill the child after so many seconds.

    Raises:
        KilledError: The child was killed.
        ChildError: It failed.
    """
    child = Child(act)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        child.kill()
    return child.result()


def at_once(acts: Iterable[Callable[[], Result]]) -> list[Result]:
    """Do several things at once, each in a child, and return what came of them.

    Raises:
        ChildError: One of them failed.
    """
    return [child.result() for child in [Child(act) for act in acts]]


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


@dataclass(frozen=True)
class Death:
    """When a process dies: at which call of the backend, and at which moment of it."""

    step: Step
    moment: str

    def on(self, backend: Backend) -> Faulty:
        """Return a backend on which the process dies."""
        number = self.step.number
        if self.moment == HALF:
            plan = during(number, number, Fault(kind=FaultKind.HALF_BODY))
            return Faulty(backend, plan, hook=kill_at(number, AFTER))
        return Faulty(backend, hook=kill_at(number, self.moment))


def deaths(act: Callable[[Backend], object], backend: Backend) -> list[Death]:
    """Do something once, unharmed, and return all the moments at which it might have died."""
    steps: list[Step] = []

    def hook(step: Step, moment: str) -> None:
        if moment == BEFORE:
            steps.append(step)

    act(Faulty(backend, hook=hook))
    found = [Death(step, moment) for step in steps for moment in (BEFORE, AFTER)]
    return found + [Death(step, HALF) for step in steps if step.operation == "put"]


class Stage:
    """A scene at which processes die, each time from the same beginning.

    Args:
        scene: As it is at the beginning.
        folder: Where copies of it are made.
    """

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene = scene
        self.folder = folder
        self.kind = Kind.INCREMENTAL if scene.seen else Kind.FULL
        self._once: list[int] = []
        self._now = snapshot_of(scene.box)
        self._before = {snapshot.session.seq: expected for snapshot, expected in scene.seen}

    def begin(self) -> None:
        """Go back to the beginning."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        if self.scene.machine.state.exists():
            shutil.copytree(self.scene.machine.state, self.folder / "state")
        self.copy_vault()

    def copy_vault(self) -> None:
        shutil.copytree(self.scene.folder / "vault", self.folder / "vault")

    @contextmanager
    def place(self) -> Iterator[Backend]:
        """Open the copy of the vault; a process of its own must do so on its own."""
        yield LocalBackend(self.folder / "vault")

    def desk(self, backend: Backend) -> Desk:
        return replace(self.scene.desk, backend=backend, folder=self.folder / "desk", workers=1)

    def back_up(self, backend: Backend, randomness: Callable[[int], bytes] = os.urandom) -> int:
        """Run a backup; return the number of its session."""
        state = self.folder / "state"
        machine = Machine(vault=self.scene.vault, backend=backend, state=state, random=randomness)
        report = machine.back_up(self.scene.tree, kind=self.kind, wanted=ONE_BY_ONE)
        assert () == report.problems
        return report.snapshot.session.seq

    def back_up_alike(self, backend: Backend) -> int:
        """Run a backup that makes the same choices every time."""
        return self.back_up(backend, random.Random(4).randbytes)

    def deaths(self) -> list[Death]:
        """Return all the moments at which the backup might die."""
        self.begin()
        with self.place() as backend:
            found = deaths(self.back_up_alike, backend)
            self._once = [info.size for info in backend.list("packs/")]
        return found

    def die(self, death: Death) -> None:
        """Run a backup that dies; it may also be over before."""

        def act() -> int:
            with self.place() as backend:
                return self.back_up_alike(death.on(backend))

        with suppress(KilledError):
            in_child(act)

    def go_on(self, deaths: int = 1, *, torn: bool = False) -> None:
        """Run the backup that follows, and look at everything.

        Args:
            deaths: How many runs have died before.
            torn: The backend may have kept half of an outcome, which no backend of ours does. It
                must not stop anything, and is told of each time.
        """

        def act() -> None:
            with self.place() as backend:
                made = self.back_up(backend)
                self.expect_all(backend, made, deaths)
                report = self.desk(backend).check()
                assert torn or report.damages == ()
                assert all(damage.reason.startswith("outcome snap/") for damage in report.damages)

        in_child(act)

    def expect_all(self, backend: Backend, made: int, deaths: int) -> None:
        """Restore all snapshots; see that packs were not uploaded again."""
        desk = self.desk(backend)
        with desk.catalog() as catalog:
            catalog.refresh(backend, desk.trust, desk.keys.domain)
            snapshots = catalog.snapshots(desk.trust, desk.keys.domain)
        assert made == snapshots[-1].session.seq
        if len(snapshots) == len(self._before) + 1:
            # Of each run that died no more is lost than the one pack that was on its way.
            stored = sum(info.size for info in backend.list("packs/"))
            assert stored <= sum(self._once) + deaths * max(self._once)
        for snapshot in snapshots:
            self.expect_restorable(desk, snapshot)

    def expect_restorable(self, desk: Desk, snapshot: Snapshot) -> None:
        target = self.folder / f"restored-{snapshot.session.seq}"
        assert () == desk.restore(snapshot, target).problems
        assert [] == differences(self.expected(snapshot), snapshot_of(f"{target}{self.scene.box}"))

    def expected(self, snapshot: Snapshot) -> dict[bytes, Facts]:
        """Return what the folder looked like when a snapshot was made."""
        return self._before.get(snapshot.session.seq, self._now)

    def try_all(self, moments: Iterable[Death]) -> list[str]:
        """Die at each of these moments and go on; return what went wrong."""
        return [
            failure
            for death in moments
            if (failure := self.failure_of(partial(self.die, death), torn=death.moment == HALF))
        ]

    def failure_of(self, die: Callable[[], object], deaths: int = 1, *, torn: bool = False) -> str:
        """Begin, die, go on; return what went wrong, or nothing."""
        self.begin()
        die()
        try:
            self.go_on(deaths, torn=torn)
        except ChildError as error:
            return f"after {die}: {error}"
        return ""


class BucketStage(Stage):
    """The same in a bucket: the vault's objects are put anew for each beginning.

    Args:
        scene: As it is at the beginning; its vault lies in a folder.
        folder: Where state and targets are.
        seaweed: Where the copies of the vault are.
    """

    def __init__(self, scene: Scene, folder: Path, seaweed: Seaweed) -> None:
        super().__init__(scene, folder)
        backend = scene.backend
        self._objects = {info.name: backend.get(info.name) for info in backend.list("")}
        self._copies = itertools.count(1)
        self._copy = ""
        self._parent = os.getpid()
        self._stack = ExitStack()
        # Clients are slow to make. The second one is for children: the parent never connects it.
        place = seaweed.prefix()
        self._clients = [
            self._stack.enter_context(bucket_of(seaweed, prefix=place)) for _ in range(2)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def copy_vault(self) -> None:
        self._copy = f"{next(self._copies):04d}/"
        with self.place() as backend:
            for name, contents in self._objects.items():
                backend.put(name, contents)

    @contextmanager
    def place(self) -> Iterator[Backend]:
        yield Below(self._clients[os.getpid() != self._parent], self._copy)


class Below(Forwarding):
    """A part of another backend: of all names the same beginning is left out."""

    def __init__(self, inner: Backend, beginning: str) -> None:
        super().__init__(inner)
        self._beginning = beginning

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        self._inner.put(self._beginning + name, body, sha256=sha256)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return self._inner.get(self._beginning + name, offset=offset, length=length)

    def head(self, name: str) -> ObjectInfo:
        return self._shown(self._inner.head(self._beginning + name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return map(self._shown, self._inner.list(self._beginning + prefix))

    def delete(self, name: str) -> None:
        self._inner.delete(self._beginning + name)

    def _shown(self, info: ObjectInfo) -> ObjectInfo:
        return structs.replace(info, name=info.name.removeprefix(self._beginning))
