"""A backend that fails, lies or forgets: a run succeeds or says why not, and no lie is believed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.crash import Stage
from tests.support.trees import differences, snapshot_of
from tests.support.vaults import Scene
from vaultd.backends.base import Backend
from vaultd.backends.wrappers.faults import (
    Fault,
    FaultKind,
    Step,
    full,
)
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.errors import AccessDeniedError, VaultdError
from vaultd.core.snapshot import Kind, Snapshot
from vaultd.pipeline.restore import RestoreReport


def denied(step: Step) -> VaultdError:
    return AccessDeniedError(f"{step.operation} {step.name}: denied (a planned fault)")


FAULTS = {
    "transient": Fault(kind=FaultKind.FAIL),
    "full": Fault(kind=FaultKind.FAIL, error=full),
    "denied": Fault(kind=FaultKind.FAIL, error=denied),
    "lost answer": Fault(kind=FaultKind.LOSE_ANSWER),
    "half body": Fault(kind=FaultKind.HALF_BODY),
    "truncated": Fault(kind=FaultKind.TRUNCATE),
    "flipped": Fault(kind=FaultKind.FLIP),
    "flipped stored": Fault(kind=FaultKind.FLIP_STORED),
    "lost write": Fault(kind=FaultKind.LOSE_WRITE),
    "stale list": Fault(kind=FaultKind.STALE_LIST),
    "double list": Fault(kind=FaultKind.DOUBLE_LIST),
}
MEETS = {
    FaultKind.HALF_BODY: "put",
    FaultKind.FLIP_STORED: "put",
    FaultKind.LOSE_WRITE: "put",
    FaultKind.TRUNCATE: "get",
    FaultKind.FLIP: "get",
    FaultKind.STALE_LIST: "list",
    FaultKind.DOUBLE_LIST: "list",
}
Restore = Callable[[Snapshot, Path], RestoreReport]

LASTING = ("half body", "flipped stored", "lost write")
"""Faults that leave damage behind, which must be found."""


def scene_of(folder: Path) -> Scene:
    scene = Scene(folder)
    source = random.Random(1)
    scene.write("large", source.randbytes(530_000))
    for number in range(4):
        scene.write(f"small/{number % 2}/{number}", source.randbytes(3000))
    return scene


@pytest.fixture
def stages(tmp_path: Path) -> tuple[Stage, Stage]:
    """A first backup, and an incremental one."""
    changed = scene_of(tmp_path / "changed")
    changed.back_up(Kind.FULL)
    changed.write("large-2", random.Random(2).randbytes(530_000))
    changed.write("small/0/0", b"changed")
    fresh = scene_of(tmp_path / "fresh")
    return Stage(fresh, tmp_path / "full"), Stage(changed, tmp_path / "incremental")


@contextmanager
def no_descriptors_lost() -> Iterator[None]:
    """See that everything that was opened is closed again."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert before == len(os.listdir("/proc/self/fd")), "descriptors were lost"


class Trial:
    """One fault at one call of one backup, and what follows.

    Args:
        stage: Where.
        step: At which call.
        name: Which of `FAULTS`.
    """

    def __init__(self, stage: Stage, step: Step, name: str) -> None:
        self.stage = stage
        self.step = step
        self.name = name
        self.error: VaultdError | None = None
        self.met = step

    def __str__(self) -> str:
        return f"{self.name} at {self.step.number} {self.step.operation} {self.step.name}"

    def run(self) -> str:
        """Return what went wrong, or nothing."""
        self.stage.begin()
        with self.stage.place() as backend:
            try:
                self._meet(Faulty(backend, self._plan))
                self.stage.back_up(backend)
                self._look(backend)
            except (AssertionError, VaultdError) as error:
                return f"{self}: {error!r}"[:600]
        return ""

    def _plan(self, step: Step) -> Fault | None:
        if step.number != self.step.number:
            return None
        self.met = step  # threads take turns as they like, so it may be another than was planned
        return FAULTS[self.name]

    def _meet(self, backend: Backend) -> None:
        with no_descriptors_lost():
            try:
                self.stage.back_up_alike(backend)
            except VaultdError as error:
                self.error = error

    def _look(self, backend: Backend) -> None:
        """Compare what check says with what restores give."""
        desk = self.stage.desk(backend)
        report = desk.check()
        with desk.catalog() as catalog:
            snapshots = catalog.snapshots(desk.trust, desk.keys.domain)
        damaged = {name for damage in report.damages for name in damage.snapshots}
        assert self.name in LASTING or not report.damages
        for snapshot in snapshots:
            whole = self._is_restored(desk.restore, snapshot)
            assert whole or snapshot.short_id in damaged, "check found nothing, the restore did"

    def _is_restored(self, restore: Restore, snapshot: Snapshot) -> bool:
        """Restore a snapshot; tell whether all is well, and never let damage pass in silence."""
        target = self.stage.folder / f"restored-{snapshot.session.seq}"
        try:
            report = restore(snapshot, target)
        except VaultdError:
            return False
        place = f"{target}{self.stage.scene.box}"
        found = snapshot_of(place) if os.path.isdir(place) else {}
        wrong = differences(self.stage.expected(snapshot), found)
        if not report.problems:
            assert [] == wrong
        return not report.problems


def trials(stage: Stage) -> list[Trial]:
    """Return every fault at every call that it can befall."""
    steps = sorted({death.step.number: death.step for death in stage.deaths()}.items())
    return [
        Trial(stage, step, name)
        for _, step in steps
        for name, fault in FAULTS.items()
        if MEETS.get(fault.kind, step.operation) == step.operation
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", [0, 1], ids=["full", "incremental"])
def test_every_fault_at_every_call_is_survived_or_told(
    stages: tuple[Stage, Stage], which: int
) -> None:
    found = trials(stages[which])

    assert len(found) > 80
    assert "" == "\n".join(filter(None, (trial.run() for trial in found)))


def test_a_write_that_was_acknowledged_and_lost_is_made_once_more(
    stages: tuple[Stage, Stage],
) -> None:
    found = [
        trial
        for trial in trials(stages[1])
        if trial.name == "lost write" and trial.step.name.startswith("packs/")
    ]

    met = 0
    for trial in found:
        assert "" == trial.run()
        if not trial.met.name.startswith("packs/"):
            continue
        met += 1
        assert trial.error is None
        with trial.stage.place() as backend:
            assert () == trial.stage.desk(backend).check().damages
    assert met > 1
