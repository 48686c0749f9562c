"""Index parts that are lost: found, written anew, read, kept and given up again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.keeping import Keeper, keeper_of
from tests.support.vaults import Machine, Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.snapshot import Kind, Snapshot
from vaultd.maintenance.checkpoint import write_checkpoint
from vaultd.maintenance.reindex import LostPart, ReindexContext, Reindexed, find_lost, reindex
from vaultd.vault import layout

TABLES = "reading the tables of its packs instead"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A chain of a full, of several packs, and an incremental; and another full."""
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("large", os.urandom(400_000))
    scene.back_up(Kind.FULL)
    scene.write("more", os.urandom(100_000))
    scene.back_up(Kind.INCREMENTAL)
    scene.back_up(Kind.FULL)
    return scene


@pytest.fixture
def keeper(scene: Scene) -> Keeper:
    return keeper_of(scene)


@contextmanager
def context_of(scene: Scene, keeper: Keeper) -> Iterator[tuple[ReindexContext, list[Snapshot]]]:
    keys = scene.desk.keys
    with keeper.context() as opened:
        keeping = replace(opened, find_keys=keys.domain)
        opened.catalog.refresh(opened.backend, opened.trust, keys.domain)
        yield (
            ReindexContext(keeper=keeping, keys=keys, random=os.urandom),
            opened.catalog.snapshots(opened.trust, keys.domain),
        )


def lost(scene: Scene, keeper: Keeper, *, read_data: bool = False) -> list[LostPart]:
    with context_of(scene, keeper) as (context, snapshots):
        return find_lost(context, snapshots, read_data=read_data)


def repaired(scene: Scene, keeper: Keeper, *, read_data: bool = False) -> list[Reindexed]:
    with context_of(scene, keeper) as (context, snapshots):
        found = find_lost(context, snapshots, read_data=read_data)
        return [reindex(context, part) for part in found]


def parts_of(scene: Scene, seq: int) -> list[str]:
    return [info.name for info in scene.backend.list(f"{layout.PARTS}web1/{seq:010d}/")]


def packs_of(scene: Scene, seq: int) -> list[str]:
    return [info.name for info in scene.backend.list(f"{layout.PACKS}web1/{seq:010d}/")]


def notes_of_reading(scene: Scene) -> list[str]:
    """Read all snapshots on a new machine, and return what was said."""
    desk = scene.new_desk()
    for snapshot, _ in scene.seen:
        with desk.reader(snapshot) as reader:
            list(reader.blocks())
    return desk.notes


def test_nothing_is_lost_in_a_whole_vault(scene: Scene, keeper: Keeper) -> None:
    assert [] == lost(scene, keeper, read_data=True)


def test_a_lost_part_is_named_with_the_snapshots_that_need_it(scene: Scene, keeper: Keeper) -> None:
    (name,) = parts_of(scene, 1)
    scene.backend.delete(name)

    (found,) = lost(scene, keeper)

    assert (name, "is missing") == (found.name, found.reason)
    assert [scene.seen[0][0], scene.seen[1][0]] == list(found.snapshots)
    assert any(TABLES in note for note in notes_of_reading(scene))


def test_after_it_was_written_anew_nobody_reads_tables_any_more(
    scene: Scene, keeper: Keeper
) -> None:
    (name,) = parts_of(scene, 1)
    scene.backend.delete(name)

    (done,) = repaired(scene, keeper)

    assert [done.name] == parts_of(scene, 1)
    assert name != done.name
    assert (len(packs_of(scene, 1)), ()) == (done.packs, done.unread)
    assert [] == notes_of_reading(scene)
    assert [] == lost(scene, keeper, read_data=True)
    scene.expect_restorable()
    scene.expect_whole()


def test_a_damaged_part_is_found_by_reading_it(scene: Scene, keeper: Keeper) -> None:
    (name,) = parts_of(scene, 2)
    data = scene.backend.get(name)
    scene.backend.delete(name)
    scene.backend.put(name, data[:-1] + bytes([data[-1] ^ 1]))

    assert [] == lost(scene, keeper)
    (done,) = repaired(scene, keeper, read_data=True)

    assert "its bytes have another hash" == done.lost.reason
    assert [] == notes_of_reading(scene)
    scene.expect_whole()


