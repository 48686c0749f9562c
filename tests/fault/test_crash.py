"""A process may die at any moment: the next one goes on without help, and nothing is lost.

Every storage operation of a full backup, an incremental one and a restore is a moment to die at:
before it, after its effect and before its answer, and with half of its body stored.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs

from tests.support.crash import (
    AFTER,
    BEFORE,
    HALF,
    BucketStage,
    ChildError,
    Death,
    KilledError,
    Lines,
    Stage,
    deaths,
    in_child,
)
from tests.support.seaweed import Seaweed
from tests.support.trees import differences, snapshot_of
from tests.support.vaults import Scene
from vaultd.backends.base import Backend
from vaultd.core.snapshot import Kind
from vaultd.pipeline.restore import MARKER

MANY = 30

PROTOCOL = tuple(
    f"vaultd/{name}.py"
    for name in (
        "pipeline/backup",
        "vault/catalog",
        "vault/chunk_index",
        "vault/commit",
        "vault/host",
        "vault/index_file",
        "vault/local_db",
        "vault/session",
        "vault/writer",
    )
)
RESTORING = tuple(
    f"vaultd/{name}.py"
    for name in (
        "pipeline/restore",
        "stores/files/folder",
        "stores/files/links",
        "stores/files/metadata",
        "stores/files/pending",
        "stores/files/place",
        "stores/files/site",
        "stores/files/target",
    )
)
"""Modules between whose lines a process may die."""


def scene_of(folder: Path) -> Scene:
    """Return a scene with large files, small ones and a link."""
    scene = Scene(folder)
    source = random.Random(1)
    for number in range(3):
        scene.write(f"large/{number}", source.randbytes(530_000))
    for number in range(10):
        scene.write(f"small/{number % 3}/{number}", source.randbytes(3000))
    (scene.tree / "link").symlink_to("small/1")
    return scene


def change(scene: Scene) -> None:
    """Change a scene's folder a little."""
    scene.write("large/3", random.Random(2).randbytes(530_000))
    scene.write("small/0/0", b"changed")
    (scene.tree / "small" / "1" / "1").unlink()


@pytest.fixture
def full(tmp_path: Path) -> Stage:
    """The first backup of a folder is about to run."""
    return Stage(scene_of(tmp_path / "fresh"), tmp_path / "fresh-stage")


@pytest.fixture
def changed(tmp_path: Path) -> Scene:
    """There is a snapshot, and the folder has changed."""
    scene = scene_of(tmp_path / "scene")
    scene.back_up(Kind.FULL)
    change(scene)
    return scene


@pytest.fixture
def incremental(changed: Scene, tmp_path: Path) -> Stage:
    """An incremental backup is about to run."""
    return Stage(changed, tmp_path / "stage")


@pytest.mark.timeout(600)
def test_a_full_backup_may_die_at_every_storage_operation(full: Stage) -> None:
    moments = full.deaths()

    assert len(moments) > MANY
    assert [] == full.try_all(moments)


@pytest.mark.timeout(600)
def test_an_incremental_backup_may_die_at_every_storage_operation(incremental: Stage) -> None:
    moments = incremental.deaths()

    assert len(moments) > MANY
    assert [] == incremental.try_all(moments)


@pytest.mark.timeout(600)
def test_nothing_is_uploaded_again_after_several_deaths(full: Stage) -> None:
    moments = full.deaths()
    commit = max(moments, key=lambda death: death.step.number)

    def die(death: Death) -> None:
        full.die(replace(commit, moment=BEFORE))
        full.die(death)
        full.die(death)

    failures = [
        full.failure_of(partial(die, death), deaths=3, torn=death.moment == HALF)
        for death in moments
    ]

    assert [] == list(filter(None, failures))


