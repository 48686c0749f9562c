"""What live snapshots need, what is there, and what neither asks for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.vaults import Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.snapshot import Kind, SessionId
from vaultd.maintenance.references import References, Totals, gather
from vaultd.vault import layout

ORPHAN = layout.pack(SessionId(host="web1", seq=9), bytes(32))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A full snapshot and an incremental one."""
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("large", os.urandom(300_000))
    scene.back_up(Kind.FULL)
    scene.write("more", os.urandom(2000))
    scene.back_up(Kind.INCREMENTAL)
    return scene


def gathered(scene: Scene) -> References:
    desk = scene.new_desk()
    return gather(scene.backend, desk.trust, desk.keys.domain, desk.snapshots())


def listed(scene: Scene, prefix: str) -> list[tuple[str, int]]:
    return [(info.name, info.size) for info in scene.backend.list(prefix)]


def test_all_that_is_there_is_needed_and_an_orphan_is_not(scene: Scene) -> None:
    scene.backend.put(ORPHAN, b"orphan")
    packs = listed(scene, layout.PACKS)
    with gathered(scene) as references:
        assert [] == list(references.broken())
        assert listed(scene, layout.PARTS) + packs[:-1] == list(references.needed())
        assert packs[:-1] == list(references.needed(layout.PACKS))
        assert [(ORPHAN, 6)] == list(references.unneeded())
        assert [] == list(references.unneeded(layout.PARTS))
        expected = Totals(count=len(packs) - 1, size=sum(size for _, size in packs[:-1]))
        assert expected == references.totals()


def test_each_object_knows_its_users(scene: Scene) -> None:
    (first, _), (second, _) = scene.seen
    (old, _), *_ = listed(scene, layout.packs_of(first.session))
    (new, _), *_ = listed(scene, layout.packs_of(second.session))
    with gathered(scene) as references:
        assert (first, second) == references.users(old)
        assert (second,) == references.users(new)
        assert () == references.users(ORPHAN)


def test_what_is_missing_or_of_another_length_is_told_with_its_users(scene: Scene) -> None:
    (first, _), (second, _) = scene.seen
    (old, size), *_ = listed(scene, layout.packs_of(first.session))
    (new, other), *_ = listed(scene, layout.packs_of(second.session))
    scene.backend.delete(old)
    scene.backend.delete(new)
    scene.backend.put(new, b"short")
    with gathered(scene) as references:
        broken = [(one.name, one.size, one.found, one.snapshots) for one in references.broken()]
        assert [(old, size, None, (first, second)), (new, other, 5, (second,))] == broken
        assert not {old, new} & {name for name, _ in references.needed()}


def test_roots_that_cannot_be_read_and_keys_that_are_not_there_are_told(scene: Scene) -> None:
    (first, _), (second, _) = scene.seen
    desk = scene.new_desk()
    snapshots = desk.snapshots()
    scene.backend.delete(layout.outcome(first.session))
    with gather(scene.backend, desk.trust, desk.keys.domain, snapshots) as references:
        assert [first] == [one.snapshot for one in references.unreadable]
        assert "not found" in references.unreadable[0].reason
    with gather(scene.backend, desk.trust, lambda *_: None, snapshots) as references:
        assert [first, second] == references.hidden
        assert Totals(count=0, size=0) == references.totals()
