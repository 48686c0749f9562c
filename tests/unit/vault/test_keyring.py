from __future__ import annotations

import msgspec
import pytest

from tests.unit.vault.making import PAPER, PLAN, Made, make, seeded
from vaultd.core.errors import CorruptObjectError, KeyringError, NoMatchingKeyError
from vaultd.crypto import recipients, signing
from vaultd.format.codec import decode
from vaultd.format.keys import BundleBody, SealedTo
from vaultd.format.signed import BUNDLE
from vaultd.vault import layout
from vaultd.vault.bundles import new_epoch, newest_bundle, seal_bundle
from vaultd.vault.changes import (
    NewRecipient,
    add_recipient,
    drop_old_copies,
    reseal,
    revoke_recipient,
    rotate_domain,
)
from vaultd.vault.keyring import HostKeys, IndexKey, KeeperKeys, from_held, to_held, unlock
from vaultd.vault.trust import open_object, sign_object

NAME = layout.bundle("web1", 1)


def body_of(made: Made, name: str = NAME) -> BundleBody:
    raw = open_object(BUNDLE, made.backend.get(name), made.trust.vault.admin_keys, what=name)
    return decode(BundleBody, raw, what=name, limit=BUNDLE.limit)


def forge(made: Made, body: BundleBody, name: str = NAME) -> None:
    """Replace a bundle by one that the admin signed: what no thief can, but a defect could."""
    made.replace(name, sign_object(BUNDLE, body, made.signer))


def test_every_recovery_key_opens_the_same() -> None:
    made = make()
    first, second = made.unlocked(0), made.unlocked(1)
    assert first.epochs == second.epochs
    assert made.created.domain_keys == first.domain("web1", 1)
    assert () == first.closed
    assert () == first.damaged


def test_seeds_open_what_hosts_seal() -> None:
    made = make()
    keys = made.unlocked()
    domain = made.created.domain_keys
    for public in (domain.data_public, domain.meta_public):
        sealed = recipients.seal(public, b"k" * 32, b"info")
        seed = keys.pack_seed(recipients.key_id(public))
        assert b"k" * 32 == recipients.open(seed, sealed, b"info")
    assert keys.pack_seed(recipients.key_id(domain.meta_public)) == keys.meta_seed("web1", 1)


def test_a_wrong_key_names_the_keys_that_the_vault_knows() -> None:
    made = make()
    with pytest.raises(NoMatchingKeyError, match=r"'paper 1' \(words\), 'paper 2' \(words\)"):
        unlock(made.backend, made.trust, b"w" * 32)


def test_unknown_domains_epochs_and_packs_are_refused() -> None:
    keys = make().unlocked()
    for ask in (keys.domain, keys.meta_seed, keys.index_key):
        with pytest.raises(NoMatchingKeyError):
            ask("web1", 2)
    with pytest.raises(NoMatchingKeyError):
        keys.newest("db1")
    with pytest.raises(NoMatchingKeyError):
        keys.pack_seed(b"p" * 16)


def test_index_keys_are_those_of_the_host() -> None:
    made = make()
    keys = made.unlocked()
    assert made.created.domain_keys.index_key == keys.index_key("web1", 1)
    assert made.created.domain_keys == keys.newest("web1")


def test_only_the_domain_asked_for_is_opened() -> None:
    made = make()
    made.admin.put_bundle(new_epoch("db1", 1, seeded(9)))
    assert 2 == len(made.unlocked().epochs)
    keys = unlock(made.backend, made.trust, made.seed(), domain="db1")
    assert ("db1",) == tuple(epoch.keys.domain for epoch in keys.epochs)


def test_a_rotated_domain_keeps_its_dedup_keys_and_changes_the_others() -> None:
    made = make()
    before = made.created.domain_keys
    after = rotate_domain(made.admin, before)
    keys = made.unlocked()
    assert after == keys.newest("web1")
    assert 2 == after.epoch
    assert (before.chunk_id_key, before.chunker_key) == (after.chunk_id_key, after.chunker_key)
    assert not {before.index_key, before.data_public, before.meta_public} & {
        after.index_key,
        after.data_public,
        after.meta_public,
    }
    assert before == keys.domain("web1", 1)


