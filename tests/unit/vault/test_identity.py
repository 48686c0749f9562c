from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.unit.vault.making import Made, make
from vaultd.backends.local import LocalBackend
from vaultd.core.errors import BrokenChainError, KeyringError
from vaultd.crypto import recovery
from vaultd.crypto.secret import Secret
from vaultd.vault import layout
from vaultd.vault.ceremony import keep_created
from vaultd.vault.changes import revoke_recipient, rotate_domain
from vaultd.vault.identity import (
    KeyPaths,
    find_identity,
    known_identities,
    make_identity,
    recognise,
)

FILES = ("pin.json", "host.json", "host.key", "keeper.json", "keeper.key")


@pytest.fixture
def made() -> Made:
    return make()


@pytest.fixture
def state(made: Made, tmp_path: Path) -> Path:
    keep_created(made.created, tmp_path / "state")
    return tmp_path / "state"


def folder_of(made: Made, state: Path) -> Path:
    return state / made.trust.vault_id.hex()


def use_all(state: Path, made: Made) -> None:
    """Read every file of an identity."""
    identity = find_identity(state, made.trust.vault_id)
    identity.host_keys()
    identity.keeper_keys()


def test_an_identity_is_found_again(made: Made, state: Path) -> None:
    identity = find_identity(state, made.trust.vault_id)
    assert ("web1", "keeper", "memory") == (identity.host, identity.keeper, identity.location)
    assert made.trust.pin == identity.pin
    assert made.created.domain_keys == identity.host_keys().current
    assert {} == identity.key_tests


def test_all_is_for_the_owner_only(made: Made, state: Path) -> None:
    folder = folder_of(made, state)
    assert sorted(FILES) == sorted(path.name for path in folder.iterdir())
    assert 0o700 == folder.stat().st_mode & 0o777
    assert {0o600} == {path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_a_machine_that_knows_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="knows no vault 61616161"):
        find_identity(tmp_path, b"a" * 16)
    assert () == known_identities(tmp_path / "missing")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
@pytest.mark.parametrize("name", FILES)
def test_files_that_others_can_read_are_refused(
    made: Made, state: Path, name: str, mode: int
) -> None:
    path = folder_of(made, state) / name
    path.chmod(mode)
    with pytest.raises(KeyringError, match="lets others") as caught:
        use_all(state, made)
    assert caught.value.hint is not None
    assert f"chmod 600 {path}" in caught.value.hint


def test_a_folder_that_others_can_enter_is_refused(made: Made, state: Path) -> None:
    folder_of(made, state).chmod(0o755)
    with pytest.raises(KeyringError, match="mode 0755") as caught:
        find_identity(state, made.trust.vault_id)
    assert caught.value.hint is not None
    assert "chmod 700" in caught.value.hint


@pytest.mark.parametrize("name", ["host.json", "keeper.json", "pin.json"])
@pytest.mark.parametrize("contents", [b"", b"{}", b"\xff", b"[" * 100_000, b'{"v": 2}'])
def test_damaged_files_are_told(made: Made, state: Path, name: str, contents: bytes) -> None:
    (folder_of(made, state) / name).write_bytes(contents)
    with pytest.raises(KeyringError, match=name):
        use_all(state, made)


def test_an_identity_of_another_vault_under_this_name_is_refused(made: Made, state: Path) -> None:
    other = state / ("61" * 16)
    folder_of(made, state).rename(other)
    with pytest.raises(KeyringError, match="expected 61616161"):
        find_identity(state, b"a" * 16)


def test_a_machine_that_is_no_host_or_keeper_says_so(made: Made, tmp_path: Path) -> None:
    identity = make_identity(tmp_path, made.trust, "memory")
    assert (None, None) == (identity.host, identity.keeper)
    with pytest.raises(KeyringError, match="not a host"):
        identity.host_keys()
    with pytest.raises(KeyringError, match="not a keeper"):
        identity.keeper_keys()
    identity.add_keys(made.created.domain_keys)
    assert (None, None) == (identity.host, identity.keeper)


