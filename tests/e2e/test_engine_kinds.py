"""What a full, a differential and an incremental snapshot depend on, shown by taking it away."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.vaults import Scene
from vaultd.backends.base import ObjectInfo
from vaultd.core.events import ProblemKind
from vaultd.core.snapshot import Kind, Snapshot
from vaultd.vault import layout

SOURCE = random.Random(1)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.write("large", SOURCE.randbytes(530_000))
    for number in range(6):
        scene.write(f"small/{number % 2}/{number}", SOURCE.randbytes(5000))
    return scene


def touch(scene: Scene) -> None:
    """Change the folder: one large file more, one small one other."""
    scene.write(f"large-{len(scene.seen)}", SOURCE.randbytes(530_000))
    scene.write("small/1/1", SOURCE.randbytes(6000))


def packs_of(scene: Scene, snapshot: Snapshot) -> list[ObjectInfo]:
    """Return the packs that the session of a snapshot put."""
    return list(scene.backend.list(f"{layout.PACKS}{snapshot.session}/"))


def delete(scene: Scene, infos: Iterable[ObjectInfo]) -> None:
    for info in infos:
        scene.backend.delete(info.name)


def needed_sessions(scene: Scene, snapshot: Snapshot) -> set[int]:
    """Return the sessions in whose packs a snapshot lies."""
    with scene.new_desk().reader(snapshot) as reader:
        return {ref.seq for ref in reader.packs()}


def test_each_kind_lies_in_the_packs_it_may_lie_in(scene: Scene) -> None:
    for kind in (Kind.FULL, Kind.INCREMENTAL, Kind.INCREMENTAL, Kind.DIFFERENTIAL):
        scene.back_up(kind)
        touch(scene)
    scene.back_up(Kind.INCREMENTAL)
    touch(scene)
    scene.back_up(Kind.FULL)

    needed = [needed_sessions(scene, snapshot) for snapshot, _ in scene.seen]
    assert [{1}, {1, 2}, {1, 2, 3}, {1, 4}, {1, 4, 5}, {6}] == needed
    assert [0, 1, 2, 1, 4, 0] == [snapshot.base for snapshot, _ in scene.seen]
    assert [1, 1, 1, 1, 1, 6] == [snapshot.chain for snapshot, _ in scene.seen]


def test_a_differential_outlives_every_incremental(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    touch(scene)
    scene.back_up(Kind.INCREMENTAL)
    touch(scene)
    scene.back_up(Kind.INCREMENTAL)
    scene.back_up(Kind.DIFFERENTIAL)
    full, *incrementals, differential = (snapshot for snapshot, _ in scene.seen)

    for snapshot in incrementals:
        delete(scene, packs_of(scene, snapshot))

    scene.expect_restorable(full, differential)


def test_a_lost_chain_harms_no_other_chain(scene: Scene) -> None:
    for _ in range(3):
        scene.back_up(Kind.FULL)
        touch(scene)
        scene.back_up(Kind.INCREMENTAL)
        touch(scene)
    snapshots = [snapshot for snapshot, _ in scene.seen]

    for snapshot in snapshots[2:4]:
        delete(scene, packs_of(scene, snapshot))

    scene.expect_restorable(*snapshots[:2], *snapshots[4:])
    damages = scene.new_desk().check().damages
    harmed = {name for damage in damages for name in damage.snapshots}
    assert harmed == {snapshot.short_id for snapshot in snapshots[2:4]}


@pytest.mark.parametrize("kind", [None, Kind.INCREMENTAL, Kind.DIFFERENTIAL, Kind.FULL])
def test_lost_packs_are_noticed_and_stored_anew(scene: Scene, kind: Kind | None) -> None:
    scene.back_up(Kind.FULL)
    touch(scene)
    scene.back_up(Kind.INCREMENTAL)
    delete(scene, packs_of(scene, scene.seen[0][0]))

    report = scene.back_up(kind)

    scene.expect_restorable(report.snapshot)
    if kind is not Kind.FULL:
        assert any("gone or damaged" in note for note in scene.machine.notes)


def test_a_differential_is_whole_after_an_incremental_that_replaced_lost_packs(
    scene: Scene,
) -> None:
    scene.back_up(Kind.FULL)
    delete(scene, packs_of(scene, scene.seen[0][0]))
    scene.back_up(Kind.INCREMENTAL)

    for kind in (Kind.DIFFERENTIAL, Kind.INCREMENTAL, Kind.DIFFERENTIAL):
        touch(scene)
        report = scene.back_up(kind)
        scene.expect_restorable(report.snapshot)


def test_a_damaged_pack_of_another_size_is_stored_anew(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    for info in packs_of(scene, scene.seen[0][0]):
        half = scene.backend.get(info.name)[: info.size // 2]
        scene.backend.delete(info.name)
        scene.backend.put(info.name, half)

    report = scene.back_up(Kind.INCREMENTAL)

    scene.expect_restorable(report.snapshot)


def test_an_independent_full_relies_on_nothing_older(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    before = sum(info.size for info in packs_of(scene, scene.seen[0][0]))
    scene.back_up(Kind.FULL)

    assert before == pytest.approx(
        sum(info.size for info in packs_of(scene, scene.seen[1][0])), rel=0.2
    )
    delete(scene, packs_of(scene, scene.seen[0][0]))
    scene.expect_restorable(scene.seen[1][0])


def test_a_verified_full_reads_everything_and_stores_what_is_new(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    touch(scene)
    scene.back_up(Kind.INCREMENTAL)
    report = scene.back_up(Kind.FULL, verified=True)

    counts = report.snapshot.counts
    assert counts.files == counts.files_read
    assert counts.data_added < 10_000  # the tree, which is read too soon after the changes
    assert report.snapshot.chain == report.snapshot.session.seq
    assert {1, 2} <= needed_sessions(scene, report.snapshot)
    scene.expect_whole()
    scene.expect_restorable()


def test_a_verified_full_stores_lost_packs_anew(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    delete(scene, packs_of(scene, scene.seen[0][0]))

    report = scene.back_up(Kind.FULL, verified=True)

    scene.expect_restorable(report.snapshot)


def test_forgotten_snapshots_are_no_base(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    touch(scene)
    scene.back_up(Kind.INCREMENTAL)
    touch(scene)
    scene.back_up(Kind.FULL)
    scene.new_desk().forget([scene.seen[2][0]])

    report = scene.back_up()

    assert (Kind.INCREMENTAL, 2) == (report.snapshot.kind, report.snapshot.base)
    del scene.seen[2]
    scene.expect_whole()
    scene.expect_restorable()


def test_a_chain_whose_full_is_forgotten_ends(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    touch(scene)
    scene.back_up(Kind.INCREMENTAL)
    scene.new_desk().forget([scene.seen[0][0]])

    report = scene.back_up()

    assert Kind.FULL == report.snapshot.kind
    scene.expect_restorable(scene.seen[1][0], report.snapshot)


def test_a_damaged_file_is_named_and_the_others_come_back(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    scene.write("large-2", SOURCE.randbytes(530_000))
    scene.back_up(Kind.INCREMENTAL)
    largest = max(packs_of(scene, scene.seen[1][0]), key=lambda info: info.size)
    delete(scene, [largest])

    report, found = scene.restore(scene.seen[1][0])

    problem = report.problems[0]
    assert (1, ProblemKind.DAMAGED) == (len(report.problems), problem.kind)
    assert problem.path.endswith(b"/tree/large-2")
    assert scene.seen[1][1].keys() - found.keys() == {b"tree/large-2"}
