"""A process may die at any moment: the next one goes on without help, and nothing is lost.

Every storage operation of a full backup, an incremental one and a restore is a moment to die at:
before it, after its effect and before its answer, and with half of its body stored.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.crash import AFTER, BEFORE, KilledError, in_child, kill_at
from tests.support.trees import differences, snapshot_of
from tests.support.vaults import Desk, Machine, Scene
from vaultd.backends.base import Backend
from vaultd.backends.local import LocalBackend
from vaultd.backends.wrappers.faults import Fault, FaultKind, Step, during
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.snapshot import Kind, Snapshot

HALF = "half body"
ONE_BY_ONE = {"workers": 1, "uploads": 1}
"""One thread of each kind, so that operations come in nearly the same order every time."""


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
        self._now = snapshot_of(scene.box)
        self._once: list[int] = []
        self._before = {snapshot.session.seq: expected for snapshot, expected in scene.seen}

    def begin(self) -> None:
        """Go back to the beginning."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.scene.folder / "vault", self.folder / "vault")
        if self.scene.machine.state.exists():
            shutil.copytree(self.scene.machine.state, self.folder / "state")

    @property
    def backend(self) -> Backend:
        return LocalBackend(self.folder / "vault")

    @property
    def desk(self) -> Desk:
        return replace(self.scene.desk, backend=self.backend, folder=self.folder / "desk")

    def back_up(self, backend: Backend, randomness: Callable[[int], bytes] = os.urandom) -> int:
        """Run a backup; return the number of its session."""
        state = self.folder / "state"
        machine = Machine(vault=self.scene.vault, backend=backend, state=state, random=randomness)
        report = machine.back_up(self.scene.tree, kind=self.kind, wanted=ONE_BY_ONE)
        assert () == report.problems
        return report.snapshot.session.seq

    def deaths(self) -> list[Death]:
        """Return all the moments at which the backup might die."""
        self.begin()
        found = deaths(self.back_up_alike, self.backend)
        self._once = self.packs()
        return found

    def back_up_alike(self, backend: Backend) -> int:
        """Run a backup that makes the same choices every time."""
        return self.back_up(backend, random.Random(4).randbytes)

    def die(self, death: Death) -> None:
        """Run a backup that dies; it may also be over before."""
        backend = death.on(self.backend)
        with suppress(KilledError):
            in_child(lambda: self.back_up_alike(backend))

    def go_on(self, deaths: int = 1, *, torn: bool = False) -> None:
        """Run the backup that follows, and look at everything.

        Args:
            deaths: How many runs have died before.
            torn: The backend may have kept half of an outcome, which no backend of ours does. It
                must not stop anything, and is told of each time.
        """
        made = in_child(lambda: self.back_up(self.backend))
        report = self.desk.check()
        assert torn or report.damages == ()
        assert all(damage.reason.startswith("outcome snap/") for damage in report.damages)
        snapshots = self.snapshots()
        assert made == snapshots[-1].session.seq
        if len(snapshots) == len(self._before) + 1:
            # Of each run that died no more is lost than the one pack that was on its way.
            assert sum(self.packs()) <= sum(self._once) + deaths * max(self._once)
        for snapshot in snapshots:
            self.expect_restorable(snapshot)

    def snapshots(self) -> list[Snapshot]:
        desk = self.desk
        with desk.catalog() as catalog:
            return catalog.snapshots(desk.trust, desk.keys.domain)

    def expect_restorable(self, snapshot: Snapshot) -> None:
        target = self.folder / f"restored-{snapshot.session.seq}"
        assert () == self.desk.restore(snapshot, target).problems
        expected = self._before.get(snapshot.session.seq, self._now)
        assert [] == differences(expected, snapshot_of(f"{target}{self.scene.box}"))

    def packs(self) -> list[int]:
        """Return the sizes of all packs in the vault."""
        return [info.size for info in self.backend.list("packs/")]

    def try_all(self, moments: Sequence[Death]) -> list[str]:
        """Die at each of these moments and go on; return what went wrong."""
        failures = []
        for death in moments:
            self.begin()
            self.die(death)
            try:
                self.go_on(torn=death.moment == HALF)
            except Exception as error:  # noqa: BLE001 - each is one line of the verdict
                failures.append(f"{death}: {error!r}")
        return failures


def scene_of(folder: Path) -> Scene:
    """Return a scene with large files, small ones and a link."""
    scene = Scene(folder)
    source = random.Random(1)
    for number in range(4):
        scene.write(f"large/{number}", source.randbytes(600_000))
    for number in range(10):
        scene.write(f"small/{number % 3}/{number}", source.randbytes(3000))
    (scene.tree / "link").symlink_to("small/1")
    return scene


def change(scene: Scene) -> None:
    """Change a scene's folder a little."""
    scene.write("large/4", random.Random(2).randbytes(700_000))
    scene.write("small/0/0", b"changed")
    (scene.tree / "small" / "1" / "1").unlink()


@pytest.fixture
def full(tmp_path: Path) -> Stage:
    """The first backup of a folder is about to run."""
    return Stage(scene_of(tmp_path / "scene"), tmp_path / "stage")


@pytest.fixture
def incremental(tmp_path: Path) -> Stage:
    """There is a snapshot, the folder has changed, and an incremental backup is about to run."""
    scene = scene_of(tmp_path / "scene")
    scene.back_up(Kind.FULL)
    change(scene)
    return Stage(scene, tmp_path / "stage")


@pytest.mark.timeout(600)
def test_a_full_backup_may_die_at_every_storage_operation(full: Stage) -> None:
    moments = full.deaths()

    assert len(moments) > 30
    assert [] == full.try_all(moments)


@pytest.mark.timeout(600)
def test_an_incremental_backup_may_die_at_every_storage_operation(incremental: Stage) -> None:
    moments = incremental.deaths()

    assert len(moments) > 30
    assert [] == incremental.try_all(moments)


def test_nothing_is_uploaded_again_after_several_deaths(full: Stage) -> None:
    moments = full.deaths()
    commit = max(moments, key=lambda death: death.step.number)
    failures = []
    for second in moments:
        full.begin()
        full.die(replace(commit, moment=BEFORE))
        full.die(second)
        full.die(second)
        try:
            full.go_on(deaths=3, torn=second.moment == HALF)
        except Exception as error:  # noqa: BLE001 - each is one line of the verdict
            failures.append(f"{second}: {error}"[:700])

    assert [] == failures