def test_a_revoked_key_opens_nothing_that_came_after() -> None:
    made = make()
    revoke_recipient(made.admin, "paper 2", single_key_accepted=True)
    rotate_domain(made.admin, made.created.domain_keys)
    keys = made.unlocked(1)
    assert (("web1", 2),) == keys.closed
    with pytest.raises(NoMatchingKeyError):
        keys.domain("web1", 2)
    assert () == made.unlocked(0).closed


def test_a_revoked_key_opens_nothing_once_old_copies_are_dropped() -> None:
    made = make()
    trust = revoke_recipient(made.admin, "paper 2", single_key_accepted=True)
    reseal(made.admin, made.unlocked(0))
    assert (NAME,) == drop_old_copies(made.backend, trust)
    assert made.created.domain_keys == made.unlocked(0).domain("web1", 1)
    with pytest.raises(NoMatchingKeyError, match="'paper 2' \\(words, revoked\\)"):
        made.unlocked(1)


def test_a_new_recovery_key_opens_old_epochs() -> None:
    made = make()
    rotate_domain(made.admin, made.created.domain_keys)
    new = NewRecipient(label="safe", form="file", public=recipients.public_key(b"n" * 32))
    _, resealed = add_recipient(made.admin, made.unlocked(), new)
    assert (layout.bundle("web1", 1, 1), layout.bundle("web1", 2, 1)) == resealed.written
    assert made.unlocked().epochs == unlock(made.backend, made.trust, b"n" * 32).epochs


def test_a_bundle_of_another_domain_under_this_name_is_damage() -> None:
    made = make()
    made.admin.put_bundle(new_epoch("db1", 1, seeded(9)))
    made.replace(NAME, made.backend.get(layout.bundle("db1", 1)))
    keys = made.unlocked()
    assert ("db1",) == tuple(epoch.keys.domain for epoch in keys.epochs)
    assert 1 == len(keys.damaged)
    assert "holds domain db1" in keys.damaged[0]


def test_a_bundle_of_another_vault_of_the_same_admin_is_damage() -> None:
    made = make()
    forge(made, msgspec.structs.replace(body_of(made), vault_id=b"o" * 16))
    with pytest.raises(CorruptObjectError, match="belongs to vault"):
        made.unlocked()


def test_a_bundle_that_a_stranger_signed_is_damage() -> None:
    made = make()
    stranger = signing.Signer(b"s" * 32)
    made.replace(NAME, sign_object(BUNDLE, body_of(made), stranger))
    with pytest.raises(CorruptObjectError, match="no valid signature"):
        made.unlocked()


def test_a_truncated_bundle_is_damage_and_a_snapshot_copy_mends_it() -> None:
    made = make()
    whole = made.backend.get(NAME)
    made.replace(NAME, whole[:-1])
    with pytest.raises(CorruptObjectError, match="'paper 1' is right"):
        made.unlocked()
    keys = unlock(made.backend, made.trust, made.seed(), copies=[b"rubbish", whole])
    assert made.created.domain_keys == keys.domain("web1", 1)
    assert 2 == len(keys.damaged)


def test_a_missing_bundle_is_mended_by_a_copy_of_its_domain_only() -> None:
    made = make()
    whole = made.backend.get(NAME)
    made.backend.delete(NAME)
    with pytest.raises(CorruptObjectError, match="none is there"):
        made.unlocked()
    assert 1 == len(unlock(made.backend, made.trust, made.seed(), copies=[whole]).epochs)
    with pytest.raises(CorruptObjectError):
        unlock(made.backend, made.trust, made.seed(), domain="db1", copies=[whole])


def test_an_older_copy_serves_when_the_newest_is_damaged() -> None:
    made = make()
    new = NewRecipient(label="safe", form="file", public=recipients.public_key(b"n" * 32))
    add_recipient(made.admin, made.unlocked(), new)
    made.replace(layout.bundle("web1", 1, 1), b"rubbish")
    assert made.created.domain_keys == made.unlocked().domain("web1", 1)


def test_secrets_that_differ_from_the_commitment_are_refused() -> None:
    made = make()
    forge(made, msgspec.structs.replace(body_of(made), commitment=b"c" * 32))
    with pytest.raises(CorruptObjectError, match="commits to"):
        made.unlocked()


