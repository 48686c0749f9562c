"""Reading a vault that fails or lies: restores and checks say so, and never give wrong bytes."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.crash import deaths
from tests.support.trees import snapshot_of
from tests.support.vaults import Desk, Scene
from vaultd.backends.base import Backend
from vaultd.backends.wrappers.faults import Fault, FaultKind, Step, during
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.errors import VaultdError
from vaultd.core.snapshot import Kind

FAULTS = {
    "transient": Fault(kind=FaultKind.FAIL),
    "lost answer": Fault(kind=FaultKind.LOSE_ANSWER),
    "truncated": Fault(kind=FaultKind.TRUNCATE),
    "flipped": Fault(kind=FaultKind.FLIP),
}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two snapshots; the second one lies in packs of both."""
    scene = Scene(tmp_path)
    source = random.Random(1)
    scene.write("large", source.randbytes(530_000))
    for number in range(4):
        scene.write(f"small/{number % 2}/{number}", source.randbytes(3000))
    scene.back_up(Kind.FULL)
    scene.write("large-2", source.randbytes(530_000))
    scene.back_up(Kind.INCREMENTAL)
    return scene


def steps_of(scene: Scene, act: Callable[[Desk], object]) -> list[Step]:
    """Return the calls of the backend that something makes on a new machine."""

    def on(backend: Backend) -> None:
        act(replace(scene.new_desk(), backend=backend, workers=1))

    return list({death.step.number: death.step for death in deaths(on, scene.backend)}.values())


def test_no_fault_makes_a_restore_give_wrong_bytes(scene: Scene) -> None:
    target = scene.folder / "target"
    snapshot, expected = scene.seen[-1]
    restored = []
    for step in steps_of(scene, lambda desk: desk.restore(snapshot, target)):
        for name, fault in FAULTS.items():
            shutil.rmtree(target, ignore_errors=True)
            faulty = Faulty(scene.backend, during(step.number, step.number, fault))
            desk = replace(scene.new_desk(), backend=faulty, workers=1)
            try:
                report = desk.restore(snapshot, target)
            except VaultdError:
                continue
            place = Path(f"{target}{scene.box}")
            found = snapshot_of(place) if place.is_dir() else {}
            wrong = {path for path in expected if expected[path] != found.get(path)}
            named = {problem.path for problem in report.problems}
            told = {path for path in wrong if os.fsencode(scene.box)[1:] + b"/" + path in named}
            # A tree that cannot be read is told of as a whole.
            assert wrong == told or b"" in named, f"{name} at {step}"
            assert bool(wrong) == bool(named), f"{name} at {step}"
            restored.append(name)

    assert {"truncated", "flipped"} <= set(restored)


def test_a_check_tells_of_faults_as_damage_or_as_an_error(scene: Scene) -> None:
    damaged = failed = 0
    for step in steps_of(scene, Desk.check):
        for fault in FAULTS.values():
            faulty = Faulty(scene.backend, during(step.number, step.number, fault))
            desk = replace(scene.new_desk(), backend=faulty, workers=1)
            try:
                damaged += bool(desk.check().damages)
            except VaultdError:
                failed += 1

    assert damaged > 10
    assert failed > 20
