"""The birth of a vault, and the rehearsal of its recovery keys.

Order of `create_vault`: all keys are drawn; the caller keeps them (`keep`), before anything depends
on them; the first policy is put, then the domain's bundle; ``vault.json`` is put, which is the
commit; all is read again. The policy has the same name in every ceremony and is created only when
absent, so that of two ceremonies at one place one stops at its first step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.clock import Clock
from vaultd.core.errors import (
    BrokenChainError,
    ConfigError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from vaultd.core.values import Veiled
from vaultd.crypto import hashing, recipients, signing
from vaultd.crypto.recovery import KeyType
from vaultd.crypto.secret import Secret
from vaultd.format.keys import (
    CHUNKER_GEAR,
    HostGrant,
    KeeperGrant,
    PolicyBody,
    RecipientGrant,
    VaultBody,
    encode_vault_json,
)
from vaultd.format.pack import MAX_PACK_BYTES
from vaultd.format.signed import BUNDLE, POLICY, VAULT
from vaultd.vault import contexts, layout
from vaultd.vault.bundles import OpenedEpoch, new_epoch, seal_bundle
from vaultd.vault.identity import HostIdentity, make_identity
from vaultd.vault.keyring import DomainKeys, IndexKey, ReadKeys, unlock
from vaultd.vault.sheets import PersonalKey, RecoverySheet, draw_key, sheet_of
from vaultd.vault.trust import Trust, load_trust, sign_object

PACK_BYTES = 32 << 20
MIN_AGE_DAYS = 14
_VAULT_ID_BYTES = 16
_LOOKED_AT = 1000
"""Names looked at to tell what a place holds; a ceremony that broke off leaves two."""

_MIN_PACK_BYTES, _MAX_PACK_BYTES = 1 << 20, MAX_PACK_BYTES - (16 << 20)


class RecoveryPlan(Struct, frozen=True, kw_only=True):
    """A recovery key to be drawn.

    Attributes:
        label: Tells it from the others.
        form: ``words`` (on paper) or ``file`` (under a passphrase).
    """

    label: str
    form: str


class VaultPlan(Struct, frozen=True, kw_only=True):
    """What a new vault shall be.

    Attributes:
        label: Its name for people.
        host: The first host: this machine.
        recovery: Recovery keys, at least two.
        domain: The first host's domain; the host's name when empty.
        keeper: Name of the first keeper: this machine.
        admin: Label of the admin key.
        pack_bytes: Length at which a pack is closed.
        min_age_days: No snapshot younger than this is forgotten by a rule.
        single_key_accepted: One recovery key is enough: its loss loses everything.

    Raises:
        ConfigError: A name or number cannot be used, or there are too few recovery keys.
    """

    label: str
    host: str
    recovery: tuple[RecoveryPlan, ...]
    domain: str = ""
    keeper: str = "keeper"
    admin: str = "admin"
    pack_bytes: int = PACK_BYTES
    min_age_days: int = MIN_AGE_DAYS
    single_key_accepted: bool = False

    def __post_init__(self) -> None:
        check_name("host", self.host)
        check_name("keeper", self.keeper)
        check_name("domain", self.domain or self.host)
        if not _MIN_PACK_BYTES <= self.pack_bytes <= _MAX_PACK_BYTES:
            raise ConfigError(
                f"packs of {self.pack_bytes} bytes, expected {_MIN_PACK_BYTES} to {_MAX_PACK_BYTES}"
            )
        if len({plan.label for plan in self.recovery}) != len(self.recovery):
            raise ConfigError("two recovery keys have the same label")
        if len(self.recovery) < (1 if self.single_key_accepted else 2):
            raise ConfigError(
                f"{len(self.recovery)} recovery key planned, expected at least 2: "
                "who loses the only one loses every backup",
                hint="Plan a second recovery key, kept at another place.",
            )


class Created(Veiled, frozen=True, kw_only=True):
    """A new vault and every key of it.

    Attributes:
        trust: The vault as it is in force once it is published.
        location: Where it lies.
        host: Name of the first host.
        host_seed: Its signing key.
        keeper: Name of the first keeper.
        keeper_seed: Its signing key.
        domain_keys: Keys of the first domain.
        keys: Recovery keys, then the admin key: for people to keep.
        objects: What is put: names and bytes, the commit last.
    """

    trust: Trust
    location: str
    host: str
    host_seed: Secret
    keeper: str
    keeper_seed: Secret
    domain_keys: DomainKeys
    keys: tuple[PersonalKey, ...]
    objects: tuple[tuple[str, bytes], ...]

    @property
    def sheets(self) -> tuple[RecoverySheet, ...]:
        """What to print for each of `keys`."""
        return tuple(sheet_of(key, self.trust.vault, self.location) for key in self.keys)


class KeyTest(Struct, frozen=True, kw_only=True):
    """What a recovery key opened when it was tried.

    Attributes:
        label: Which key it is; empty when no policy names it.
        at_ns: When it was tried.
        opened: Domain and epoch of everything that it opens.
        closed: Domain and epoch of what it does not open.
        damaged: What is wrong with bundles.
    """

    label: str
    at_ns: int
    opened: tuple[tuple[str, int], ...]
    closed: tuple[tuple[str, int], ...]
    damaged: tuple[str, ...]


def create_vault(
    backend: Backend,
    plan: VaultPlan,
    *,
    random: Callable[[int], bytes],
    clock: Clock,
    keep: Callable[[Created], object] | None = None,
    discard_unfinished: bool = False,
) -> Created:
    """Make a vault in an empty place.

    Args:
        backend: The place.
        plan: What it shall be.
        random: Source of random bytes.
        clock: Says when it was made.
        keep: Stores keys and shows sheets, before anything is put; when it raises, nothing is.
            `keep_created` does the machine's part of it.
        discard_unfinished: Delete what a ceremony that broke off left there: it never held data.

    Raises:
        ObjectExistsError: There is a vault, or something else.
        BrokenChainError: Another ceremony ran there at the same time.
    """
    _clear_place(backend, discard=discard_unfinished)
    created = _draw(plan, backend.location, random, clock.now_ns())
    if keep is not None:
        keep(created)
    *keys, commit = created.objects
    for name, raw in keys:
        _put(backend, name, raw)
    for name, raw in keys:
        _check_ours(backend, name, raw)
    _put(backend, *commit)
    for name, raw in created.objects:
        _check_ours(backend, name, raw)
    load_trust(backend, pin=created.trust.pin)
    return created


def keep_created(created: Created, state_dir: Path) -> HostIdentity:
    """Make this machine the first host and keeper of a new vault.

    Raises:
        KeyringError: Its state folder cannot be written, or is open to others.
    """
    identity = make_identity(state_dir, created.trust, created.location)
    keys = created.domain_keys
    identity.keep_host(created.host, created.host_seed, (keys,))
    index_key = IndexKey(domain=keys.domain, epoch=keys.epoch, index_key=keys.index_key)
    identity.keep_keeper(created.keeper, created.keeper_seed, (index_key,))
    return identity


def test_key(
    backend: Backend,
    trust: Trust,
    seed: bytes,
    *,
    identity: HostIdentity | None,
    random: Callable[[int], bytes],
    clock: Clock,
) -> KeyTest:
    """Prove that a recovery key opens what hosts seal now, and remember the date.

    Args:
        backend: Where the vault lies.
        trust: Its trust.
        seed: The recovery key.
        identity: Where to remember the date; ``None`` to forget it.
        random: Source of random bytes.
        clock: Says when it was tried.

    Raises:
        NoMatchingKeyError: It opens nothing in this vault.
        CorruptObjectError: What it should open is damaged.
    """
    keys = unlock(backend, trust, seed)
    for epoch in keys.epochs:
        _open_canary(keys, epoch, random(hashing.HASH_BYTES))
    labels = {recipients.key_id(grant.public): grant.label for grant in trust.policy.recipients}
    result = KeyTest(
        label=labels.get(keys.key_id, ""),
        at_ns=clock.now_ns(),
        opened=tuple((epoch.keys.domain, epoch.keys.epoch) for epoch in keys.epochs),
        closed=keys.closed,
        damaged=keys.damaged,
    )
    if identity is not None and result.label:
        identity.record_test(result.label, result.at_ns)
    return result


def check_name(role: str, name: str) -> None:
    """Refuse a name of a host, keeper or domain that object names cannot hold.

    Raises:
        ConfigError: It breaks the rule.
    """
    if layout.HOST_NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{role} {name!r}: not a name that can stand in the vault",
            hint="Use 1 to 40 of a-z, 0-9 and hyphen, the first not a hyphen.",
        )


def _clear_place(backend: Backend, *, discard: bool) -> None:
    if any(entry.name == layout.VAULT for entry in backend.list(layout.VAULT)):
        raise ObjectExistsError(
            f"there is a vault at {backend.location} already",
            hint="Use it, or choose another place for the new one.",
        )
    if _lay_here(backend):
        raise ObjectExistsError(
            f"there was a vault at {backend.location}, and the bucket still has it beneath",
            hint="Bring it back with `vaultctl undelete --markers`, or choose another prefix.",
        )
    ours = (layout.BUNDLES, layout.POLICIES)
    names = [entry.name for entry in itertools.islice(backend.list(""), _LOOKED_AT)]
    strange = next((name for name in names if not name.startswith(ours)), None)
    if strange is not None:
        raise ObjectExistsError(
            f"{backend.location} is not empty: it holds {strange!r}, and no {layout.VAULT}",
            hint=f"Choose an empty place, or bring back {layout.VAULT} if this was a vault.",
        )
    if names and not discard:
        raise ObjectExistsError(
            f"{backend.location} holds {len(names)} key objects of a ceremony that broke off",
            hint="Check that nobody is making a vault there, then discard what is unfinished.",
        )
    for name in names:
        backend.delete(name)


def _lay_here(backend: Backend) -> bool:
    """Tell whether older versions of a vault's description are here: readers would believe them."""
    versions = backend.versions
    try:
        return versions is not None and any(
            one.name == layout.VAULT and not one.is_marker for one in versions.list(layout.VAULT)
        )
    except StorageError as error:  # who may not look beneath sees what everybody sees
        if error.retryable:
            raise
        return False


