"""A second copy of a vault: what is copied, in which order, and what is not trusted."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.damage import flip, names_of, put_instead, truncate
from tests.support.s3 import bucket_of
from tests.support.seaweed import Seaweed
from tests.support.vaults import Desk, Scene, Unsynced
from vaultd.backends.base import Backend
from vaultd.backends.local import LocalBackend
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.faults import Fault, FaultKind, Step
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.clock import SystemClock
from vaultd.core.errors import ConfigError, NoSpaceError, StorageError
from vaultd.core.events import Event, PhaseStarted, ignore
from vaultd.core.snapshot import Kind
from vaultd.maintenance.replicate import (
    ReplicaContext,
    ReplicaReport,
    execute_replica,
    plan_replica,
)
from vaultd.vault import layout
from vaultd.vault.trust import load_trust


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two snapshots of one chain, one of them forgotten, in many packs."""
    scene = Scene(tmp_path, MemoryBackend())
    filled(scene)
    return scene


def filled(scene: Scene) -> None:
    for number in range(4):
        scene.write(f"{number}/large", random.Random(number).randbytes(400_000))
    scene.back_up(Kind.FULL)
    scene.write("more", os.urandom(2000))
    scene.back_up(Kind.INCREMENTAL)
    scene.write("more", os.urandom(2000))
    doomed = scene.back_up(Kind.INCREMENTAL).snapshot
    scene.new_desk().forget([doomed])
    scene.seen.pop()


def context_of(
    source: Backend, replica: Backend, events: list[Event] | None = None
) -> ReplicaContext:
    return ReplicaContext(
        source=source,
        replica=replica,
        name="offsite",
        trust=load_trust(source, pin=None),
        clock=SystemClock(),
        observer=ignore if events is None else events.append,
    )


def replicate(source: Backend, replica: Backend, *, prove: bool = False) -> ReplicaReport:
    context = context_of(source, replica)
    with plan_replica(context, begin=True) as plan:
        return execute_replica(context, plan, prove=prove)


def same(source: Backend, replica: Backend) -> bool:
    names = names_of(source)
    return names == names_of(replica) and all(source.get(one) == replica.get(one) for one in names)


def test_a_replica_is_the_vault_once_more_and_restores_by_itself(
    scene: Scene, tmp_path: Path
) -> None:
    replica = LocalBackend(tmp_path / "replica", create=True, system=Unsynced())
    events: list[Event] = []
    context = context_of(scene.backend, replica, events)

    with plan_replica(context, begin=True) as plan:
        assert [] == names_of(replica)
        report = execute_replica(context, plan)

    sizes = [info.size for info in scene.backend.list("")]
    assert (len(sizes), sum(sizes)) == (report.copied, report.data) == (plan.objects, plan.data)
    assert ((), (), 0, 0) == (report.wrong, report.gone, report.there, report.only_there)
    assert same(scene.backend, replica)
    assert ["compare", "replicate"] == [e.name for e in events if isinstance(e, PhaseStarted)]
    scene.backend = replica
    scene.expect_whole()
    scene.expect_restorable()


def test_a_second_run_copies_what_is_new_and_nothing_else(scene: Scene) -> None:
    replica = MemoryBackend()
    first = replicate(scene.backend, replica)
    scene.write("later", b"later")
    before = set(names_of(scene.backend))
    scene.back_up(Kind.INCREMENTAL)

    report = replicate(scene.backend, replica)

    assert len(set(names_of(scene.backend)) - before) == report.copied
    assert first.copied == report.there
    assert same(scene.backend, replica)


def test_a_bucket_is_copied_to_another_prefix_of_it(seaweed: Seaweed, tmp_path: Path) -> None:
    with bucket_of(seaweed) as source, bucket_of(seaweed) as replica:
        scene = Scene(tmp_path, source)
        filled(scene)
        report = replicate(source, replica)
        assert () == report.wrong
        assert same(source, replica)
        scene.backend = replica
        scene.expect_whole()


class InterruptedRunError(Exception):
    """The run ends here, whatever it was doing."""


def dying(replica: Backend, after: int) -> Faulty:
    """Return a replica at which the run dies after so many puts."""
    puts = iter(range(after))

    def die(step: Step, moment: str) -> None:
        if (step.operation, moment) == ("put", "before") and next(puts, None) is None:
            raise InterruptedRunError

    return Faulty(replica, hook=die)


