from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.unit.vault.making import Made, make
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import (
    BrokenChainError,
    CorruptObjectError,
    IntegrityError,
    KeyringError,
    MalformedObjectError,
    UnsupportedVersionError,
    VaultNotFoundError,
)
from vaultd.crypto import hashing, signing
from vaultd.format.keys import HostGrant, PolicyBody, encode_vault_json
from vaultd.format.signed import INTENT, LOG, POLICY, VAULT, Signature, encode_signed
from vaultd.vault import layout
from vaultd.vault.changes import revoke_host
from vaultd.vault.trust import Pin, load_trust, open_object, read_vault, sign_object

STRANGER = signing.Signer(b"s" * 32)


def next_body(made: Made, **changes: object) -> PolicyBody:
    trust = made.trust
    body = msgspec.structs.replace(
        trust.policy, number=trust.policy.number + 1, previous=trust.policy_sha256
    )
    return msgspec.structs.replace(body, **changes)


def with_policies(count: int) -> Made:
    made = make()
    for number in range(2, count + 1):
        made.policy(next_body(made, created_ns=number))
    return made


def test_a_new_vault_is_trusted_by_its_own_pin() -> None:
    made = make()
    trust = load_trust(made.backend, pin=made.created.trust.pin)
    assert made.created.trust == trust
    assert made.created.trust.vault_id == trust.vault_id
    assert ("web1",) == tuple(grant.host for grant in trust.policy.hosts)


def test_a_place_without_a_vault_is_named() -> None:
    with pytest.raises(VaultNotFoundError, match="no vault at memory") as caught:
        load_trust(MemoryBackend(), pin=None)
    assert caught.value.hint is not None


def test_the_newest_policy_of_a_chain_counts() -> None:
    made = with_policies(4)
    assert 4 == made.trust.policy.number


def test_a_pin_follows_the_chain_from_where_it_was_set() -> None:
    made = with_policies(2)
    pin = made.trust.pin
    made.policy(next_body(made))
    assert 3 == load_trust(made.backend, pin=pin).policy.number


def test_policies_before_the_pin_are_not_read_again() -> None:
    made = with_policies(3)
    pin = made.trust.pin
    made.replace(layout.policy(1), b"rubbish")
    assert 3 == load_trust(made.backend, pin=pin).policy.number
    with pytest.raises(MalformedObjectError):
        load_trust(made.backend, pin=None)


def test_another_vault_at_the_same_place_is_noticed() -> None:
    pin = make(seed=1).trust.pin
    with pytest.raises(BrokenChainError, match="replaced"):
        load_trust(make(seed=2).backend, pin=pin)


def test_a_description_with_a_second_admin_key_is_noticed() -> None:
    made = make()
    vault = msgspec.structs.replace(
        made.trust.vault, admin_keys=(*made.trust.vault.admin_keys, STRANGER.public)
    )
    forged = sign_object(VAULT, vault, STRANGER)
    made.replace(layout.VAULT, encode_vault_json(forged, vault_id=vault.vault_id))
    with pytest.raises(BrokenChainError, match="replaced"):
        load_trust(made.backend, pin=made.created.trust.pin)


def test_a_description_that_no_admin_key_of_its_own_signed_is_refused() -> None:
    made = make()
    forged = sign_object(VAULT, made.trust.vault, STRANGER)
    made.replace(layout.VAULT, encode_vault_json(forged, vault_id=made.trust.vault_id))
    with pytest.raises(CorruptObjectError):
        read_vault(made.backend)


def test_a_rollback_below_the_pin_is_noticed() -> None:
    made = with_policies(3)
    pin = made.trust.pin
    made.backend.delete(layout.policy(3))
    with pytest.raises(BrokenChainError, match="number 2, expected 3"):
        load_trust(made.backend, pin=pin)


