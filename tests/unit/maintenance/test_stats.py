"""Adding up what a vault holds, for what, and what forgetting would give back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.vaults import Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import CautionError, KeyringError
from vaultd.core.snapshot import Kind, SessionId, Snapshot
from vaultd.maintenance.stats import Freed, StatsContext, freed, stats
from vaultd.vault import layout
from vaultd.vault.keyring import DomainKeys


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two snapshots of one chain, a snapshot of another store, and a second full."""
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("large", os.urandom(600_000))
    scene.back_up(Kind.FULL)
    scene.write("more", os.urandom(200_000))
    scene.back_up(Kind.INCREMENTAL)
    scene.machine.back_up(scene.tree, wanted={"store": "other", "store_id": bytes(16)})
    scene.back_up(Kind.FULL)
    return scene


def hidden(domain: str, epoch: int) -> DomainKeys | None:
    return None


def context_of(scene: Scene) -> StatsContext:
    desk = scene.new_desk()
    return StatsContext(
        backend=scene.backend,
        trust=desk.trust,
        find_keys=desk.keys.domain,
        snapshots=desk.snapshots(),
    )


def blind_context(scene: Scene) -> StatsContext:
    desk = scene.new_desk()
    with desk.catalog() as catalog:
        catalog.refresh(desk.backend, desk.trust, hidden)
        snapshots = catalog.snapshots(desk.trust, hidden)
    return StatsContext(
        backend=scene.backend, trust=desk.trust, find_keys=hidden, snapshots=snapshots
    )


def stored(scene: Scene, *seqs: int) -> int:
    """Return the bytes of packs and index parts of sessions."""
    return sum(
        info.size
        for kind in (layout.PACKS, layout.PARTS)
        for seq in seqs
        for info in scene.backend.list(f"{kind}web1/{seq:010}/")
    )


def pruned(scene: Scene, doomed: Sequence[Snapshot]) -> Freed:
    """Return what is really of no use without some snapshots, by deleting it."""
    keys = scene.desk.keys
    scene.desk.forget(doomed)
    context = context_of(scene)
    left = {
        name
        for one in context.snapshots
        for name, _ in needs_of(scene, one, keys.domain("web1", 1))
    }
    gone = [
        info
        for info in scene.backend.list("")
        if info.name.startswith((layout.PACKS, layout.PARTS)) and info.name not in left
    ]
    roots = [scene.backend.get(layout.outcome(one.session)) for one in doomed]
    return Freed(
        snapshots=len(doomed),
        packs=sum(info.name.startswith(layout.PACKS) for info in gone),
        objects=len(gone) + len(roots),
        size=sum(info.size for info in gone) + sum(map(len, roots)),
    )


def needs_of(scene: Scene, snapshot: Snapshot, keys: DomainKeys) -> list[tuple[str, int]]:
    with scene.new_desk().reader(snapshot) as reader:
        packs = [(ref.seq, ref.sha256, ref.size, layout.pack) for ref in reader.packs()]
        parts = [(part.seq, part.sha256, part.size, layout.part) for part in reader.refs.parts]
    return [
        (name(SessionId(host="web1", seq=seq), sha256), size)
        for seq, sha256, size, name in packs + parts
    ]


def test_usage_is_added_up_by_store_and_by_chain(scene: Scene) -> None:
    context = context_of(scene)

    found = stats(context, context.snapshots)

    assert [("web1:files", 3), ("web1:other", 1)] == [
        (one.name, one.snapshots) for one in found.stores
    ]
    chains = {one.name: one.snapshots for one in found.chains}
    assert {"web1:files from 1": 2, "web1:other from 3": 1, "web1:files from 4": 1} == chains
    files = found.stores[0]
    counts = [one.counts for one in context.snapshots if one.store == "files"]
    assert (counts[-1].files, counts[-1].data) == (files.files, files.data)
    assert sum(one.data for one in counts) == files.restorable
    assert sum(one.stored_added for one in counts) == files.stored
    infos = list(scene.backend.list(""))
    packs = [info.size for info in infos if info.name.startswith(layout.PACKS)]
    assert (len(infos), len(packs), sum(packs)) == (found.objects, found.packs, found.pack_bytes)
    assert sum(info.size for info in infos) == found.all_bytes
    assert 0 == found.unneeded


def test_unique_is_what_nothing_else_needs(scene: Scene) -> None:
    context = context_of(scene)

    found = stats(context, context.snapshots)

    unique = {one.snapshot.session.seq: one.unique for one in found.snapshots}
    assert {1: 0, 2: stored(scene, 2), 3: stored(scene, 3), 4: stored(scene, 4)} == unique
    assert {
        "web1:files from 1": stored(scene, 1, 2),
        "web1:other from 3": stored(scene, 3),
        "web1:files from 4": stored(scene, 4),
    } == {one.name: one.unique for one in found.chains}
    assert [stored(scene, 1, 2, 4), stored(scene, 3)] == [one.unique for one in found.stores]


def test_snapshots_that_were_not_chosen_need_their_objects_still(scene: Scene) -> None:
    context = context_of(scene)

    found = stats(context, context.snapshots[:1])

    assert [("web1:files", 1, 0)] == [(s.name, s.snapshots, s.unique) for s in found.stores]


def test_what_no_snapshot_needs_is_counted(scene: Scene) -> None:
    scene.backend.put(layout.pack(SessionId(host="web1", seq=9), bytes(32)), b"orphan")
    context = context_of(scene)

    assert len(b"orphan") == stats(context, context.snapshots).unneeded


@pytest.mark.parametrize("seqs", [(1,), (2,), (1, 2), (2, 4), (1, 2, 3, 4)])
def test_forgetting_frees_what_was_foretold(scene: Scene, seqs: tuple[int, ...]) -> None:
    context = context_of(scene)
    doomed = [one for one in context.snapshots if one.session.seq in seqs]

    foretold = freed(context, doomed)

    assert pruned(scene, doomed) == foretold


def test_what_keys_hide_is_not_guessed(scene: Scene) -> None:
    context = blind_context(scene)

    found = stats(context, context.snapshots)

    id_ = scene.seen[0][0].store_id.hex()[:8]
    assert {f"web1:{id_}", f"web1:{bytes(4).hex()}"} == {one.name for one in found.stores}
    unique = [one.unique for one in found.stores] + [one.unique for one in found.snapshots]
    assert {None} == {*unique, found.unneeded}
    with pytest.raises(KeyringError):
        freed(context, context.snapshots[:1])


def test_nothing_is_foretold_when_a_root_cannot_be_read(scene: Scene) -> None:
    context = context_of(scene)
    scene.backend.delete(layout.outcome(context.snapshots[0].session))

    with pytest.raises(CautionError):
        freed(context, context.snapshots[1:2])
    assert freed(context, []).size == 0