def test_a_missing_signing_key_is_told(made: Made, state: Path) -> None:
    (folder_of(made, state) / "host.key").unlink()
    with pytest.raises(KeyringError, match="signing key of this host is not there"):
        find_identity(state, made.trust.vault_id).host_keys()


def test_a_signing_key_may_lie_elsewhere_for_the_group_of_the_daemon(
    made: Made, state: Path, tmp_path: Path
) -> None:
    paths = {}
    for role in ("host", "keeper"):
        paths[role] = tmp_path / f"{role}-credential"
        (folder_of(made, state) / f"{role}.key").rename(paths[role])
        paths[role].chmod(0o440)
    key_paths = KeyPaths(host=paths["host"], keeper=paths["keeper"])
    identity = find_identity(state, made.trust.vault_id, key_paths=key_paths)
    assert made.trust.host_keys("web1", 1) == [identity.host_keys().signer.public]
    assert made.trust.keeper_keys() == [identity.keeper_keys().signer.public]
    paths["host"].chmod(0o444)
    with pytest.raises(KeyringError, match="lets others"):
        identity.host_keys()


@pytest.mark.parametrize(
    ("key_type", "vault"),
    [(recovery.KeyType.ADMIN, None), (recovery.KeyType.HOST, "61" * 16)],
    ids=["admin key", "another vault"],
)
def test_a_key_file_of_something_else_is_refused(
    made: Made, state: Path, key_type: recovery.KeyType, vault: str | None
) -> None:
    facts = recovery.KeyFacts(
        type=key_type, vault=vault or made.trust.vault_id.hex(), label="host web1"
    )
    text = recovery.write_key_file(b"k" * 32, None, facts, random=bytes)
    (folder_of(made, state) / "host.key").write_text(text)
    with pytest.raises(KeyringError, match="expected a host key"):
        find_identity(state, made.trust.vault_id).host_keys()


def test_a_pin_moves_forward_only(made: Made, state: Path) -> None:
    old = made.trust
    identity = find_identity(state, old.vault_id)
    assert identity is identity.advance_pin(old)
    new = revoke_recipient(made.admin, "paper 1", single_key_accepted=True)
    moved = identity.advance_pin(new)
    assert new.pin == moved.pin == find_identity(state, old.vault_id).pin
    assert new.pin == moved.advance_pin(old).pin


def test_a_pin_takes_no_other_vault(made: Made, state: Path) -> None:
    identity = find_identity(state, made.trust.vault_id)
    with pytest.raises(KeyringError, match="cannot remember vault"):
        identity.advance_pin(make(seed=2).trust)


def test_moving_the_pin_touches_no_secret(made: Made, state: Path) -> None:
    folder = folder_of(made, state)
    before = {name: (folder / name).stat().st_ino for name in FILES}
    identity = find_identity(state, made.trust.vault_id)
    identity.advance_pin(revoke_recipient(made.admin, "paper 1", single_key_accepted=True))
    after = {name: (folder / name).stat().st_ino for name in FILES}
    assert ["pin.json"] == [name for name in FILES if before[name] != after[name]]


def test_an_identity_made_twice_keeps_its_newer_pin(made: Made, state: Path) -> None:
    old = made.trust
    new = revoke_recipient(made.admin, "paper 1", single_key_accepted=True)
    assert new.pin == make_identity(state, new, "memory").pin
    assert new.pin == make_identity(state, old, "memory").pin


def test_an_identity_is_not_made_over_other_admin_keys(made: Made, state: Path) -> None:
    path = folder_of(made, state) / "pin.json"
    text = json.loads(path.read_text())
    text["admin_keys"] = ["A" * 43 + "="]
    path.write_text(json.dumps(text))
    with pytest.raises(BrokenChainError):
        make_identity(state, made.trust, "memory")


