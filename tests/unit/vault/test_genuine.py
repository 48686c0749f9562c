"""Every object of a vault is known by its own bytes, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.damage import names_of
from tests.support.vaults import Scene, Vault
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import IntegrityError, MalformedObjectError
from vaultd.core.snapshot import Kind, SessionId
from vaultd.vault import layout
from vaultd.vault.genuine import is_genuine, is_object, verify_object
from vaultd.vault.trust import load_trust

PREFIXES = (
    layout.VAULT,
    layout.POLICIES,
    layout.BUNDLES,
    layout.SESSIONS,
    layout.PACKS,
    layout.PARTS,
    layout.OUTCOMES,
    layout.LOG,
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two hosts, a snapshot each way: committed, forgotten, revoked."""
    scene = Scene(tmp_path, MemoryBackend(), Vault(hosts=("web1", "web2")))
    scene.write("file", b"contents")
    scene.back_up(Kind.FULL)
    scene.new_desk().forget([scene.back_up(Kind.FULL).snapshot])
    scene.vault.revoke(scene.backend, SessionId(host="web1", seq=9))
    return scene


def test_every_object_of_a_vault_is_genuine_and_no_byte_of_it_can_be_another(scene: Scene) -> None:
    trust = load_trust(scene.backend, pin=None)
    names = names_of(scene.backend)
    assert all(any(name.startswith(prefix) for name in names) for prefix in PREFIXES)
    for name in names:
        data = scene.backend.get(name)
        assert is_object(name)
        verify_object(name, data, trust)
        step = max(1, len(data) // 50)
        for at in range(0, len(data), step):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            # The text around the signed object in vault.json is for people.
            assert name == layout.VAULT or not is_genuine(name, changed, trust), f"{name} at {at}"
        for shorter in (b"", data[:-1], data[: len(data) // 2]):
            assert name == layout.VAULT or not is_genuine(name, shorter, trust)


def test_no_object_stands_under_the_name_of_another(scene: Scene) -> None:
    trust = load_trust(scene.backend, pin=None)
    names = names_of(scene.backend)
    for name in names:
        for other in names:
            if other != name:
                assert not is_genuine(other, scene.backend.get(name), trust), f"{name} as {other}"
    data = scene.backend.get(layout.policy(1))
    assert not is_genuine(layout.policy(2), data, trust)
    assert not is_genuine(layout.log_entry(2), scene.backend.get(layout.log_entry(1)), trust)


@pytest.mark.parametrize(
    "name",
    ["", "packs/", "packs/x", "vault.json.bak", "keys/admin/1", "log/1", "beat/web1", "snap/web1"],
)
def test_other_names_are_none_of_ours(scene: Scene, name: str) -> None:
    assert not is_object(name)
    with pytest.raises(MalformedObjectError):
        verify_object(name, b"", load_trust(scene.backend, pin=None))


def test_objects_of_another_vault_are_not_genuine(scene: Scene, tmp_path: Path) -> None:
    trust = load_trust(scene.backend, pin=None)
    stranger = replace(trust, vault=replace(trust.vault, vault_id=bytes(16)))
    for name in names_of(scene.backend):
        if not name.startswith((layout.PACKS, layout.PARTS)):
            with pytest.raises(IntegrityError):
                verify_object(name, scene.backend.get(name), stranger)
