"""What leaves a replica: only what the log says is deleted, and only long after."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.damage import names_of
from tests.support.keeping import keeper_of
from tests.support.vaults import Desk, Scene
from tests.unit.maintenance.test_replicate import context_of, filled, replicate
from tests.unit.vault.making import ToldClock
from vaultd.backends.memory import MemoryBackend
from vaultd.core.snapshot import Kind
from vaultd.maintenance.replica_expiry import execute_expiry, plan_expiry, swept
from vaultd.vault import layout

DAY_S = 86_400


@pytest.fixture
def clock() -> ToldClock:
    return ToldClock()


@pytest.fixture
def replica(clock: ToldClock) -> MemoryBackend:
    return MemoryBackend(clock=clock)


@pytest.fixture
def scene(tmp_path: Path, replica: MemoryBackend) -> Scene:
    """A vault that was replicated, and then lost a pack, an index part and an outcome."""
    scene = Scene(tmp_path, MemoryBackend())
    filled(scene)
    replicate(scene.backend, replica)
    return scene


def doomed(scene: Scene) -> list[str]:
    prefixes = (layout.OUTCOMES, layout.PARTS, layout.PACKS)
    return [names_of(scene.backend, prefix)[0] for prefix in prefixes]


def later_entry(scene: Scene, replica: MemoryBackend) -> None:
    scene.write("more", b"x")
    scene.new_desk().forget([scene.back_up(Kind.INCREMENTAL).snapshot])
    replicate(scene.backend, replica)


@pytest.mark.parametrize(("days", "expected"), [(29, 0), (30, 3), (300, 3)])
def test_deleted_objects_leave_when_their_entry_has_been_there_for_long(
    scene: Scene, replica: MemoryBackend, clock: ToldClock, days: int, expected: int
) -> None:
    names = doomed(scene)
    for name in names:
        scene.backend.delete(name)
    clock.sleep(days * DAY_S)
    later_entry(scene, replica)
    context = context_of(scene.backend, replica)

    planned = list(plan_expiry(context, lambda _: 1, keep_deleted_s=30 * DAY_S))

    assert names[:expected] == planned
    assert expected == execute_expiry(context, iter(planned))
    assert not set(planned) & set(names_of(replica))


def test_what_the_vault_still_has_and_what_no_entry_deletes_stays(
    scene: Scene, replica: MemoryBackend, clock: ToldClock
) -> None:
    names = doomed(scene)
    scene.backend.delete(names[0])
    clock.sleep(300 * DAY_S)
    later_entry(scene, replica)
    context = context_of(scene.backend, replica)

    assert [] == list(plan_expiry(context, lambda _: None, keep_deleted_s=0))
    assert [] == list(plan_expiry(context, lambda _: 99, keep_deleted_s=0))
    assert names[:1] == list(plan_expiry(context, lambda _: 1, keep_deleted_s=0))


def test_no_time_passes_on_a_replica_to_which_nothing_comes(
    scene: Scene, replica: MemoryBackend, clock: ToldClock
) -> None:
    for name in doomed(scene):
        scene.backend.delete(name)
    clock.sleep(300 * DAY_S)

    planned = plan_expiry(context_of(scene.backend, replica), lambda _: 1, keep_deleted_s=DAY_S)

    assert [] == list(planned)


def test_what_a_prune_deleted_leaves_the_replica_by_what_the_log_says(
    scene: Scene, replica: MemoryBackend, clock: ToldClock
) -> None:
    for number in range(2):
        scene.write("large", number.to_bytes(1, "big") * 300_000)
        scene.back_up(Kind.FULL)
    replicate(scene.backend, replica)
    before = set(names_of(replica))
    keeper = keeper_of(scene)
    keeper.forget(*(snapshot for snapshot, _ in scene.seen[:2]))
    keeper.prune()
    gone = before - set(names_of(scene.backend))
    replicate(scene.backend, replica)
    context = context_of(scene.backend, replica)
    deleted = swept(scene.backend, context.trust)
    assert {name for name in gone if not name.startswith(layout.SESSIONS)} == deleted.keys() & gone

    early = list(plan_expiry(context, deleted.get, keep_deleted_s=DAY_S))
    clock.sleep(2 * DAY_S)
    later_entry(scene, replica)
    late = list(plan_expiry(context, deleted.get, keep_deleted_s=DAY_S))

    assert [] == early
    assert gone & deleted.keys() == set(late)
    assert len(late) == execute_expiry(context, late) > 0
    assert set(names_of(scene.backend)) == set(names_of(replica))
    desk = Desk(vault=scene.vault, backend=replica, folder=scene.folder / "desk-replica")
    assert () == desk.check().damages