def test_a_rewritten_policy_under_a_pinned_number_is_noticed() -> None:
    made = with_policies(2)
    pin = made.trust.pin
    body = msgspec.structs.replace(made.trust.policy, min_age_days=0)
    made.replace(layout.policy(2), sign_object(POLICY, body, made.signer))
    with pytest.raises(BrokenChainError, match="hash"):
        load_trust(made.backend, pin=pin)


def test_a_vault_without_policies_is_refused() -> None:
    made = make()
    made.backend.delete(layout.policy(1))
    with pytest.raises(BrokenChainError, match="number 0"):
        load_trust(made.backend, pin=None)


def test_a_gap_in_the_chain_is_refused() -> None:
    made = with_policies(3)
    made.backend.delete(layout.policy(2))
    with pytest.raises(BrokenChainError, match="policy 2 of 3 is missing"):
        load_trust(made.backend, pin=None)


@pytest.mark.parametrize(
    "changes",
    [{"previous": b"x" * 32}, {"previous": b""}],
    ids=["another", "none"],
)
def test_a_policy_that_follows_another_one_is_refused(changes: dict[str, object]) -> None:
    made = make()
    made.policy(next_body(made, **changes))
    with pytest.raises(BrokenChainError, match="follows"):
        load_trust(made.backend, pin=None)


def test_a_first_policy_that_follows_something_is_refused() -> None:
    made = make()
    body = msgspec.structs.replace(made.trust.policy, previous=b"x" * 32)
    made.replace(layout.policy(1), sign_object(POLICY, body, made.signer))
    with pytest.raises(BrokenChainError, match="expected nothing"):
        load_trust(made.backend, pin=None)


def test_a_policy_that_a_stranger_signed_is_refused() -> None:
    made = make()
    made.policy(next_body(made), STRANGER)
    with pytest.raises(CorruptObjectError, match="no valid signature"):
        load_trust(made.backend, pin=made.created.trust.pin)


def test_a_policy_of_another_vault_of_the_same_admin_is_refused() -> None:
    made = make()
    made.policy(next_body(made, vault_id=b"o" * 16))
    with pytest.raises(CorruptObjectError, match="expected 2 of"):
        load_trust(made.backend, pin=None)


def test_a_policy_under_another_number_is_refused() -> None:
    made = make()
    body = next_body(made, number=7)
    made.backend.put(layout.policy(2), sign_object(POLICY, body, made.signer))
    with pytest.raises(CorruptObjectError, match="holds policy 7"):
        load_trust(made.backend, pin=None)


def test_other_names_beside_the_policies_are_ignored() -> None:
    made = make()
    made.backend.put(f"{layout.POLICIES}notes.txt", b"kept by a person")
    assert 1 == made.trust.policy.number


@pytest.mark.parametrize("name", [layout.VAULT, layout.policy(1)])
def test_a_truncated_object_is_refused(name: str) -> None:
    whole = make().backend.get(name)
    for length in range(0, len(whole), 37):
        made = make()
        made.replace(name, whole[:length])
        with pytest.raises(IntegrityError):
            load_trust(made.backend, pin=None)


def test_a_flipped_bit_in_a_policy_is_refused() -> None:
    whole = make().backend.get(layout.policy(1))
    for at in range(0, len(whole), 101):
        made = make()
        made.replace(layout.policy(1), whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IntegrityError):
            load_trust(made.backend, pin=None)


def test_a_vault_of_a_newer_version_says_so() -> None:
    made = make()
    text = made.backend.get(layout.VAULT).replace(b'"vaultd_format": 1', b'"vaultd_format": 2')
    made.replace(layout.VAULT, text)
    with pytest.raises(UnsupportedVersionError):
        load_trust(made.backend, pin=None)


def test_an_endless_object_is_not_read_to_its_end() -> None:
    made = make()
    made.replace(layout.VAULT, b" " * (1 << 20))
    with pytest.raises(MalformedObjectError, match="at most"):
        load_trust(made.backend, pin=None)


