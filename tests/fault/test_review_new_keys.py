"""A host that was enrolled again with a new key, and what it does about its past."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.vaults import Machine, Scene, Vault, secret
from vaultd.backends.base import Backend
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import KeyringError, SourceUnreadableError
from vaultd.crypto import hashing
from vaultd.crypto.signing import Signer
from vaultd.format.keys import HostGrant
from vaultd.format.signed import POLICY
from vaultd.vault import layout
from vaultd.vault.keyring import HostKeys
from vaultd.vault.trust import load_trust, sign_object

NEW_KEY = Signer(secret("a new key"))


@dataclass(kw_only=True)
class Renewed(Machine):
    """The same machine with its new key."""

    @property
    def keys(self) -> HostKeys:
        """Everything secret that this machine holds."""
        return replace(super().keys, signer=NEW_KEY)


def renew(vault: Vault, backend: Backend, last: int) -> None:
    """Revoke the host's key after a session, and let another one sign from then on."""
    policy = load_trust(backend, pin=None).policy
    old = policy.hosts[0]
    raw = backend.get(layout.policy(policy.number))
    fields = {name: getattr(policy, name) for name in policy.__struct_fields__}
    grant = {name: getattr(old, name) for name in old.__struct_fields__}
    fields["number"] = policy.number + 1
    fields["previous"] = hashing.sha256(raw)
    fields["hosts"] = (
        HostGrant(**{**grant, "until_seq": last}),
        HostGrant(**{**grant, "verify_key": NEW_KEY.public, "from_seq": last + 1}),
    )
    changed = type(policy)(**fields)
    backend.put(layout.policy(policy.number + 1), sign_object(POLICY, changed, vault.admin))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A vault whose host has one snapshot, and one session that died."""
    made = Scene(tmp_path, MemoryBackend())
    made.write("file", b"contents")
    made.back_up()
    with pytest.raises(SourceUnreadableError):
        made.machine.back_up(made.tree, tmp_path / "missing")
    renew(made.vault, made.backend, 2)
    return made


def test_a_host_with_a_new_key_signs_nothing_for_sessions_of_the_old_one(scene: Scene) -> None:
    old = scene.machine
    scene.machine = Renewed(vault=old.vault, backend=old.backend, state=old.state)

    scene.back_up()
    scene.back_up()

    scene.expect_restorable()
    scene.expect_whole()


def test_a_revoked_key_signs_nothing_more(scene: Scene) -> None:
    before = [info.name for info in scene.backend.list("")]

    with pytest.raises(KeyringError, match="may not sign session 3"):
        scene.back_up()

    assert before == [info.name for info in scene.backend.list("")]