def test_seeds_that_do_not_give_the_public_keys_are_refused() -> None:
    made = make()
    body = body_of(made)
    forge(made, msgspec.structs.replace(body, data_public=body.meta_public))
    with pytest.raises(CorruptObjectError, match="do not belong to its public keys"):
        made.unlocked()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sealed: sealed[:-1], "bytes sealed"),
        (lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]), "does not open"),
    ],
    ids=["short", "flipped"],
)
def test_damaged_secrets_are_refused(change: object, message: str) -> None:
    assert callable(change)
    made = make()
    body = body_of(made)
    sealed = tuple(SealedTo(key_id=slot.key_id, sealed=change(slot.sealed)) for slot in body.sealed)
    forge(made, msgspec.structs.replace(body, sealed=sealed))
    with pytest.raises(CorruptObjectError, match=message):
        made.unlocked()


def test_secrets_of_another_epoch_do_not_open_here() -> None:
    made = make()
    rotate_domain(made.admin, made.created.domain_keys)
    second = body_of(made, layout.bundle("web1", 2))
    forge(made, msgspec.structs.replace(second, epoch=1))
    assert ((1, "bundle of domain web1 epoch 1"),) == tuple(
        (len(made.unlocked().damaged), text[:29]) for text in made.unlocked().damaged
    )


def test_other_names_beside_the_bundles_are_ignored() -> None:
    made = make()
    made.backend.put(f"{layout.BUNDLES}web1/notes", b"kept by a person")
    assert () == made.unlocked().damaged


def test_the_newest_bundle_is_the_newest_copy_of_the_newest_epoch() -> None:
    made = make()
    assert 1 == newest_bundle(made.backend, made.trust, "web1").body.epoch
    rotate_domain(made.admin, made.created.domain_keys)
    new = NewRecipient(label="safe", form="file", public=recipients.public_key(b"n" * 32))
    add_recipient(made.admin, made.unlocked(), new)
    newest = newest_bundle(made.backend, made.trust, "web1")
    assert (2, 1) == (newest.body.epoch, newest.copy)
    assert made.backend.get(layout.bundle("web1", 2, 1)) == newest.raw


def test_a_domain_without_bundles_has_no_newest() -> None:
    made = make()
    with pytest.raises(KeyringError, match="none is there"):
        newest_bundle(made.backend, made.trust, "db1")


def test_a_host_finds_the_index_keys_of_its_epochs() -> None:
    made = make()
    past = made.created.domain_keys
    current = rotate_domain(made.admin, past)
    keys = HostKeys(
        vault_id=made.trust.vault_id,
        host="web1",
        signer=signing.Signer(b"h" * 32),
        current=current,
        past=(past,),
    )
    assert current.index_key == keys.index_key("web1", 2)
    assert past.index_key == keys.index_key("web1", 1)
    with pytest.raises(KeyringError):
        keys.index_key("web1", 3)


def test_a_keeper_finds_the_index_keys_that_it_was_given() -> None:
    keys = KeeperKeys(
        vault_id=b"v" * 16,
        name="keeper",
        signer=signing.Signer(b"k" * 32),
        index_keys=(IndexKey(domain="web1", epoch=1, index_key=b"i" * 32),),
    )
    assert b"i" * 32 == keys.index_key("web1", 1)
    with pytest.raises(KeyringError):
        keys.index_key("web1", 2)


def test_keys_survive_being_held() -> None:
    keys = make().created.domain_keys
    assert keys == from_held(to_held(keys))


def test_no_secret_shows_itself() -> None:
    made = make()
    domain = made.created.domain_keys
    (epoch,) = made.unlocked().epochs
    secrets = (
        domain.chunk_id_key,
        domain.index_key,
        domain.chunker_key,
        epoch.data_seed,
        epoch.meta_seed,
        *(key.seed.reveal() for key in made.created.keys),
    )
    shown = repr(made.created) + repr(epoch) + repr(made.created.sheets)
    assert [] == [
        secret for secret in secrets if repr(secret)[2:-1] in shown or secret.hex() in shown
    ]
    assert not any(sheet.words[0] + "'" in shown for sheet in made.created.sheets)


def test_a_bundle_is_sealed_to_each_recipient_once() -> None:
    made = make()
    epoch = made.unlocked().epochs[0]
    publics = [grant.public for grant in made.trust.recipients]
    body = seal_bundle(made.trust.vault_id, epoch, publics, created_ns=5)
    assert [recipients.key_id(public) for public in publics] == [
        slot.key_id for slot in body.sealed
    ]
    assert len(PAPER) == len(PLAN.recovery) == len(body.sealed)