def test_a_host_key_counts_from_its_first_to_its_last_session() -> None:
    made = make()
    key = made.trust.host_keys("web1", 1)
    revoke_host(made.admin, "web1", last_seq=5)
    trust = made.trust
    assert key == trust.host_keys("web1", 5)
    assert [] == trust.host_keys("web1", 6)
    assert [] == trust.host_keys("web2", 1)


def test_a_replaced_host_key_counts_for_its_own_sessions_only() -> None:
    made = make()
    revoke_host(made.admin, "web1", last_seq=5)
    (old,) = made.trust.policy.hosts
    new = HostGrant(host="web1", verify_key=STRANGER.public, domain="web1", from_seq=6, until_seq=0)
    made.admin.put_policy(hosts=(old, new))
    trust = made.trust
    assert [old.verify_key] == trust.host_keys("web1", 5)
    assert [STRANGER.public] == trust.host_keys("web1", 6)


def test_the_domain_of_a_host_is_known_and_a_stranger_has_none() -> None:
    trust = make().trust
    assert "web1" == trust.host_domain("web1")
    with pytest.raises(KeyringError, match="enrolled: web1"):
        trust.host_domain("web9")


def test_keepers_are_told_by_name() -> None:
    trust = make().trust
    assert 1 == len(trust.keeper_keys())
    assert trust.keeper_keys() == trust.keeper_keys("keeper")
    assert [] == trust.keeper_keys("other")


@pytest.mark.parametrize(
    "spelling",
    [str, str.upper, lambda text: text.replace("-", " "), lambda text: f" {text}\n"],
    ids=["plain", "upper", "spaces", "around"],
)
def test_a_fingerprint_is_compared_as_people_write_it(spelling: Callable[[str], str]) -> None:
    trust = make().trust
    trust.expect_fingerprint(spelling(trust.fingerprints[0]))


def test_another_fingerprint_is_refused() -> None:
    made = make()
    with pytest.raises(BrokenChainError, match="expected"):
        made.trust.expect_fingerprint(signing.fingerprint(STRANGER.public))
    with pytest.raises(BrokenChainError):
        made.trust.expect_fingerprint("")


def test_a_signed_object_opens_with_one_of_the_keys() -> None:
    signer = signing.Signer(b"a" * 32)
    raw = sign_object(INTENT, b"body", signer)
    assert b"body" == open_object(INTENT, raw, [STRANGER.public, signer.public], what="x")


def test_one_right_signature_among_wrong_ones_is_enough() -> None:
    signer = signing.Signer(b"a" * 32)
    key_id = signing.key_id(signer.public)
    wrong = Signature(key_id=key_id, value=bytes(64))
    strange = Signature(
        key_id=signing.key_id(STRANGER.public), value=STRANGER.sign(INTENT.label, b"body")
    )
    right = Signature(key_id=key_id, value=signer.sign(INTENT.label, b"body"))
    raw = encode_signed(INTENT, b"body", (wrong, strange, right))
    assert b"body" == open_object(INTENT, raw, [signer.public], what="x")
    with pytest.raises(CorruptObjectError):
        open_object(
            INTENT, encode_signed(INTENT, b"body", (wrong, strange)), [signer.public], what="x"
        )


def test_a_signature_of_another_kind_does_not_count() -> None:
    signer = signing.Signer(b"a" * 32)
    value = signer.sign(LOG.label, b"body")
    moved = Signature(key_id=signing.key_id(signer.public), value=value)
    with pytest.raises(CorruptObjectError, match="signed by"):
        open_object(INTENT, encode_signed(INTENT, b"body", (moved,)), [signer.public], what="x")


def test_an_object_too_long_for_its_kind_is_not_signed() -> None:
    with pytest.raises(MalformedObjectError, match="to write"):
        sign_object(INTENT, bytes(INTENT.limit), STRANGER)


def test_a_pin_is_what_was_verified() -> None:
    made = make()
    raw = made.backend.get(layout.policy(1))
    expected = Pin(
        admin_keys=(made.signer.public,), policy_number=1, policy_sha256=hashing.sha256(raw)
    )
    assert expected == made.trust.pin
