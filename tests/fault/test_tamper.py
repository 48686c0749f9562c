"""Every byte of a vault is covered: what is changed, removed, cut, swapped or replayed is found.

Restores of what the damage does not touch go on, and name exactly what it does touch.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.tampering import Site, Tampered, flipped, free_text, needed, others_of, sampled
from tests.support.vaults import Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import VaultdError
from vaultd.format.session import RootBody
from vaultd.vault import layout, roots
from vaultd.vault.keyring import unlock


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    return Site(Scene(folder, MemoryBackend()))


READ_BY_ALL = ("vault.json", "keys/admin/", "keys/dom/", "snap/", "log/")


@pytest.mark.parametrize("prefix", READ_BY_ALL)
def test_a_flipped_byte_of_a_signed_object_is_found(site: Site, prefix: str) -> None:
    missed = [
        f"{name} at {at}"
        for name in site.of_kind(prefix)
        for at in sampled(site.objects[name], 40)
        if at >= free_text(site, name) and not site.is_found({name: flipped(site.get(name), at)})
    ]

    assert [] == missed


@pytest.mark.parametrize("prefix", [layout.PACKS, layout.PARTS])
def test_a_flipped_byte_of_a_pack_or_part_is_found(site: Site, prefix: str) -> None:
    needed = [name for name in site.of_kind(prefix) if layout.hashed_of(name)[0].seq != 3]
    missed = [
        f"{name} at {at}"
        for name in needed
        for at in sampled(site.objects[name], 10)
        if not site.is_found({name: flipped(site.get(name), at)})
    ]

    assert len(needed) >= 2
    assert [] == missed


def test_whatever_lies_in_the_place_of_an_object_is_found(site: Site) -> None:
    newest = site.scene.seen[-1][0].session
    # That the newest snapshot is hidden, nobody can tell who has not seen it: see the next test.
    # The last byte of `vault.json` ends its line.
    expected = [f"{layout.outcome(newest)} removed", f"{layout.VAULT} cut by one"]
    missed = [
        f"{name} {what}"
        for name in needed(site)
        for what, contents in others_of(site, name).items()
        if not site.is_found({name: contents})
    ]

    assert expected == sorted(missed)


def test_a_machine_that_knows_the_vault_sees_it_rolled_back(site: Site) -> None:
    for name in (*site.of_kind("snap/web1/0000000004"), *site.of_kind("log/")):
        desk = site.desk({})
        assert () == desk.check().damages
        known = replace(desk, backend=Tampered(site.scene.backend, {name: None}))
        try:
            assert known.check().damages
        except VaultdError:
            continue


def test_an_object_under_another_name_is_not_believed(site: Site) -> None:
    replayed = {
        "snap/web1/0000000009": "snap/web1/0000000001",
        "log/0000000002": "log/0000000001",
        "keys/admin/000002": "keys/admin/000001",
    }

    for name, source in replayed.items():
        assert site.is_found({name: site.get(source)}), name


def test_damage_of_a_pack_is_named_file_by_file(site: Site) -> None:
    wrong = []
    for name in site.of_kind(layout.PACKS):
        for at in (*range(0, 200, 48), *range(2000, site.objects[name], 150_000)):
            contents = flipped(site.get(name), at)
            for snapshot, _ in site.scene.seen:
                damaged = site.damaged({name: contents}, snapshot)
                touched = site.touched(snapshot, name, contents)
                if damaged != touched and not site.may_cost_all(name, damaged):
                    wrong.append(f"{name} at {at}: {damaged} and not {touched}")

    assert [] == wrong


def test_a_lost_pack_costs_the_files_that_lie_in_it_and_no_others(site: Site) -> None:
    costs = set()
    for name in site.of_kind(layout.PACKS):
        for what, contents in others_of(site, name).items():
            for snapshot, _ in site.scene.seen:
                damaged = site.damaged({name: contents}, snapshot)
                touched = site.touched(snapshot, name, contents)
                assert damaged == touched or site.may_cost_all(name, damaged), f"{name} {what}"
                costs.add(-1 if damaged is None else len(damaged))

    assert {-1, 0, 1} <= costs


@pytest.mark.parametrize("what", ["removed", "rubbish", "cut in half"])
def test_a_lost_index_part_costs_nothing(site: Site, what: str) -> None:
    for name in site.of_kind(layout.PARTS):
        for snapshot, _ in site.scene.seen:
            assert set() == site.damaged({name: others_of(site, name)[what]}, snapshot)


@pytest.mark.parametrize("what", ["removed", "rubbish", "cut in half"])
def test_a_lost_root_costs_its_own_snapshot_only(site: Site, what: str) -> None:
    (first, _), (second, _), _ = site.scene.seen
    for lost, other in ((first, second), (second, first)):
        name = layout.outcome(lost.session)
        others = {name: others_of(site, name)[what]}

        assert site.damaged(others, lost) is None
        assert set() == site.damaged(others, other)


def test_lost_key_bundles_are_replaced_by_the_copies_in_full_snapshots(site: Site) -> None:
    bundle = layout.bundle("web1", 1)
    desk = site.desk({bundle: None})
    with pytest.raises(VaultdError):
        desk.snapshots()
    first, _ = site.scene.seen[0]
    root = roots.open_outcome(site.get(layout.outcome(first.session)), first.session, desk.trust)
    assert isinstance(root, RootBody)

    keys = unlock(desk.backend, desk.trust, site.scene.vault.recovery, copies=[root.bundle])

    assert desk.vault.hosts == tuple(epoch.keys.domain for epoch in keys.epochs)


@pytest.mark.nightly
def test_every_single_byte_of_the_signed_objects_is_covered(site: Site) -> None:
    missed = [
        f"{name} at {at}"
        for prefix in READ_BY_ALL
        for name in site.of_kind(prefix)
        for at in range(free_text(site, name), site.objects[name])
        if not site.is_found({name: flipped(site.get(name), at)})
    ]

    assert [] == missed
