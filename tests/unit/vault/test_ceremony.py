from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.vault.making import PAPER, PLAN, ToldClock, make, seeded
from vaultd.backends.base import Body
from vaultd.backends.local import LocalBackend
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import (
    BrokenChainError,
    ConfigError,
    NoMatchingKeyError,
    ObjectExistsError,
    StorageUnavailableError,
    VaultNotFoundError,
)
from vaultd.crypto import recipients, recovery, signing
from vaultd.vault import ceremony, layout
from vaultd.vault.ceremony import Created, RecoveryPlan, VaultPlan, create_vault, keep_created
from vaultd.vault.changes import revoke_recipient, rotate_domain
from vaultd.vault.trust import load_trust

OBJECTS = [layout.policy(1), layout.bundle("web1", 1), layout.VAULT]


def create(backend: MemoryBackend, *, seed: int = 1, discard: bool = False) -> Created:
    return create_vault(
        backend, PLAN, random=seeded(seed), clock=ToldClock(), discard_unfinished=discard
    )


def names(backend: MemoryBackend) -> list[str]:
    return [entry.name for entry in backend.list("")]


class StoppingBackend(MemoryBackend):
    """Fails at the n-th put, before or after its effect."""

    def __init__(self, at: int, *, after: bool = False) -> None:
        super().__init__()
        self.left = at
        self.after = after

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        self.left -= 1
        if self.left or self.after:
            super().put(name, body, sha256=sha256)
        if not self.left:
            raise StorageUnavailableError("stopped")


class RepeatingBackend(MemoryBackend):
    """Puts twice, as a retry does after an answer was lost."""

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        super().put(name, body, sha256=sha256)
        super().put(name, body, sha256=sha256)


def test_a_new_vault_is_three_objects() -> None:
    backend = MemoryBackend()
    created = create(backend)
    assert OBJECTS == names(backend)
    assert created.trust == load_trust(backend, pin=None)


def test_a_vault_in_a_folder_is_the_same(tmp_path: Path) -> None:
    made = make(backend=LocalBackend(tmp_path / "vault", create=True))
    assert made.created.domain_keys == made.unlocked().newest("web1")


def test_a_second_vault_in_one_place_is_refused() -> None:
    backend = MemoryBackend()
    create(backend)
    with pytest.raises(ObjectExistsError, match="a vault at memory already"):
        create(backend, seed=2, discard=True)
    assert OBJECTS == names(backend)


def test_a_place_with_other_objects_is_refused_and_left_alone() -> None:
    backend = MemoryBackend()
    backend.put("packs/web1/0000000001/aa", b"data of a vault without vault.json")
    with pytest.raises(ObjectExistsError, match="packs/web1"):
        create(backend, discard=True)
    assert ["packs/web1/0000000001/aa"] == names(backend)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_ceremony_that_broke_off_made_no_vault_or_the_whole_one(at: int, *, after: bool) -> None:
    backend = StoppingBackend(at, after=after)
    with pytest.raises(StorageUnavailableError):
        create(backend)
    whole = (at, after) == (3, True)
    if not whole:
        with pytest.raises(VaultNotFoundError):
            load_trust(backend, pin=None)
        if names(backend):
            with pytest.raises(ObjectExistsError, match="broke off"):
                create(backend, seed=2)
        create(backend, seed=2, discard=True)
    assert OBJECTS == names(backend)
    assert "web1" == load_trust(backend, pin=None).host_domain("web1")


def test_a_put_that_was_done_twice_is_no_conflict() -> None:
    assert 1 == create(RepeatingBackend()).trust.policy.number