def _draw(plan: VaultPlan, location: str, random: Callable[[int], bytes], now_ns: int) -> Created:
    recovery = [draw_key(KeyType.RECOVERY, key.label, key.form, random) for key in plan.recovery]
    admin = draw_key(KeyType.ADMIN, plan.admin, "words", random)
    signer = signing.Signer(admin.seed.reveal())
    host_seed = Secret(random(signing.SEED_BYTES))
    keeper_seed = Secret(random(signing.SEED_BYTES))
    epoch = new_epoch(plan.domain or plan.host, 1, random)
    vault = VaultBody(
        vault_id=random(_VAULT_ID_BYTES),
        created_ns=now_ns,
        chunker=CHUNKER_GEAR,
        pack_bytes=plan.pack_bytes,
        admin_keys=(signer.public,),
        label=plan.label,
    )
    policy = PolicyBody(
        vault_id=vault.vault_id,
        number=1,
        previous=b"",
        created_ns=now_ns,
        hosts=(_host_grant(plan, epoch, host_seed),),
        keepers=(KeeperGrant(name=plan.keeper, verify_key=_public(keeper_seed)),),
        recipients=tuple(_recipient_grant(key, now_ns) for key in recovery),
        min_age_days=plan.min_age_days,
    )
    bundle = seal_bundle(vault.vault_id, epoch, [key.public for key in recovery], created_ns=now_ns)
    raw_policy = sign_object(POLICY, policy, signer)
    signed_vault = sign_object(VAULT, vault, signer)
    return Created(
        trust=Trust(vault=vault, policy=policy, policy_sha256=hashing.sha256(raw_policy)),
        location=location,
        host=plan.host,
        host_seed=host_seed,
        keeper=plan.keeper,
        keeper_seed=keeper_seed,
        domain_keys=epoch.keys,
        keys=(*recovery, admin),
        objects=(
            (layout.policy(1), raw_policy),
            (layout.bundle(epoch.keys.domain, 1), sign_object(BUNDLE, bundle, signer)),
            (layout.VAULT, encode_vault_json(signed_vault, vault_id=vault.vault_id)),
        ),
    )