def test_backups_into_a_bucket_may_die(changed: Scene, tmp_path: Path, seaweed: Seaweed) -> None:
    with BucketStage(changed, tmp_path / "stage", seaweed) as stage:
        moments = stage.deaths()

        assert [] == stage.try_all(moments[:: len(moments) // 15])


@pytest.mark.nightly
def test_backups_into_a_bucket_may_die_at_every_storage_operation(
    changed: Scene, tmp_path: Path, seaweed: Seaweed
) -> None:
    with BucketStage(changed, tmp_path / "stage", seaweed) as incremental:
        assert [] == incremental.try_all(incremental.deaths())
    with BucketStage(scene_of(tmp_path / "fresh"), tmp_path / "stage", seaweed) as full:
        assert [] == full.try_all(full.deaths())


def test_a_backup_may_die_at_any_time(incremental: Stage) -> None:
    incremental.deaths()
    began = time.monotonic()
    incremental.deaths()
    longest_s = time.monotonic() - began
    source = random.Random(5)

    def die() -> None:
        with suppress(KilledError), incremental.place() as backend:
            in_child(
                lambda: incremental.back_up(backend), kill_after_s=source.uniform(0, longest_s)
            )

    failures = [incremental.failure_of(die) for _ in range(20)]

    assert [] == list(filter(None, failures))


def backups_to_die(stage: Stage, count: int) -> tuple[list[str], int]:
    """Let a backup die after so many of its lines; return what went wrong, and all its lines."""

    def act(last: int = 0) -> int:
        lines = Lines(PROTOCOL, last)
        with stage.place() as backend:
            lines.watch()
            stage.back_up_alike(backend)
        return lines.count

    def die(last: int) -> None:
        with suppress(KilledError):
            in_child(lambda: act(last))

    stage.deaths()
    stage.begin()
    total = in_child(act)
    chosen = range(1, total + 1, max(1, total // count))
    failures = [stage.failure_of(partial(die, last)) for last in chosen]
    return list(filter(None, failures)), total


@pytest.mark.timeout(600)
def test_a_backup_may_die_between_any_two_lines_of_the_protocol(incremental: Stage) -> None:
    failures, total = backups_to_die(incremental, 40)

    assert total > 300
    assert [] == failures


@pytest.mark.nightly
def test_backups_may_die_between_all_lines_of_the_protocol(incremental: Stage, full: Stage) -> None:
    assert [] == backups_to_die(incremental, 10_000)[0]
    assert [] == backups_to_die(full, 10_000)[0]


class Homecoming:
    """A restore that dies again and again, each time into a new place.

    Args:
        scene: With a snapshot.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.target = scene.folder / "home"
        self.desk = scene.new_desk()

    def restore(self, backend: Backend | None = None) -> None:
        desk = replace(self.desk, backend=backend or self.scene.backend, workers=1)
        snapshot, _ = self.scene.seen[-1]
        assert () == desk.restore(snapshot, self.target).problems

    def failure_of(self, die: Callable[[], object]) -> str:
        """Begin, die, go on; return what went wrong, or nothing."""
        shutil.rmtree(self.target, ignore_errors=True)
        shutil.rmtree(self.desk.folder, ignore_errors=True)
        with suppress(KilledError):
            in_child(die)
        if not self.is_complete():
            try:
                in_child(self.restore)
            except ChildError as error:
                return f"after {die}: {error}"
        return "" if self.is_complete() else f"after {die}: something is missing, or left over"

    def is_complete(self) -> bool:
        """Tell whether all is there, and no trace of a restore that has not finished."""
        place = Path(f"{self.target}{self.scene.box}")
        if not place.is_dir() or list(self.target.rglob(".vaultd*")):
            return False
        return differences(self.scene.seen[-1][1], snapshot_of(place)) == []


@pytest.fixture
def homecoming(changed: Scene) -> Homecoming:
    changed.back_up(Kind.INCREMENTAL)
    return Homecoming(changed)


def test_a_restore_may_die_at_every_storage_operation(homecoming: Homecoming) -> None:
    moments = deaths(homecoming.restore, homecoming.scene.backend)

    assert len(moments) > MANY
    backend = homecoming.scene.backend
    failures = [
        homecoming.failure_of(partial(homecoming.restore, death.on(backend))) for death in moments
    ]
    assert [] == list(filter(None, failures))


def test_a_restore_that_died_while_it_left_its_marker_is_no_obstacle(
    homecoming: Homecoming,
) -> None:
    homecoming.target.mkdir()
    homecoming.target.joinpath(MARKER).touch()

    homecoming.restore()

    assert homecoming.is_complete()


def restores_to_die(homecoming: Homecoming, count: int) -> tuple[list[str], int]:
    """Let a restore die after so many of its lines; return what went wrong, and all its lines."""

    def act(last: int = 0) -> int:
        lines = Lines(RESTORING, last)
        lines.watch()
        homecoming.restore()
        return lines.count

    total = in_child(act)
    chosen = range(1, total + 1, max(1, total // count))
    failures = [homecoming.failure_of(partial(act, last)) for last in chosen]
    return list(filter(None, failures)), total


def test_a_restore_may_die_between_any_two_lines(homecoming: Homecoming) -> None:
    failures, total = restores_to_die(homecoming, 40)

    assert total > 300
    assert [] == failures


def test_a_restore_may_die_again_while_it_goes_on(homecoming: Homecoming) -> None:
    dying = next(
        death
        for death in deaths(homecoming.restore, homecoming.scene.backend)
        if death.step.name.startswith("packs/") and death.moment == AFTER
    )
    dying = replace(dying, step=structs.replace(dying.step, number=dying.step.number + 4))

    def act(last: int = 0) -> int:
        with suppress(KilledError):
            in_child(partial(homecoming.restore, dying.on(homecoming.scene.backend)))
        lines = Lines(("vaultd/pipeline/restore.py",), last)
        lines.watch()
        homecoming.restore()
        return lines.count

    # The lines in which the marker of the first restore is looked at.
    failures = [homecoming.failure_of(partial(act, last)) for last in range(20, 60)]
    assert [] == list(filter(None, failures))


@pytest.mark.nightly
def test_a_restore_may_die_between_all_lines(homecoming: Homecoming) -> None:
    assert [] == restores_to_die(homecoming, 100_000)[0]


def test_forgetting_may_die_at_every_storage_operation(changed: Scene, tmp_path: Path) -> None:
    stage = Stage(changed, tmp_path / "stage")
    first, second = changed.seen[0][0], changed.back_up(Kind.INCREMENTAL).snapshot

    def forget(backend: Backend) -> None:
        desk = replace(changed.new_desk(), backend=backend, folder=stage.folder / "keeper")
        if first in desk.snapshots():
            desk.forget([first])

    stage.begin()
    with stage.place() as backend:
        moments = [death for death in deaths(forget, backend) if death.moment != HALF]
    for death in moments:
        stage.begin()
        with stage.place() as backend:
            with suppress(KilledError):
                in_child(partial(forget, death.on(backend)))
            forget(backend)
            assert [second] == stage.desk(backend).snapshots(), death
            assert 1 == len(list(backend.list("log/"))), death
            assert () == stage.desk(backend).check().damages, death
    assert len(moments) > MANY
