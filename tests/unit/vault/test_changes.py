from __future__ import annotations

import pytest

from tests.unit.vault.making import Made, make, seeded
from vaultd.backends.base import Body
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import KeyringError, NoMatchingKeyError, StorageUnavailableError
from vaultd.crypto import recipients, signing
from vaultd.vault import layout
from vaultd.vault.bundles import new_epoch
from vaultd.vault.changes import (
    Admin,
    NewRecipient,
    add_recipient,
    drop_old_copies,
    reseal,
    revoke_host,
    revoke_recipient,
    rotate_domain,
)
from vaultd.vault.keyring import unlock

SAFE = NewRecipient(label="safe", form="file", public=recipients.public_key(b"n" * 32))


class FlakyBackend(MemoryBackend):
    """Refuses to put domain bundles until it is mended."""

    broken = False

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        if self.broken and name.startswith(layout.BUNDLES):
            raise StorageUnavailableError("stopped")
        super().put(name, body, sha256=sha256)


def bundle_names(made: Made) -> list[str]:
    return [entry.name for entry in made.backend.list(layout.BUNDLES)]


def test_only_an_admin_changes_anything() -> None:
    made = make()
    with pytest.raises(NoMatchingKeyError, match="not an admin key"):
        Admin(
            backend=made.backend,
            trust=made.trust,
            signer=signing.Signer(made.seed()),
            random=made.random,
            clock=made.clock,
        )


def test_two_admins_at_once_do_not_overwrite_each_other() -> None:
    made = make()
    first, second = made.admin, made.admin
    made.clock.sleep(1)
    revoke_recipient(first, "paper 1", single_key_accepted=True)
    with pytest.raises(KeyringError, match="meanwhile"):
        revoke_recipient(second, "paper 2", single_key_accepted=True)
    assert ["paper 2"] == [grant.label for grant in made.trust.recipients]


def test_a_change_put_twice_is_no_conflict() -> None:
    made = make()
    first, second = made.admin, made.admin
    assert first.put_policy() == second.put_policy()


def test_a_recovery_key_is_added_once() -> None:
    made = make()
    trust, resealed = add_recipient(made.admin, made.unlocked(), SAFE)
    assert ["paper 1", "paper 2", "safe"] == [grant.label for grant in trust.recipients]
    assert () == resealed.missing
    again, nothing = add_recipient(made.admin, made.unlocked(), SAFE)
    assert (trust, ()) == (again, nothing.written)


def test_adding_a_recovery_key_that_broke_off_is_finished_by_repeating_it() -> None:
    backend = FlakyBackend()
    made = make(backend=backend)
    backend.broken = True
    with pytest.raises(StorageUnavailableError):
        add_recipient(made.admin, made.unlocked(), SAFE)
    with pytest.raises(NoMatchingKeyError):
        unlock(backend, made.trust, b"n" * 32)
    backend.broken = False
    add_recipient(made.admin, made.unlocked(), SAFE)
    assert made.unlocked().epochs == unlock(backend, made.trust, b"n" * 32).epochs


@pytest.mark.parametrize(
    "recipient",
    [
        NewRecipient(label="paper 1", form="words", public=SAFE.public),
        NewRecipient(label="new", form="words", public=recipients.public_key(make().seed(1))),
    ],
    ids=["label", "revoked key"],
)
def test_labels_and_revoked_keys_are_not_used_again(recipient: NewRecipient) -> None:
    made = make()
    revoke_recipient(made.admin, "paper 2", single_key_accepted=True)
    with pytest.raises(KeyringError, match="label or key"):
        add_recipient(made.admin, made.unlocked(), recipient)


def test_the_last_recovery_keys_are_not_revoked_by_accident() -> None:
    made = make()
    with pytest.raises(KeyringError, match="would have 1 recovery keys"):
        revoke_recipient(made.admin, "paper 1")
    revoke_recipient(made.admin, "paper 1", single_key_accepted=True)
    with pytest.raises(KeyringError, match="would have 0"):
        revoke_recipient(made.admin, "paper 2", single_key_accepted=True)