def test_a_rotated_domain_is_learned_by_host_and_keeper(made: Made, state: Path) -> None:
    identity = find_identity(state, made.trust.vault_id)
    newest = rotate_domain(made.admin, made.created.domain_keys)
    identity.add_keys(newest)
    identity.add_keys(newest)
    keys = identity.host_keys()
    assert (newest, (made.created.domain_keys,)) == (keys.current, keys.past)
    assert newest.index_key == identity.keeper_keys().index_key("web1", 2)
    assert 2 == len(identity.keeper_keys().index_keys)


def test_dates_of_key_tests_are_remembered(made: Made, state: Path) -> None:
    identity = find_identity(state, made.trust.vault_id)
    identity.record_test("paper 1", 5)
    identity.record_test("paper 2", 6)
    identity.record_test("paper 1", 7)
    assert {"paper 1": 7, "paper 2": 6} == identity.key_tests


def test_a_known_vault_is_recognised_and_its_news_remembered(made: Made, state: Path) -> None:
    revoke_recipient(made.admin, "paper 1", single_key_accepted=True)
    trust, identity = recognise(made.backend, state)
    assert identity is not None
    assert 2 == trust.policy.number == identity.pin.policy_number
    assert 2 == find_identity(state, made.trust.vault_id).pin.policy_number


def test_a_vault_met_for_the_first_time_has_no_identity(made: Made, tmp_path: Path) -> None:
    trust, identity = recognise(made.backend, tmp_path)
    assert (made.trust, None) == (trust, identity)


def test_a_known_vault_that_was_rolled_back_is_not_recognised(made: Made, state: Path) -> None:
    revoke_recipient(made.admin, "paper 1", single_key_accepted=True)
    recognise(made.backend, state)
    made.backend.delete(layout.policy(2))
    with pytest.raises(BrokenChainError, match="rolled back"):
        recognise(made.backend, state)


def test_another_vault_where_one_was_known_is_not_recognised(made: Made, state: Path) -> None:
    with pytest.raises(BrokenChainError, match="was replaced"):
        recognise(make(seed=2).backend, state)


def test_another_vault_at_another_place_is_met_for_the_first_time(
    state: Path, tmp_path: Path
) -> None:
    other = make(seed=2, backend=LocalBackend(tmp_path / "vault", create=True))
    assert (other.trust, None) == recognise(other.backend, state)


def test_a_vault_is_recognised_though_the_identity_of_another_is_damaged(
    made: Made, state: Path
) -> None:
    other = keep_created(make(seed=2).created, state)
    (other.folder / "pin.json").write_bytes(b"damaged")
    _, identity = recognise(made.backend, state)
    assert identity is not None


def test_key_paths_reach_a_recognised_identity(made: Made, state: Path, tmp_path: Path) -> None:
    paths = KeyPaths(host=tmp_path / "gone")
    _, identity = recognise(made.backend, state, key_paths=paths)
    assert identity is not None
    with pytest.raises(KeyringError, match="gone"):
        identity.host_keys()


def test_two_vaults_live_side_by_side(made: Made, state: Path, tmp_path: Path) -> None:
    other = make(seed=2)
    keep_created(other.created, state)
    (state / "notes").mkdir()
    (state / ("62" * 16)).mkdir()
    ids = sorted([made.trust.vault_id, other.trust.vault_id])
    assert ids == [identity.vault_id for identity in known_identities(state)]


def test_nothing_is_left_beside_the_files(made: Made, state: Path) -> None:
    find_identity(state, made.trust.vault_id).record_test("paper 1", 5)
    assert [] == [name for name in os.listdir(folder_of(made, state)) if name.startswith(".")]


def test_a_host_keeps_its_key_when_none_is_given(made: Made, state: Path) -> None:
    identity = find_identity(state, made.trust.vault_id)
    before = identity.signing_seed("host")
    identity.keep_host("web1", None, ())
    assert before == identity.signing_seed("host")
    identity.keep_keeper("keeper", None, ())
    identity.keep_host("web1", Secret(b"n" * 32), ())
    assert Secret(b"n" * 32) == identity.signing_seed("host")