def _host_grant(plan: VaultPlan, epoch: OpenedEpoch, seed: Secret) -> HostGrant:
    return HostGrant(
        host=plan.host,
        verify_key=_public(seed),
        domain=epoch.keys.domain,
        from_seq=1,
        until_seq=0,
    )


def _recipient_grant(key: PersonalKey, now_ns: int) -> RecipientGrant:
    return RecipientGrant(
        label=key.label, form=key.form, public=key.public, added_ns=now_ns, revoked=False
    )


def _public(seed: Secret) -> bytes:
    return signing.Signer(seed.reveal()).public


def _put(backend: Backend, name: str, raw: bytes) -> None:
    try:
        backend.put(name, raw)
    except ObjectExistsError:
        # A put without an answer was perhaps done: our own bytes are no conflict.
        _check_ours(backend, name, raw)


def _check_ours(backend: Backend, name: str, raw: bytes) -> None:
    try:
        found = backend.get(name)
    except ObjectNotFoundError:
        found = b""
    if found != raw:
        raise BrokenChainError(
            f"{name}: not what this ceremony wrote: another one runs at {backend.location}",
            hint="Find out who else makes a vault here, and agree on one place each.",
        )


def _open_canary(keys: ReadKeys, epoch: OpenedEpoch, canary: bytes) -> None:
    info = contexts.canary_info(keys.vault_id)
    for public in (epoch.keys.data_public, epoch.keys.meta_public):
        sealed = recipients.seal(public, canary, info)
        recipients.open(keys.pack_seed(recipients.key_id(public)), sealed, info)
