"""Backups, keepers, forgetting and recalling at once: at every storage operation of one, the other.

Each test runs one piece of work again and again, and lets another happen at the first of its
operations, then at the second, and so on to the last. Afterwards everything that is live must
restore, and a keeper must be able to go on.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.keeping import AT_ONCE, keeper_of
from tests.support.vaults import Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.faults import Fault, FaultKind, Plan, Step, during
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.errors import CautionError, StorageError
from vaultd.core.snapshot import Kind, Snapshot
from vaultd.maintenance.checkpoint import write_checkpoint
from vaultd.vault import layout

SOURCE = random.Random(5)
WAITING = replace(AT_ONCE, wait_s=3600)
HOUR_S = 3600


@dataclass
class Interference:
    """Lets something happen once, before a chosen operation."""

    at: int
    act: Callable[[], object]
    number: int = 0
    reached: bool = False

    def __call__(self, step: Step, moment: str) -> None:
        if moment == "before":
            self.number += 1
            if self.number == self.at:
                self.reached = True
                self.act()


class Stage:
    """A vault with snapshots of two chains, put back as it was for each try."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scene = Scene(folder / "first", MemoryBackend())
        scene.write("large", SOURCE.randbytes(300_000))
        scene.write("small", SOURCE.randbytes(5_000))
        scene.back_up(Kind.FULL)
        scene.write("small", SOURCE.randbytes(6_000))
        scene.back_up(Kind.INCREMENTAL)
        scene.write("large", SOURCE.randbytes(300_000))
        scene.back_up(Kind.FULL)
        self._scene = scene
        self._seen = list(scene.seen)
        self._objects = {i.name: scene.backend.get(i.name) for i in scene.backend.list("")}
        self._state = folder / "state"
        shutil.copytree(scene.machine.state, self._state)

    def begin(self) -> Scene:
        """Return the scene as it was in the beginning, in another backend."""
        scene = self._scene
        scene.backend = MemoryBackend()
        for name, contents in self._objects.items():
            scene.backend.put(name, contents)
        scene.seen = list(self._seen)
        scene.machine.backend = scene.backend
        shutil.rmtree(scene.machine.state)
        shutil.copytree(self._state, scene.machine.state)
        for old in scene.folder.glob("keeper*"):
            shutil.rmtree(old)
        for old in scene.folder.glob("restored*"):
            shutil.rmtree(old)
        return scene


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("races"))


def expect_all(scene: Scene) -> None:
    """What is live restores, and a keeper can go on until nothing is left to do."""
    desk = scene.new_desk()
    scene.seen = [seen for seen in scene.seen if seen[0] in desk.snapshots()]
    scene.expect_whole()
    keeper = keeper_of(scene, "keeper-last")
    keeper.prune()
    report = keeper.prune()
    assert (0, 0, ()) == (report.condemned, report.deleted, report.pending)
    scene.expect_whole()
    scene.expect_restorable()


def step_by_step(stage: Stage, run: Callable[[Scene, int], bool]) -> int:
    """Try every operation; return how many there were."""
    at = 1
    while run(stage.begin(), at):
        at += 1
    return at - 1


@pytest.mark.parametrize("kind", [Kind.INCREMENTAL, Kind.FULL, Kind.DIFFERENTIAL])
def test_a_prune_at_every_operation_of_a_backup(stage: Stage, kind: Kind) -> None:
    def run(scene: Scene, at: int) -> bool:
        keeper = keeper_of(scene)
        keeper.forget(scene.seen[0][0], scene.seen[2][0])
        scene.write("small", b"other contents %d" % at)
        there = Interference(at, keeper.prune)
        scene.machine.backend = Faulty(scene.backend, hook=there)
        scene.back_up(kind)
        scene.machine.backend = scene.backend
        expect_all(scene)
        return there.reached

    assert step_by_step(stage, run) > 15


def test_a_forced_prune_at_every_operation_of_a_backup(stage: Stage) -> None:
    """The keeper takes every session for dead: the host repeats its run, and nothing is lost."""
    impatient = replace(AT_ONCE, revoke_after_s=-3600)

    def run(scene: Scene, at: int) -> bool:
        keeper = keeper_of(scene)
        keeper.forget(scene.seen[2][0])
        scene.write("small", b"other contents %d" % at)
        there = Interference(at, lambda: keeper.prune(impatient))
        scene.machine.backend = Faulty(scene.backend, hook=there)
        scene.back_up(Kind.INCREMENTAL)
        scene.machine.backend = scene.backend
        expect_all(scene)
        return there.reached

    assert step_by_step(stage, run) > 15