def test_whenever_a_run_is_killed_the_replica_shows_whole_snapshots_only_and_the_next_goes_on(
    scene: Scene,
) -> None:
    total = len(names_of(scene.backend))
    for after in range(1, total, 3):
        replica = MemoryBackend()
        with pytest.raises(InterruptedRunError):
            replicate(scene.backend, dying(replica, after))

        shown = names_of(replica, layout.OUTCOMES)
        if layout.VAULT in names_of(replica):
            desk = Desk(vault=scene.vault, backend=replica, folder=scene.folder / f"desk-{after}")
            assert () == desk.check().damages, f"after {after} of {total} objects"
            assert len(shown) >= len(desk.snapshots())
        report = replicate(scene.backend, replica)
        assert total - len(shown) >= report.copied
        assert same(scene.backend, replica)


def test_what_is_committed_while_it_runs_is_copied_whole_or_not_at_all(scene: Scene) -> None:
    replica = MemoryBackend()
    listed: list[str] = []

    def commit(step: Step, moment: str) -> None:
        if (step.operation, step.name, moment) == ("list", layout.PACKS, "before") and not listed:
            listed.append(step.name)
            scene.write("meanwhile", os.urandom(200_000))
            scene.back_up(Kind.INCREMENTAL)

    replicate(Faulty(scene.backend, hook=commit), replica)

    assert [layout.PACKS] == listed
    desk = Desk(vault=scene.vault, backend=replica, folder=scene.folder / "desk-replica")
    assert () == desk.check().damages
    assert len(desk.snapshots()) == len(scene.new_desk().snapshots()) - 1
    replicate(scene.backend, replica)
    assert same(scene.backend, replica)


def test_damaged_objects_are_named_and_not_copied_and_the_rest_goes_on(scene: Scene) -> None:
    replica = MemoryBackend()
    packs = names_of(scene.backend, layout.PACKS)
    bundle = layout.bundle("web1", 1)
    flip(scene.backend, packs[0])
    truncate(scene.backend, packs[1])
    flip(scene.backend, bundle)

    report = replicate(scene.backend, replica)

    assert [bundle, *packs[:2]] == [one.name for one in report.wrong]
    assert not any(one.at_replica for one in report.wrong)
    assert set(names_of(scene.backend)) - set(names_of(replica)) == {bundle, *packs[:2]}


def test_a_log_entry_that_is_damaged_ends_the_log_of_the_replica_without_a_gap(
    scene: Scene,
) -> None:
    replica = MemoryBackend()
    scene.write("more", b"1")
    scene.new_desk().forget([scene.back_up(Kind.INCREMENTAL).snapshot])
    flip(scene.backend, layout.log_entry(1))

    report = replicate(scene.backend, replica)

    assert [layout.log_entry(1)] == [one.name for one in report.wrong]
    assert [] == names_of(replica, layout.LOG)


def test_wrong_bytes_on_the_replica_are_reported_and_not_trusted_and_not_replaced(
    scene: Scene,
) -> None:
    replica = MemoryBackend()
    replicate(scene.backend, replica)
    first, second = names_of(replica, layout.PACKS)[:2]
    truncate(replica, first)
    flip(replica, second)
    rubbish = replica.get(first)

    by_size = replicate(scene.backend, replica)
    proven = replicate(scene.backend, replica, prove=True)

    assert [(first, True)] == [(one.name, one.at_replica) for one in by_size.wrong]
    assert [first, second] == [one.name for one in proven.wrong]
    assert all(one.at_replica for one in proven.wrong)
    assert rubbish == replica.get(first)
    assert proven.there - 1 == proven.proven


def test_where_sizes_differ_because_the_vault_is_damaged_the_vault_is_blamed(scene: Scene) -> None:
    replica = MemoryBackend()
    replicate(scene.backend, replica)
    name = names_of(replica, layout.PACKS)[0]
    truncate(scene.backend, name)

    report = replicate(scene.backend, replica)

    assert [(name, False)] == [(one.name, one.at_replica) for one in report.wrong]


