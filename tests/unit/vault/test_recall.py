"""Seeing through a thief: what he hides and covers is read all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Never

import pytest

from tests.support.locks import cover_all, hide_all
from tests.support.vaults import Desk, Scene, Vault
from tests.support.versioned import MemoryVersions, VersionedMemory
from tests.unit.vault.making import make
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import (
    AccessDeniedError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageUnavailableError,
    VaultNotFoundError,
)
from vaultd.core.events import Event, Note, ignore
from vaultd.crypto.signing import Signer
from vaultd.format.keys import encode_vault_json
from vaultd.format.session import RootBody
from vaultd.format.signed import OUTCOME, VAULT
from vaultd.vault import layout, roots
from vaultd.vault.bundles import replaced_copies
from vaultd.vault.recall import recall, recalling
from vaultd.vault.trust import load_trust, read_vault, sign_object


class Blind(MemoryVersions):
    """Versions that these credentials may not see."""

    def list(self, prefix: str) -> Never:
        raise AccessDeniedError("may not be listed")


class Busy(MemoryVersions):
    """A server that does not answer."""

    def are_kept(self) -> bool:
        raise StorageUnavailableError("no answer")


@pytest.fixture
def memory() -> VersionedMemory:
    return VersionedMemory()


@pytest.fixture
def scene(tmp_path: Path, memory: VersionedMemory) -> Scene:
    scene = Scene(tmp_path, memory)
    for number in range(3):
        for name in range(6):
            scene.write(f"d{name % 2}/{name}", os.urandom(9_000 + number))
        scene.back_up()
    return scene


class Told:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self.texts.append(event.text)


def desk_behind(scene: Scene, told: Told) -> Desk:
    """Sit down at a machine that sees through a thief, as `vaultctl` does."""
    reached = scene.backend
    trust = load_trust(recalling(reached, told), pin=None)
    backend = recalling(reached, told, trust)
    return Desk(vault=scene.vault, backend=backend, folder=scene.folder / "desk", workers=1)


def test_nothing_is_told_where_nothing_was_done(scene: Scene) -> None:
    told = Told()
    desk = desk_behind(scene, told)
    assert () == desk.check().damages
    assert [] == told.texts


def cover_only(memory: VersionedMemory, prefix: str) -> None:
    for info in list(memory.list(prefix)):
        memory.cover(info.name, os.urandom(info.size))


def cover_hide_and_cover(memory: VersionedMemory) -> None:
    cover_all(memory)
    hide_all(memory)
    for name in list(memory.kept):
        memory.cover(name, b"rubbish")


@pytest.mark.parametrize(
    "rob",
    [
        cover_all,
        lambda memory: cover_only(memory, layout.PACKS),
        lambda memory: cover_only(memory, layout.OUTCOMES),
        cover_hide_and_cover,
    ],
    ids=["everything", "packs", "roots", "everything, twice, and hidden between"],
)
def test_what_was_covered_restores_as_it_was(
    scene: Scene, memory: VersionedMemory, rob: Callable[[VersionedMemory], None]
) -> None:
    rob(memory)
    told = Told()
    scene.backend = desk_behind(scene, told).backend

    assert [snapshot for snapshot, _ in scene.seen] == scene.new_desk().snapshots()
    scene.expect_restorable()
    damaged = {one.name.partition("/")[0] for one in scene.new_desk().check().damages}
    assert damaged <= {"packs", "index"}  # listed with sizes that are not theirs
    assert told.texts[0].startswith("ALARM")


def test_hidden_roots_logs_and_keys_are_read(scene: Scene, memory: VersionedMemory) -> None:
    scene.desk.forget(scene.desk.snapshots()[:1])
    for prefix in (layout.OUTCOMES, layout.LOG, layout.POLICIES, layout.VAULT, layout.PACKS):
        for info in list(memory.list(prefix)):
            memory.delete(info.name)
    told = Told()
    desk = desk_behind(scene, told)

    assert [snapshot for snapshot, _ in scene.seen[1:]] == desk.snapshots()
    snapshot, _ = scene.seen[2]
    assert () == desk.restore(snapshot, scene.folder / "out").problems
    assert 1 == sum("ALARM" in text for text in told.texts[:1])


def test_an_alarm_is_not_raised_for_what_a_keeper_removes(
    scene: Scene, memory: VersionedMemory
) -> None:
    memory.delete(layout.outcome(scene.seen[0][0].session))
    told = Told()
    assert 3 == len(desk_behind(scene, told).snapshots())
    assert [] == told.texts


def test_another_vault_over_the_description_is_seen_through(
    scene: Scene, memory: VersionedMemory
) -> None:
    thief = Signer(bytes(range(32)))
    body = read_vault(memory)
    forged = type(body)(
        vault_id=body.vault_id, created_ns=1, chunker=body.chunker, pack_bytes=body.pack_bytes,
        admin_keys=(thief.public,), label="forged",
    )  # fmt: skip
    data = encode_vault_json(sign_object(VAULT, forged, thief), vault_id=body.vault_id)
    memory.cover(layout.VAULT, data)

    assert "forged" == read_vault(memory).label
    assert "tests" == read_vault(recalling(memory, ignore)).label


def test_a_root_signed_anew_by_a_stolen_host_key_is_seen_through(
    scene: Scene, memory: VersionedMemory
) -> None:
    desk = desk_behind(scene, Told())
    snapshot = desk.snapshots()[-1]
    name = layout.outcome(snapshot.session)
    root = roots.open_outcome(memory.get(name), snapshot.session, desk.trust)
    assert isinstance(root, RootBody)
    fields = {key: getattr(root, key) for key in root.__struct_fields__} | {"software": "thief"}
    memory.cover(name, sign_object(OUTCOME, RootBody(**fields), scene.vault.signer("web1")))

    assert () == desk.restore(snapshot, scene.folder / "out").problems
    assert () == desk.check().damages


def test_what_has_no_right_version_stays_damaged(scene: Scene, memory: VersionedMemory) -> None:
    name = next(info.name for info in memory.list(layout.PACKS))
    memory.kept[name][0].data = b"rotten"
    memory.cover(name, b"rotten too")
    desk = desk_behind(scene, Told())

    assert not recall(desk.backend, name)
    assert not recall(desk.backend, name)
    assert name in {one.name for one in desk.check().damages}


def test_what_was_never_there_is_not_found(scene: Scene) -> None:
    backend = desk_behind(scene, Told()).backend
    with pytest.raises(ObjectNotFoundError):
        backend.get(layout.log_entry(1))
    with pytest.raises(ObjectNotFoundError):
        backend.get("packs/web1/0000000009/" + "0" * 64, length=5)


def test_credentials_that_see_no_versions_read_as_before(
    scene: Scene, memory: VersionedMemory
) -> None:
    memory.versions = Blind(memory, None)
    desk = desk_behind(scene, Told())
    assert 3 == len(desk.snapshots())
    memory.delete(layout.outcome(scene.seen[0][0].session))
    with pytest.raises(ObjectNotFoundError):
        desk.backend.get(layout.outcome(scene.seen[0][0].session))


def test_a_server_that_does_not_answer_is_no_server_without_versions(
    scene: Scene, memory: VersionedMemory
) -> None:
    memory.versions = Busy(memory, None)
    with pytest.raises(StorageUnavailableError):
        recalling(memory, ignore)


def test_a_backend_without_versions_is_left_as_it_is() -> None:
    backend = MemoryBackend()
    assert backend is recalling(backend, ignore)
    assert not recall(backend, "packs/x")


def test_no_vault_is_told_as_before(memory: VersionedMemory) -> None:
    with pytest.raises(VaultNotFoundError):
        recalling(memory, ignore)
    memory.put(layout.VAULT, b"no vault")
    memory.cover(layout.VAULT, b"nor that")
    with pytest.raises(IntegrityError):
        recalling(memory, ignore)


def test_a_place_with_a_vault_beneath_takes_no_other(memory: VersionedMemory) -> None:
    Vault().found(memory)
    hide_all(memory)
    with pytest.raises(ObjectExistsError, match="beneath") as caught:
        make(backend=memory)
    assert "undelete --markers" in (caught.value.hint or "")


def test_who_may_not_look_beneath_may_make_a_vault(memory: VersionedMemory) -> None:
    memory.versions = Blind(memory, None)
    assert make(backend=memory).trust.vault_id


def test_an_index_part_that_is_covered_is_read_beneath(
    scene: Scene, memory: VersionedMemory
) -> None:
    backend = desk_behind(scene, Told()).backend
    name = next(info.name for info in memory.list(layout.PARTS))
    right = memory.get(name)
    memory.cover(name, b"x")
    assert right == backend.get(name)
    assert right[3:7] == backend.get(name, offset=3, length=4)


def test_copies_of_bundles_that_a_newer_one_replaced_are_known() -> None:
    names = [layout.bundle("a", 1, copy) for copy in (0, 1, 2)] + [layout.bundle("a", 2), "x"]
    assert {layout.bundle("a", 1), layout.bundle("a", 1, 1)} == replaced_copies(names)