def test_a_part_of_another_length_is_found_in_the_list(scene: Scene, keeper: Keeper) -> None:
    (name,) = parts_of(scene, 2)
    scene.backend.delete(name)
    scene.backend.put(name, b"short")

    (found,) = lost(scene, keeper)

    assert found.reason.startswith("has 5 bytes, expected ")


def test_packs_that_cannot_be_read_are_named_and_the_others_described(
    scene: Scene, keeper: Keeper
) -> None:
    (part,) = parts_of(scene, 1)
    gone, *left = packs_of(scene, 1)
    for name in (part, gone):
        scene.backend.delete(name)

    (done,) = repaired(scene, keeper)

    assert len(left) == done.packs
    (reason,) = done.unread
    assert gone.rsplit("/", 1)[1][:8] in reason
    wrong = {damage.name for damage in scene.new_desk().check().damages}
    assert gone in wrong
    assert {part, done.name} & wrong == set()


def test_nothing_is_written_when_no_pack_can_be_read(scene: Scene, keeper: Keeper) -> None:
    for name in (*parts_of(scene, 3), *packs_of(scene, 3)):
        scene.backend.delete(name)

    (done,) = repaired(scene, keeper)

    assert ("", 0) == (done.name, done.packs)
    assert [] == parts_of(scene, 3)


def test_a_part_in_place_of_a_lost_one_may_get_lost_too(scene: Scene, keeper: Keeper) -> None:
    (name,) = parts_of(scene, 1)
    scene.backend.delete(name)
    (first,) = repaired(scene, keeper)
    scene.backend.delete(first.name)

    assert any(TABLES in note for note in notes_of_reading(scene))
    assert {first.name} == {one.name for one in scene.new_desk().check().damages}
    (second,) = repaired(scene, keeper)

    assert (name, [second.name]) == (second.lost.name, parts_of(scene, 1))
    assert [] == notes_of_reading(scene)
    scene.expect_whole()


def test_tables_that_were_read_once_are_not_read_again(scene: Scene) -> None:
    scene.backend.delete(*parts_of(scene, 1))
    desk = scene.new_desk()
    first, _ = scene.seen[0]
    with desk.reader(first):
        pass
    for name in packs_of(scene, 1):
        scene.backend.delete(name)
    desk.notes.clear()

    with desk.reader(first):
        assert [] == [note for note in desk.notes if note.startswith("pack ")]


def test_a_root_that_is_gone_does_not_keep_others_from_being_repaired(
    scene: Scene, keeper: Keeper
) -> None:
    with context_of(scene, keeper) as (context, snapshots):
        scene.backend.delete(layout.outcome(scene.seen[2][0].session))
        scene.backend.delete(*parts_of(scene, 1))

        assert [1] == [one.part.seq for one in find_lost(context, snapshots)]


def test_a_keeper_keeps_it_as_long_as_something_needs_the_lost_one(
    scene: Scene, keeper: Keeper
) -> None:
    scene.backend.delete(*parts_of(scene, 1))
    (done,) = repaired(scene, keeper)

    keeper.prune()
    assert [done.name] == parts_of(scene, 1)
    with keeper.context() as context:
        context.catalog.refresh(context.backend, context.trust, context.find_keys)
        write_checkpoint(context, 0, set(), every=1)
    assert [] == notes_of_reading(scene)

    keeper.forget(scene.seen[0][0], scene.seen[1][0])
    keeper.prune()
    assert [] == parts_of(scene, 1)


def test_a_host_that_lost_its_state_relies_on_no_part_that_no_root_names(
    scene: Scene, keeper: Keeper
) -> None:
    scene.backend.delete(*parts_of(scene, 1))
    repaired(scene, keeper)
    fresh = Machine(vault=scene.vault, backend=scene.backend, state=scene.folder / "new-state")

    report = fresh.back_up(scene.tree, kind=Kind.INCREMENTAL)

    assert report.snapshot.chain != scene.seen[0][0].session.seq
    assert any(note.startswith("ALARM") for note in fresh.notes)