def test_a_name_that_is_taken_meanwhile_by_other_bytes_is_reported(scene: Scene) -> None:
    replica = MemoryBackend()
    name = names_of(scene.backend, layout.PACKS)[0]

    def come_first(step: Step, moment: str) -> None:
        if (step.operation, step.name, moment) == ("put", name, "before"):
            replica.put(name, b"rubbish")

    report = replicate(scene.backend, Faulty(replica, hook=come_first))

    assert [(name, True)] == [(one.name, one.at_replica) for one in report.wrong]


def test_a_replica_of_another_vault_is_refused(scene: Scene, tmp_path: Path) -> None:
    other = MemoryBackend()
    replicate(scene.backend, other)
    context = context_of(scene.backend, other)
    stranger = load_trust(scene.backend, pin=None)
    context = replace(
        context, trust=replace(stranger, vault=replace(stranger.vault, vault_id=bytes(16)))
    )
    with pytest.raises(ConfigError, match="holds vault"):
        plan_replica(context)


def test_an_empty_place_is_taken_for_a_replica_only_when_it_shall_begin(scene: Scene) -> None:
    with pytest.raises(ConfigError, match="holds no vault") as caught:
        plan_replica(context_of(scene.backend, MemoryBackend()))
    assert "--init" in (caught.value.hint or "")


def test_what_the_vault_no_longer_has_stays_on_the_replica(scene: Scene) -> None:
    replica = MemoryBackend()
    replicate(scene.backend, replica)
    name = names_of(scene.backend, layout.PACKS)[0]
    scene.backend.delete(name)

    report = replicate(scene.backend, replica)

    assert (1, ()) == (report.only_there, report.wrong)
    assert name in names_of(replica)


def test_what_vanishes_between_listing_and_copying_is_no_damage(scene: Scene) -> None:
    replica = MemoryBackend()
    context = context_of(scene.backend, replica)
    name = names_of(scene.backend, layout.PACKS)[0]
    with plan_replica(context, begin=True) as plan:
        scene.backend.delete(name)
        report = execute_replica(context, plan)
    assert ((name,), ()) == (report.gone, report.wrong)


def test_what_is_no_object_of_a_vault_is_left_alone_and_what_is_too_big_is_not_read(
    scene: Scene,
) -> None:
    replica = MemoryBackend()
    scene.backend.put("packs/notes.txt", b"not ours")
    scene.backend.put("elsewhere", b"not ours")

    replicate(scene.backend, replica)

    assert {"packs/notes.txt", "elsewhere"} == set(names_of(scene.backend)) - set(names_of(replica))


@pytest.mark.parametrize("error", [NoSpaceError, StorageError])
def test_a_full_replica_ends_the_run_and_a_bad_sector_does_not(
    scene: Scene, error: type[StorageError]
) -> None:
    replica = MemoryBackend()
    name = names_of(scene.backend, layout.PACKS)[0]

    def plan(step: Step) -> Fault | None:
        operation = "put" if error is NoSpaceError else "get"
        if (step.operation, step.name) == (operation, name):
            return Fault(kind=FaultKind.FAIL, error=lambda _: error("it happens"))
        return None

    if error is NoSpaceError:
        with pytest.raises(NoSpaceError):
            replicate(scene.backend, Faulty(replica, plan=plan))
        assert [] == names_of(replica, layout.OUTCOMES)
    else:
        report = replicate(Faulty(scene.backend, plan=plan), replica)
        assert [(name, False)] == [(one.name, one.at_replica) for one in report.wrong]


def test_a_server_that_lists_objects_twice_is_put_up_with(scene: Scene) -> None:
    replica = MemoryBackend()

    def twice(step: Step) -> Fault | None:
        is_listed = (step.operation, step.name) == ("list", layout.PACKS)
        return Fault(kind=FaultKind.DOUBLE_LIST) if is_listed else None

    replicate(Faulty(scene.backend, plan=twice), Faulty(replica, plan=twice))

    report = replicate(Faulty(scene.backend, plan=twice), Faulty(replica, plan=twice))
    assert (0, ()) == (report.copied, report.wrong)
    assert same(scene.backend, replica)


def test_a_replica_that_lies_about_what_it_took_is_found_out(scene: Scene) -> None:
    replica = MemoryBackend()
    replicate(scene.backend, replica)
    for name in names_of(replica, layout.OUTCOMES):
        put_instead(replica, name, bytes(len(replica.get(name))))

    report = replicate(scene.backend, replica, prove=True)

    assert names_of(replica, layout.OUTCOMES) == [one.name for one in report.wrong]
