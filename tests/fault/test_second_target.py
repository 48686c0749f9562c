"""Restores from two targets, one of them harmed: byte by byte as it was; and healing the harm."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.damage import flip, harm_some, lose, names_of, put_instead, truncate
from tests.support.s3 import bucket_of
from tests.support.seaweed import Seaweed
from tests.support.trees import differences, snapshot_of
from tests.support.vaults import Desk, Scene, Unsynced
from tests.unit.maintenance.test_replicate import replicate
from vaultd.backends.base import Backend
from vaultd.backends.local import LocalBackend
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.fallback import Second
from vaultd.backends.wrappers.faults import Fault, FaultKind, Step
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.clock import SystemClock
from vaultd.core.errors import AccessDeniedError, StorageUnavailableError
from vaultd.core.events import Note, ProblemKind, ignore
from vaultd.core.snapshot import Kind
from vaultd.maintenance.heal import Copy, HealContext, Healed, Outcome, heal, survey
from vaultd.settings.file import ReplicaTable
from vaultd.vault import layout
from vaultd.vault.trust import load_trust
from vaultd.wiring.replicas import Replica, Targets

Make = Callable[[str], Backend]


@pytest.fixture(params=["folders", "buckets"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Make targets: folders of this machine, or prefixes of a bucket."""
    if request.param == "folders":
        yield lambda name: LocalBackend(tmp_path / name, create=True, system=Unsynced())
        return
    seaweed: Seaweed = request.getfixturevalue("seaweed")
    with contextmanager(buckets)(seaweed) as made:
        yield made


def buckets(seaweed: Seaweed) -> Iterator[Make]:
    with ExitStack() as stack:
        yield lambda _: stack.enter_context(bucket_of(seaweed))


def fill(scene: Scene, files: int = 12) -> None:
    """Make a chain of three snapshots in many packs."""
    for number in range(files):
        scene.write(f"{number}/large", random.Random(number).randbytes(300_000))
        scene.write(f"{number}/small", random.Random(-number).randbytes(300))
    scene.back_up(Kind.FULL)
    scene.write("1/large", random.Random(-1).randbytes(300_000))
    scene.back_up(Kind.INCREMENTAL)
    scene.write("more", b"more")
    scene.back_up(Kind.DIFFERENTIAL)


def joined(first: Backend, *others: Backend, scene: Scene, notes: list[str] | None = None) -> Desk:
    """Return a desk that reads from several targets."""

    def observe(event: object) -> None:
        if isinstance(event, Note) and notes is not None:
            notes.append(event.text)

    replicas = tuple(
        Replica(
            table=ReplicaTable(name=f"copy-{number}", location="elsewhere"),
            backend=Second(other, f"copy-{number}", observe),
        )
        for number, other in enumerate(others, 1)
    )
    targets = Targets(first=first, replicas=replicas, observer=observe)
    trust = next(
        load_trust(candidate, pin=None)
        for candidate in targets.candidates()
        if layout.VAULT in names_of(candidate, layout.VAULT)
    )
    together = targets.of_vault(trust).together(trust)
    desk = scene.new_desk()
    desk.backend, desk.others = together.backend, together.others
    return desk


def expect_restorable(scene: Scene, desk: Desk) -> None:
    """Restore every snapshot and compare it with what was seen."""
    known = {snapshot.id: snapshot for snapshot in desk.snapshots()}
    for number, (snapshot, expected) in enumerate(scene.seen):
        target = desk.folder / f"restored-{number}"
        report = desk.restore(known[snapshot.id], target, verify=True)
        assert () == report.problems
        assert [] == differences(expected, snapshot_of(Path(f"{target}{scene.box}")))


def healing(target: Backend, *copies: Backend) -> HealContext:
    named = tuple(Copy(name=f"copy-{at}", backend=one) for at, one in enumerate(copies, 1))
    trust = load_trust(copies[0] if copies else target, pin=None)
    return HealContext(
        target=target, copies=named, trust=trust, clock=SystemClock(), observer=ignore
    )


def outcomes(found: tuple[Healed, ...]) -> dict[str, Outcome]:
    return {one.name: one.outcome for one in found}


