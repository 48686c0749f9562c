"""Space inside a chain that goes on: found, told to the host, and won back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.keeping import Keeper, keeper_of
from tests.support.vaults import Scene, Vault
from vaultd.backends.memory import MemoryBackend
from vaultd.core.snapshot import Kind
from vaultd.maintenance.condense import CondenseRule, Sparse, condense, find_sparse
from vaultd.vault import layout
from vaultd.vault.reader import ReadContext

SOURCE = random.Random(9)
ALWAYS = CondenseRule(most=1.0)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A full of one large and some small files; then the large one is another."""
    scene = Scene(tmp_path, MemoryBackend(), Vault(pack_bytes=16 << 20))
    scene.write("large", SOURCE.randbytes(6_000_000))
    for number in range(5):
        scene.write(f"small-{number}", SOURCE.randbytes(40_000))
    scene.back_up(Kind.FULL)
    scene.write("large", SOURCE.randbytes(6_000_000))
    scene.back_up(Kind.INCREMENTAL)
    return scene


def found_by(scene: Scene, keeper: Keeper, rule: CondenseRule) -> list[Sparse]:
    desk = scene.new_desk()
    desk.folder.mkdir()
    with keeper.context() as context:
        context.catalog.refresh(context.backend, context.trust, context.find_keys)
        reading = ReadContext(
            backend=desk.backend,
            trust=desk.trust,
            keys=desk.keys,
            folder=desk.folder,
            observer=desk.observe,
        )
        found = list(find_sparse(context, reading, desk.snapshots(), rule))
        condense(context, found)
    return found


def large_packs(scene: Scene, seq: int) -> list[str]:
    listed = scene.backend.list(f"{layout.PACKS}web1/{seq:010d}/")
    return [info.name for info in listed if info.size > 1_000_000]


def test_what_is_mostly_dead_is_stored_anew_and_goes(scene: Scene) -> None:
    keeper = keeper_of(scene)
    assert large_packs(scene, 1)

    (sparse,) = found_by(scene, keeper, ALWAYS)

    assert 0 < sparse.needed < 0.1 * sparse.size
    assert len(large_packs(scene, 1)) == len(sparse.packs)
    assert [] == found_by(scene, keeper, ALWAYS)  # the host is told once
    scene.back_up(Kind.INCREMENTAL)
    keeper.forget(scene.seen[0][0], scene.seen[1][0])
    del scene.seen[:2]
    keeper.prune()
    assert [] == large_packs(scene, 1)
    assert large_packs(scene, 2)
    scene.expect_whole()
    scene.expect_restorable()


def test_what_is_needed_stays(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    assert [] == found_by(scene, keeper_of(scene), ALWAYS)


def test_no_more_is_stored_anew_than_was_allowed(scene: Scene) -> None:
    assert [] == found_by(scene, keeper_of(scene), CondenseRule(most=0.001))