class RacingBackend(MemoryBackend):
    """Lets another ceremony run before the n-th put of this one."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        self.left -= 1
        if not self.left:
            create(self, seed=2, discard=True)
        super().put(name, body, sha256=sha256)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_of_two_ceremonies_at_one_place_one_fails_and_one_vault_is_whole(at: int) -> None:
    backend = RacingBackend(at)
    with pytest.raises(BrokenChainError, match="another one runs"):
        create(backend, seed=1)
    trust = load_trust(backend, pin=None)
    other = create(MemoryBackend(), seed=2)
    assert other.trust.vault_id == trust.vault_id


class VanishingBackend(MemoryBackend):
    """Loses what was put before the commit, as when another ceremony discards it."""

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        super().put(name, body, sha256=sha256)
        if name.startswith(layout.BUNDLES):
            self.delete(layout.policy(1))


def test_no_vault_is_committed_when_its_keys_are_gone() -> None:
    backend = VanishingBackend()
    with pytest.raises(BrokenChainError):
        create(backend)
    assert layout.VAULT not in names(backend)


def test_keys_are_kept_before_anything_is_put() -> None:
    backend = MemoryBackend()
    kept: list[tuple[int, list[str]]] = []

    def keep(created: Created) -> None:
        kept.append((len(created.keys), names(backend)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_vault(backend, PLAN, random=seeded(), clock=ToldClock(), keep=keep)
    assert [(3, [])] == kept
    assert [] == names(backend)


def test_a_created_vault_makes_this_machine_host_and_keeper(tmp_path: Path) -> None:
    made = make()
    identity = keep_created(made.created, tmp_path)
    host, keeper = identity.host_keys(), identity.keeper_keys()
    assert made.trust.host_keys("web1", 1) == [host.signer.public]
    assert made.trust.keeper_keys("keeper") == [keeper.signer.public]
    assert made.created.domain_keys == host.current
    assert host.current.index_key == keeper.index_key("web1", 1)


def test_sheets_hold_the_words_of_every_key() -> None:
    made = make()
    sheets = made.created.sheets
    assert ["paper 1", "paper 2", "admin"] == [sheet.label for sheet in sheets]
    for key, sheet in zip(made.created.keys, sheets, strict=True):
        assert key.seed.reveal() == recovery.from_words(" ".join(sheet.words))
    assert {made.trust.fingerprints} == {sheet.fingerprints for sheet in sheets}
    assert {made.trust.vault_id.hex()} == {sheet.vault_id for sheet in sheets}


def test_another_domain_and_keeper_can_be_chosen() -> None:
    plan = replace(PLAN, domain="web-farm", keeper="house")
    trust = make(plan).trust
    assert "web-farm" == trust.host_domain("web1")
    assert 1 == len(trust.keeper_keys("house"))


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "Web1"},
        {"host": ""},
        {"host": "a" * 41},
        {"domain": "a/b"},
        {"keeper": "-k"},
        {"pack_bytes": 1},
        {"pack_bytes": 1 << 30},
        {"recovery": PAPER[:1]},
        {"recovery": ()},
        {"recovery": (), "single_key_accepted": True},
        {"recovery": (PAPER[0], PAPER[0])},
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(PLAN, **changes)


def test_one_recovery_key_is_enough_for_those_who_accept_it() -> None:
    plan = VaultPlan(label="x", host="web1", recovery=PAPER[:1], single_key_accepted=True)
    assert 1 == len(make(plan).trust.recipients)


@pytest.mark.parametrize(
    "key", [RecoveryPlan(label="a", form="stone"), RecoveryPlan(label="a\n", form="file")]
)
def test_a_recovery_key_of_no_known_form_is_refused_before_anything_is_put(
    key: RecoveryPlan,
) -> None:
    backend = MemoryBackend()
    plan = replace(PLAN, recovery=(PAPER[0], key))
    with pytest.raises(ConfigError):
        make(plan, backend=backend)
    assert [] == names(backend)


def test_a_key_test_opens_a_canary_and_remembers_the_date(tmp_path: Path) -> None:
    made = make()
    identity = keep_created(made.created, tmp_path)
    made.clock.sleep(60)
    result = ceremony.test_key(
        made.backend,
        made.trust,
        made.seed(1),
        identity=identity,
        random=made.random,
        clock=made.clock,
    )
    assert ("paper 2", (("web1", 1),), (), ()) == (
        result.label,
        result.opened,
        result.closed,
        result.damaged,
    )
    assert {"paper 2": made.clock.now_ns()} == identity.key_tests


def test_a_key_test_tells_what_a_revoked_key_no_longer_opens() -> None:
    made = make()
    revoke_recipient(made.admin, "paper 2", single_key_accepted=True)
    rotate_domain(made.admin, made.created.domain_keys)
    result = ceremony.test_key(
        made.backend, made.trust, made.seed(1), identity=None, random=made.random, clock=made.clock
    )
    assert ((("web1", 1),), (("web1", 2),)) == (result.opened, result.closed)


def test_a_key_test_with_a_strange_key_fails() -> None:
    made = make()
    with pytest.raises(NoMatchingKeyError):
        ceremony.test_key(
            made.backend, made.trust, b"w" * 32, identity=None, random=made.random, clock=made.clock
        )


def test_public_halves_in_the_policy_are_those_of_the_keys() -> None:
    made = make()
    *recovery_keys, admin = made.created.keys
    assert [recipients.public_key(key.seed.reveal()) for key in recovery_keys] == [
        grant.public for grant in made.trust.recipients
    ]
    assert (signing.Signer(admin.seed.reveal()).public,) == made.trust.vault.admin_keys
