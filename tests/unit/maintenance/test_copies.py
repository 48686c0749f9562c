"""What each target holds of each store: found by listing, store by store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.damage import names_of, truncate
from tests.support.vaults import Scene
from tests.unit.maintenance.test_replicate import filled, replicate
from vaultd.backends.base import Backend
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.faults import Fault, FaultKind
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.events import ignore
from vaultd.core.snapshot import Kind
from vaultd.maintenance.copies import CopiesContext, StoreCopies, Target, look_at_copies
from vaultd.policy.copies import Media
from vaultd.vault import layout
from vaultd.vault.readings import Reading, read, record


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path, MemoryBackend())
    filled(scene)
    return scene


def count(scene: Scene, *replicas: Backend, hidden: bool = False) -> StoreCopies:
    desk = scene.new_desk()
    keys = desk.keys
    context = CopiesContext(
        backend=scene.backend,
        trust=desk.trust,
        find_keys=(lambda _domain, _epoch: None) if hidden else keys.domain,
        observer=ignore,
    )
    targets = [
        Target(
            name=f"target-{number}",
            backend=backend,
            media=Media.DISK if number else Media.OBJECT_STORAGE,
            offsite=bool(number),
            locked=bool(number),
            reading=Reading(at_ns=1, errors=0),
        )
        for number, backend in enumerate([scene.backend, *replicas])
    ]
    (found,) = look_at_copies(context, targets, desk.snapshots())
    return found


def digits(found: StoreCopies) -> tuple[int | None, ...]:
    return tuple(digit.found for digit in found.digits)


def test_a_fresh_replica_completes_the_rule(scene: Scene) -> None:
    replica = MemoryBackend()
    replicate(scene.backend, replica)
    found = count(scene, replica)
    assert ("web1", "files", scene.seen[-1][0].short_id) == (found.host, found.store, found.newest)
    assert (3, 2, 1, 1, 0) == digits(found)
    assert found.reached
    assert [(2, 2), (2, 2)] == [(one.complete, one.live) for one in found.held]


def test_a_replica_that_lags_behind_is_no_copy_of_the_newest_snapshot(scene: Scene) -> None:
    replica = MemoryBackend()
    replicate(scene.backend, replica)
    scene.write("new", b"new")
    scene.back_up(Kind.INCREMENTAL)
    found = count(scene, replica)
    assert [(3, True), (2, False)] == [(one.complete, one.has_newest) for one in found.held]
    assert 2 == found.digits[0].found
    assert not found.reached


@pytest.mark.parametrize(
    "prefix", [layout.PACKS, layout.PARTS, layout.BUNDLES, layout.POLICIES, layout.VAULT]
)
def test_what_a_snapshot_cannot_be_restored_without_is_missed(scene: Scene, prefix: str) -> None:
    replica = MemoryBackend()
    replicate(scene.backend, replica)
    replica.delete(names_of(replica, prefix)[0])
    found = count(scene, replica)
    assert 1 == found.held[1].missing
    assert 1 == found.digits[-1].found


def test_another_copy_of_a_bundle_will_do_and_an_object_of_another_size_will_not(
    scene: Scene,
) -> None:
    replica = MemoryBackend()
    replicate(scene.backend, replica)
    name = layout.bundle("web1", 1)
    replica.put(layout.bundle("web1", 1, 1), replica.get(name))
    replica.delete(name)
    assert 0 == count(scene, replica).held[1].missing
    truncate(replica, names_of(replica, layout.PACKS)[0])
    assert 1 == count(scene, replica).held[1].missing


def test_a_target_that_does_not_answer_is_said_and_not_counted(scene: Scene) -> None:
    down = Faulty(MemoryBackend(), plan=lambda _: Fault(kind=FaultKind.FAIL))
    found = count(scene, down)
    assert "no answer" in found.held[1].unreachable
    assert (2, None) == (found.digits[0].found, found.digits[-1].found)


def test_without_keys_nothing_is_known_to_be_complete(scene: Scene) -> None:
    found = count(scene, hidden=True)
    assert (2, 0) == (found.hidden, found.held[0].complete)
    assert not found.reached


def test_readings_are_remembered_by_location_and_a_damaged_file_is_none(tmp_path: Path) -> None:
    assert {} == read(tmp_path)
    record(tmp_path, "/a", Reading(at_ns=1, errors=2))
    record(tmp_path, "/b", Reading(at_ns=3, errors=0))
    record(tmp_path, "/a", Reading(at_ns=4, errors=0))
    expected = {"/a": Reading(at_ns=4, errors=0), "/b": Reading(at_ns=3, errors=0)}
    assert expected == read(tmp_path)
    (tmp_path / "readings.json").write_bytes(b"{")
    assert {} == read(tmp_path)