def test_a_restore_is_right_with_five_percent_of_the_packs_harmed_and_all_of_them_are_healed(
    make: Make, tmp_path: Path
) -> None:
    first, replica = make("first"), make("replica")
    scene = Scene(tmp_path, first)
    fill(scene)
    replicate(first, replica)
    harmed = harm_some(first, 0.05, seed=1)
    notes: list[str] = []

    expect_restorable(scene, joined(first, replica, scene=scene, notes=notes))
    assert 1 == sum("read from replica copy-1" in note for note in notes)

    found = heal(healing(first, replica), names_of(replica, layout.PACKS))
    assert harmed == [one.name for one in found if one.outcome is Outcome.HEALED]
    assert {Outcome.GOOD, Outcome.HEALED} == set(outcomes(found).values())
    scene.expect_whole()
    scene.expect_restorable()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A vault in memory with three snapshots."""
    scene = Scene(tmp_path, MemoryBackend())
    fill(scene, 4)
    return scene


@pytest.fixture
def replica(scene: Scene) -> Backend:
    """A copy of it."""
    made = MemoryBackend()
    replicate(scene.backend, made)
    return made


@pytest.mark.parametrize("harm", [flip, truncate, lose])
@pytest.mark.parametrize(
    "prefix",
    [layout.POLICIES, layout.BUNDLES, layout.LOG, layout.OUTCOMES, layout.PARTS, layout.VAULT],
)
def test_any_kind_of_object_comes_from_the_second_target(
    scene: Scene, harm: Callable[[Backend, str], None], prefix: str
) -> None:
    replica = MemoryBackend()
    scene.new_desk().forget([scene.seen.pop()[0]])
    replicate(scene.backend, replica)
    harmed = names_of(scene.backend, prefix)
    trust = load_trust(replica, pin=None)
    for name in harmed:
        harm(scene.backend, name)
    table = ReplicaTable(name="copy", location="elsewhere")
    second = Second(replica, "copy", ignore)
    targets = Targets(
        first=scene.backend, replicas=(Replica(table=table, backend=second),), observer=ignore
    )
    together = targets.together(trust)
    desk = scene.new_desk()
    desk.backend, desk.others = together.backend, together.others

    expect_restorable(scene, desk)

    context = healing(scene.backend, replica)
    found = heal(context, survey(context, lambda _: False))
    expected = [] if prefix == layout.PARTS else harmed
    assert dict.fromkeys(expected, Outcome.HEALED) == outcomes(found)
    if prefix == layout.PARTS:
        heal(context, harmed)
    scene.expect_whole()


def test_a_first_target_that_is_empty_or_gone_is_made_up_for(
    scene: Scene, replica: Backend
) -> None:
    empty = MemoryBackend()
    expect_restorable(scene, joined(empty, replica, scene=scene))

    context = healing(empty, replica)
    heal(context, survey(context, lambda _: False))
    heal(context, names_of(replica))
    scene.backend = empty
    scene.expect_whole()


def test_a_server_that_does_not_answer_is_asked_once_and_then_last(
    scene: Scene, replica: Backend
) -> None:
    asked: list[str] = []

    def down(step: Step) -> Fault:
        asked.append(step.operation)
        return Fault(kind=FaultKind.FAIL)

    notes: list[str] = []
    expect_restorable(
        scene, joined(Faulty(scene.backend, plan=down), replica, scene=scene, notes=notes)
    )
    assert 1 == sum("no answer" in note for note in notes)
    assert asked.count("get") < 20


def test_packs_that_the_credentials_may_not_read_come_from_the_second_target(
    scene: Scene, replica: Backend
) -> None:
    def denied(step: Step) -> Fault | None:
        if step.operation == "get" and step.name.startswith(layout.PACKS):
            return Fault(kind=FaultKind.FAIL, error=lambda _: AccessDeniedError("403"))
        return None

    expect_restorable(scene, joined(Faulty(scene.backend, plan=denied), replica, scene=scene))


def test_when_both_targets_have_lost_something_each_makes_up_for_the_other(
    scene: Scene, replica: Backend
) -> None:
    harmed = harm_some(scene.backend, 0.3, seed=2)
    for name in set(names_of(replica, layout.PACKS)) - set(harmed):
        replica.delete(name)

    expect_restorable(scene, joined(scene.backend, replica, scene=scene))


def test_when_the_replica_lies_too_the_damage_is_named_and_the_rest_comes_back(
    scene: Scene, replica: Backend
) -> None:
    name = max(scene.backend.list(layout.PACKS), key=lambda info: info.size).name
    flip(scene.backend, name)
    put_instead(replica, name, bytes(len(replica.get(name))))
    before = scene.backend.get(name)

    desk = joined(scene.backend, replica, scene=scene)
    snapshot = desk.snapshots()[0]
    report = desk.restore(snapshot, scene.folder / "restored")

    assert {ProblemKind.DAMAGED} == {one.kind for one in report.problems}
    assert 8 > len(report.problems) > 0
    (found,) = heal(healing(scene.backend, replica), [name])
    assert Outcome.NO_COPY == found.outcome
    assert "copy-1: its bytes have hash" in found.reason
    assert before == scene.backend.get(name)


def test_a_replica_that_invents_objects_is_not_believed(scene: Scene, replica: Backend) -> None:
    replica.put("snap/web1/0000000099", b"invented")
    replica.put("snap/evil/0000000001", replica.get(names_of(replica, layout.OUTCOMES)[0]))
    replica.put("log/0000000001", b"invented")

    desk = joined(scene.backend, replica, scene=scene)
    with desk.catalog() as catalog:
        findings = catalog.refresh(desk.backend, desk.trust, desk.keys.domain)
    context = healing(scene.backend, replica)

    assert 3 >= len(findings) > 0
    assert [] == list(survey(context, lambda _: False))


def test_a_log_that_the_first_target_has_cut_short_is_read_on_at_the_second(
    scene: Scene,
) -> None:
    replica = MemoryBackend()
    forgotten = scene.seen.pop()[0]
    scene.new_desk().forget([forgotten])
    replicate(scene.backend, replica)
    lose(scene.backend, layout.log_entry(1))

    desk = joined(scene.backend, replica, scene=scene)

    assert forgotten.id not in {one.id for one in desk.snapshots()}
    assert [layout.log_entry(1)] == list(survey(healing(scene.backend, replica), lambda _: False))


def test_snapshots_that_were_forgotten_and_old_copies_of_bundles_are_not_brought_back(
    scene: Scene, replica: Backend
) -> None:
    name = names_of(scene.backend, layout.OUTCOMES)[-1]
    lose(scene.backend, name)
    copied = replica.get(layout.bundle("web1", 1))
    replica.put(layout.bundle("web1", 1, 1), copied)
    context = healing(scene.backend, replica)

    assert [name] == list(survey(context, lambda _: False))
    assert [] == list(survey(context, lambda session: layout.outcome(session) == name))


def test_a_heal_that_dies_between_deleting_and_putting_is_done_by_the_next_one(
    scene: Scene, replica: Backend
) -> None:
    name = names_of(scene.backend, layout.PACKS)[0]
    flip(scene.backend, name)

    def die(step: Step) -> Fault | None:
        return Fault(kind=FaultKind.FAIL) if step.operation == "put" else None

    with pytest.raises(StorageUnavailableError):
        heal(healing(Faulty(scene.backend, plan=die), replica), [name])
    assert name not in names_of(scene.backend)

    (found,) = heal(healing(scene.backend, replica), [name])

    assert (Outcome.HEALED, "is missing", "copy-1") == (found.outcome, found.was, found.source)
    assert replica.get(name) == scene.backend.get(name)


def test_a_dry_run_says_what_would_be_healed_and_changes_nothing(
    scene: Scene, replica: Backend
) -> None:
    harmed = harm_some(scene.backend, 0.1, seed=3)
    before = {name: scene.backend.get(name) for name in names_of(scene.backend)}

    found = heal(healing(scene.backend, replica), harmed, dry_run=True)

    assert dict.fromkeys(harmed, Outcome.HEALED) == outcomes(found)
    assert before == {name: scene.backend.get(name) for name in names_of(scene.backend)}


def test_an_object_that_may_not_be_deleted_is_named_and_the_others_are_healed(
    scene: Scene, replica: Backend
) -> None:
    locked, lost = names_of(scene.backend, layout.PACKS)[:2]
    flip(scene.backend, locked)
    lose(scene.backend, lost)

    def refuse(step: Step) -> Fault | None:
        if step.operation == "delete":
            return Fault(kind=FaultKind.FAIL, error=lambda _: AccessDeniedError("it is locked"))
        return None

    found = heal(healing(Faulty(scene.backend, plan=refuse), replica), [locked, lost])

    assert {locked: Outcome.REFUSED, lost: Outcome.HEALED} == outcomes(found)
    assert "it is locked" == found[0].reason if found[0].name == locked else found[1].reason


def test_a_target_that_spoils_what_is_put_is_not_called_healed(
    scene: Scene, replica: Backend
) -> None:
    name = names_of(scene.backend, layout.PACKS)[0]
    lose(scene.backend, name)

    def spoil(step: Step) -> Fault | None:
        return Fault(kind=FaultKind.LOSE_WRITE) if step.operation == "put" else None

    (found,) = heal(healing(Faulty(scene.backend, plan=spoil), replica), [name])

    assert (Outcome.REFUSED, "after it was put: is missing") == (found.outcome, found.reason)