def test_revoking_an_unknown_or_revoked_key_says_which_there_are() -> None:
    made = make()
    with pytest.raises(KeyringError, match="'paper 1', 'paper 2'"):
        revoke_recipient(made.admin, "safe")
    add_recipient(made.admin, made.unlocked(), SAFE)
    revoke_recipient(made.admin, "paper 1")
    with pytest.raises(KeyringError, match="'paper 2', 'safe'"):
        revoke_recipient(made.admin, "paper 1")


def test_resealing_what_is_current_writes_nothing() -> None:
    made = make()
    assert () == reseal(made.admin, made.unlocked()).written
    assert () == drop_old_copies(made.backend, made.trust)


def test_resealing_tells_what_the_key_given_does_not_open() -> None:
    made = make()
    revoke_recipient(made.admin, "paper 2", single_key_accepted=True)
    rotate_domain(made.admin, made.created.domain_keys)
    add_recipient(made.admin, made.unlocked(0), SAFE)
    old = made.unlocked(1)
    revoke_recipient(made.admin, "paper 1", single_key_accepted=True)
    resealed = reseal(made.admin, old)
    assert (layout.bundle("web1", 1, 2),) == resealed.written
    assert (("web1", 2),) == resealed.missing


def test_a_lost_bundle_comes_back_by_resealing() -> None:
    made = make()
    keys = made.unlocked()
    made.backend.delete(layout.bundle("web1", 1))
    assert (layout.bundle("web1", 1),) == reseal(made.admin, keys).written
    assert keys.epochs == made.unlocked().epochs


def test_a_copy_number_is_not_used_again_while_a_damaged_copy_has_it() -> None:
    made = make()
    keys = made.unlocked()
    made.replace(layout.bundle("web1", 1), b"rubbish")
    assert (layout.bundle("web1", 1, 1),) == reseal(made.admin, keys).written
    assert (layout.bundle("web1", 1),) == drop_old_copies(made.backend, made.trust)


def test_old_copies_stay_while_the_newest_is_not_sealed_to_all() -> None:
    made = make()
    add_recipient(made.admin, made.unlocked(), SAFE)
    revoke_recipient(made.admin, "paper 2")
    assert () == drop_old_copies(made.backend, made.trust)
    assert [layout.bundle("web1", 1), layout.bundle("web1", 1, 1)] == bundle_names(made)


def test_rotating_skips_numbers_that_are_taken() -> None:
    made = make()
    made.backend.put(layout.bundle("web1", 2), b"rubbish")
    made.backend.put(f"{layout.BUNDLES}web1/notes", b"")
    assert 3 == rotate_domain(made.admin, made.created.domain_keys).epoch


def test_two_rotations_at_once_do_not_share_an_epoch() -> None:
    made = make()
    epoch = new_epoch("web1", 2, seeded(5), before=made.created.domain_keys)
    made.admin.put_bundle(epoch)
    with pytest.raises(KeyringError, match="meanwhile"):
        made.admin.put_bundle(new_epoch("web1", 2, seeded(6)))


def test_a_revoked_host_key_keeps_its_old_sessions() -> None:
    made = make()
    trust = revoke_host(made.admin, "web1", last_seq=3)
    assert 1 == len(trust.host_keys("web1", 3))
    assert [] == trust.host_keys("web1", 4)
    assert trust.policy.hosts == revoke_host(made.admin, "web1", last_seq=9).policy.hosts


def test_a_host_key_revoked_from_the_start_is_gone() -> None:
    made = make()
    assert () == revoke_host(made.admin, "web1", last_seq=0).policy.hosts
    with pytest.raises(KeyringError, match="not enrolled"):
        revoke_host(made.admin, "web1", last_seq=0)
