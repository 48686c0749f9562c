"""Bringing back what a thief hid and covered: the right version stays, what lies above it goes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.locks import cover_all, hide_all, revive
from tests.support.vaults import Scene
from tests.support.versioned import MemoryVersions, VersionedMemory
from vaultd.backends.versions import LockMode, LockRule, Version
from vaultd.core.events import ignore
from vaultd.core.snapshot import SessionId
from vaultd.format.log import CondemnBody, SweepBody, name_columns
from vaultd.maintenance.markers import MarkerContext, deleted_names, plan_revival
from vaultd.vault import layout
from vaultd.vault.log_state import LogState, Mark
from vaultd.vault.recall import recalling
from vaultd.vault.trust import load_trust


class Stale(MemoryVersions):
    """Lists what was there some time ago."""

    def __init__(self, memory: VersionedMemory, listed: Sequence[Version]) -> None:
        super().__init__(memory, None)
        self._listed = listed

    def list(self, prefix: str) -> Iterator[Version]:
        return iter(self._listed)


@pytest.fixture
def memory() -> VersionedMemory:
    return VersionedMemory()


@pytest.fixture
def scene(tmp_path: Path, memory: VersionedMemory) -> Scene:
    scene = Scene(tmp_path, memory)
    for number in range(2):
        for name in range(4):
            scene.write(f"{name}", os.urandom(9_000 + number))
        scene.back_up()
    return scene


def context_of(scene: Scene) -> MarkerContext:
    """Return what `vaultctl` would use, with a trust that was read through what the thief did."""
    versions = scene.backend.versions
    assert versions is not None
    trust = load_trust(recalling(scene.backend, ignore), pin=None)
    return MarkerContext(
        versions=versions, trust=trust, is_deleted=lambda _: False, observer=ignore
    )


def test_an_untouched_vault_needs_nothing(scene: Scene) -> None:
    plan, report = revive(scene.desk, scene.backend)
    assert ((), (), 0) == (plan.revivals, plan.lost, plan.deleted)
    assert 0 == report.revived


def test_a_thief_who_deletes_and_overwrites_everything_is_undone(
    scene: Scene, memory: VersionedMemory
) -> None:
    before = {info.name: memory.get(info.name) for info in memory.list("")}
    cover_all(memory)
    hide_all(memory)
    for name in list(memory.kept)[::2]:
        memory.cover(name, b"rubbish")
    desk = scene.new_desk()
    desk.backend = recalling(memory, ignore)

    plan, report = revive(desk, memory)

    assert len(before) == len(plan.revivals) == report.revived
    assert () == report.kept
    assert before == {info.name: memory.get(info.name) for info in memory.list("")}
    assert all(1 == len(versions) for versions in memory.kept.values())
    scene.expect_whole()
    scene.expect_restorable()


def test_a_plan_changes_nothing(scene: Scene, memory: VersionedMemory) -> None:
    hide_all(memory)
    before = {name: list(versions) for name, versions in memory.kept.items()}
    plan = plan_revival(context_of(scene))
    assert {1} == {len(one.above) for one in plan.revivals}
    assert {0} == {one.covers for one in plan.revivals}
    assert before == memory.kept


def test_what_the_log_says_was_deleted_stays_deleted(scene: Scene, memory: VersionedMemory) -> None:
    hide_all(memory)
    context = replace(context_of(scene), is_deleted=lambda name: name.startswith(layout.PACKS))
    plan = plan_revival(context)
    packs = sum(name.startswith(layout.PACKS) for name in memory.kept)
    assert packs == plan.deleted > 0
    assert not any(one.version.name.startswith(layout.PACKS) for one in plan.revivals)


def test_bundles_that_newer_copies_replaced_stay_deleted(
    scene: Scene, memory: VersionedMemory
) -> None:
    old, new = layout.bundle("web1", 1), layout.bundle("web1", 1, 1)
    memory.put(new, memory.get(old))
    memory.delete(old)
    memory.delete(new)
    plan = plan_revival(context_of(scene))
    assert [new] == [one.version.name for one in plan.revivals]
    assert 1 == plan.deleted


def test_scratch_of_others_is_left_alone(scene: Scene, memory: VersionedMemory) -> None:
    memory.put("doctor/x/canary", b"canary")
    memory.delete("doctor/x/canary")
    assert () == plan_revival(context_of(scene)).revivals


def test_rubbish_that_lay_there_first_is_passed_over(scene: Scene, memory: VersionedMemory) -> None:
    name = next(info.name for info in memory.list(layout.PACKS))
    right = memory.get(name)
    memory.kept[name][0].data = b"rubbish"
    memory.cover(name, right)
    assert () == plan_revival(context_of(scene)).revivals
    memory.cover(name, b"more rubbish")
    plan, _ = revive(scene.desk, memory)
    assert [1] == [one.covers for one in plan.revivals]
    assert right == memory.get(name)


def test_objects_without_a_right_version_are_named(scene: Scene, memory: VersionedMemory) -> None:
    name = next(info.name for info in memory.list(layout.PARTS))
    memory.kept[name][0].data = b"rotten"
    memory.cover(name, b"rotten too")
    plan = plan_revival(context_of(scene))
    assert ((), (name,)) == (plan.revivals, plan.lost)


def test_a_cover_that_is_locked_stays_and_is_told(scene: Scene, memory: VersionedMemory) -> None:
    name = next(info.name for info in memory.list(layout.PACKS))
    memory.versions.rule = LockRule(
        mode=LockMode.COMPLIANCE, promise_s=60, generation_s=60, periods=(("", 60.0),)
    )
    memory.cover(name, b"rubbish")
    plan, report = revive(scene.desk, memory)
    assert 1 == len(plan.revivals)
    assert 0 == report.revived
    assert [name] == [one.version.name for one in report.kept]
    assert "retained" in report.kept[0].reason


def test_a_version_that_vanishes_meanwhile_is_passed_over(
    scene: Scene, memory: VersionedMemory
) -> None:
    name = next(info.name for info in memory.list(layout.PACKS))
    right = memory.get(name)
    memory.cover(name, right)
    listed = list(memory.versions.list(name))
    memory.kept[name].pop(0)

    context = replace(context_of(scene), versions=Stale(memory, listed))
    plan = plan_revival(context)
    assert ((), ()) == (plan.revivals, plan.lost)


def test_what_a_prune_swept_is_known_by_name() -> None:
    columns = name_columns([(3, bytes(32))])
    mark = CondemnBody("web1", columns, columns, columns)
    state = LogState()
    state.marks[1] = Mark(number=1, body=mark)
    assert set() == deleted_names(state)
    state.marks[1].sweep = SweepBody(1, columns, columns, columns)
    session = SessionId(host="web1", seq=3)
    assert {
        layout.pack(session, bytes(32)),
        layout.part(session, bytes(32)),
        layout.outcome(session),
    } == deleted_names(state)