def test_a_backup_and_forgetting_at_every_operation_of_a_prune(stage: Stage) -> None:
    def run(scene: Scene, at: int) -> bool:
        keeper = keeper_of(scene)
        keeper.forget(scene.seen[2][0])
        scene.write("small", b"other contents %d" % at)

        def meanwhile() -> None:
            scene.back_up(Kind.INCREMENTAL)
            keeper_of(scene, "keeper-other").forget(scene.seen[1][0])

        there = Interference(at, meanwhile)
        keeper.backend = Faulty(scene.backend, hook=there)
        keeper.prune()
        expect_all(scene)
        return there.reached

    assert step_by_step(stage, run) > 15


def test_another_keeper_at_every_operation_of_a_prune(stage: Stage) -> None:
    """What is condemned waits for both; between them a backup uses what was rescued."""

    def run(scene: Scene, at: int) -> bool:
        keeper, other = keeper_of(scene), keeper_of(scene, "keeper-other")
        keeper.forget(scene.seen[2][0])
        keeper.prune(WAITING)
        keeper.recall(scene.seen[2][0])

        def meanwhile() -> None:
            other.prune(WAITING, ahead_s=2 * HOUR_S)
            scene.back_up(Kind.INCREMENTAL)
            other.forget(scene.seen[2][0])
            other.prune(WAITING, ahead_s=2 * HOUR_S)

        there = Interference(at, meanwhile)
        keeper.backend = Faulty(scene.backend, hook=there)
        keeper.prune(WAITING, ahead_s=2 * HOUR_S)
        expect_all(scene)
        return there.reached

    assert step_by_step(stage, run) > 15


def test_a_recall_at_every_operation_of_a_prune(stage: Stage) -> None:
    recalled = refused = 0

    def run(scene: Scene, at: int) -> bool:
        nonlocal recalled, refused
        keeper, other = keeper_of(scene), keeper_of(scene, "keeper-other")
        snapshot = scene.seen[2][0]
        keeper.forget(snapshot)
        back: list[Snapshot] = []

        def meanwhile() -> None:
            with contextlib.suppress(CautionError):
                other.recall(snapshot)
                back.append(snapshot)

        there = Interference(at, meanwhile)
        keeper.backend = Faulty(scene.backend, hook=there)
        keeper.prune()
        live = scene.new_desk().snapshots()
        assert (snapshot in live) == bool(back)
        if there.reached:
            recalled += bool(back)
            refused += not back
        expect_all(scene)
        return there.reached

    step_by_step(stage, run)
    assert recalled > 5
    assert refused > 5


def test_a_prune_at_every_operation_of_a_recall(stage: Stage) -> None:
    def run(scene: Scene, at: int) -> bool:
        keeper, other = keeper_of(scene), keeper_of(scene, "keeper-other")
        snapshot = scene.seen[2][0]
        keeper.forget(snapshot)
        there = Interference(at, other.prune)
        keeper.backend = Faulty(scene.backend, hook=there)
        with contextlib.suppress(CautionError):
            keeper.recall(snapshot)
        expect_all(scene)
        return there.reached

    assert step_by_step(stage, run) > 3


def fail(at: int, kind: FaultKind) -> Plan:
    return during(at, at, Fault(kind=kind))


@pytest.mark.parametrize("kind", [FaultKind.FAIL, FaultKind.LOSE_ANSWER])
def test_a_prune_that_breaks_off_at_any_operation_is_gone_on_with(
    stage: Stage, kind: FaultKind
) -> None:
    def run(scene: Scene, at: int) -> bool:
        keeper = keeper_of(scene)
        keeper.forget(scene.seen[0][0], scene.seen[2][0])
        counted = Interference(at, lambda: None)
        keeper.backend = Faulty(scene.backend, fail(at, kind), hook=counted)
        with contextlib.suppress(StorageError):
            keeper.prune()
        expect_all(scene)
        there = {info.name for info in scene.backend.list(layout.PACKS)}
        assert not any("/0000000003/" in name for name in there)
        return counted.reached

    assert step_by_step(stage, run) > 15


def test_a_checkpoint_at_every_operation_of_a_backup(stage: Stage) -> None:
    def run(scene: Scene, at: int) -> bool:
        keeper = keeper_of(scene)
        keeper.forget(scene.seen[2][0])
        keeper.prune(WAITING)
        scene.write("small", b"other contents %d" % at)

        def meanwhile() -> None:
            with keeper.context() as context:
                context.catalog.refresh(context.backend, context.trust, context.find_keys)
                write_checkpoint(context, 10**6, set(), every=1)
            keeper.prune(WAITING, ahead_s=2 * HOUR_S)

        there = Interference(at, meanwhile)
        scene.machine.backend = Faulty(scene.backend, hook=there)
        scene.back_up(Kind.INCREMENTAL)
        scene.machine.backend = scene.backend
        expect_all(scene)
        return there.reached

    assert step_by_step(stage, run) > 15
