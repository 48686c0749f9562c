"""What an admin may change of a vault: policies, recovery keys, epochs.

A new policy is the commit of every change. What depends on it (bundles sealed to a new recovery
key) is written after it, so that a run that broke off is finished by running `reseal`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.clock import Clock
from vaultd.core.errors import KeyringError, MalformedObjectError, ObjectExistsError
from vaultd.crypto import hashing, recipients, signing
from vaultd.format.codec import Packed
from vaultd.format.keys import HostGrant, KeeperGrant, PolicyBody, RecipientGrant
from vaultd.format.signed import BUNDLE, POLICY, SignedKind
from vaultd.vault import layout
from vaultd.vault.bundles import Bundle, OpenedEpoch, new_epoch, read_bundles, seal_bundle
from vaultd.vault.keyring import DomainKeys, ReadKeys
from vaultd.vault.sheets import check_admin
from vaultd.vault.trust import Trust, sign_object

_Place = tuple[str, int]


class Admin(Struct, frozen=True, kw_only=True):
    """An admin at work on a vault.

    Attributes:
        backend: Where the vault lies.
        trust: Its state before the change.
        signer: The admin key.
        random: Source of random bytes.
        clock: Says when things were made.

    Raises:
        NoMatchingKeyError: The key is not an admin's.
    """

    backend: Backend
    trust: Trust
    signer: signing.Signer
    random: Callable[[int], bytes]
    clock: Clock

    def __post_init__(self) -> None:
        check_admin(self.signer, self.trust)

    def put(self, name: str, kind: SignedKind, body: Packed) -> bytes:
        """Sign and create an object; return its bytes.

        Raises:
            KeyringError: Somebody else created it first.
        """
        raw = sign_object(kind, body, self.signer)
        try:
            self.backend.put(name, raw)
        except ObjectExistsError as exc:
            # A put without an answer was perhaps done: our own bytes are no conflict.
            if self.backend.get(name, length=kind.limit) != raw:
                raise KeyringError(
                    f"{name}: another admin wrote it meanwhile",
                    hint="Look at what they changed, then run this again.",
                ) from exc
        return raw

    def put_bundle(self, epoch: OpenedEpoch, copy: int = 0) -> str:
        """Create a domain bundle, sealed to all recovery keys in force; return its name."""
        publics = [grant.public for grant in self.trust.recipients]
        body = seal_bundle(self.trust.vault_id, epoch, publics, created_ns=self.clock.now_ns())
        name = layout.bundle(epoch.keys.domain, epoch.keys.epoch, copy)
        self.put(name, BUNDLE, body)
        return name

    def put_policy(
        self,
        *,
        hosts: tuple[HostGrant, ...] | None = None,
        keepers: tuple[KeeperGrant, ...] | None = None,
        recipients: tuple[RecipientGrant, ...] | None = None,
    ) -> Trust:
        """Put the next policy in force; what is not given stays as it is."""
        now = self.trust.policy
        body = PolicyBody(
            vault_id=self.trust.vault_id,
            number=now.number + 1,
            previous=self.trust.policy_sha256,
            created_ns=self.clock.now_ns(),
            hosts=now.hosts if hosts is None else hosts,
            keepers=now.keepers if keepers is None else keepers,
            recipients=now.recipients if recipients is None else recipients,
            min_age_days=now.min_age_days,
        )
        raw = self.put(layout.policy(body.number), POLICY, body)
        return Trust(vault=self.trust.vault, policy=body, policy_sha256=hashing.sha256(raw))


class NewRecipient(Struct, frozen=True, kw_only=True):
    """A recovery key that is to be added: its public half is enough."""

    label: str
    form: str
    public: bytes


class Resealed(Struct, frozen=True, kw_only=True):
    """What became of the bundles when they were sealed anew.

    Attributes:
        written: Names of the copies written.
        missing: Domain and epoch that the recovery key given does not open: sealed as before.
    """

    written: tuple[str, ...]
    missing: tuple[_Place, ...]


def add_recipient(admin: Admin, keys: ReadKeys, recipient: NewRecipient) -> tuple[Trust, Resealed]:
    """Let another recovery key open everything, old epochs included.

    Args:
        admin: Who does it.
        keys: What a recovery key in force opens.
        recipient: The new one; adding it a second time finishes what broke off.

    Raises:
        KeyringError: Label or key are used already, or the key was revoked.
    """
    for grant in admin.trust.policy.recipients:
        if grant.public == recipient.public and not grant.revoked:
            return admin.trust, reseal(admin, keys)
        if grant.public == recipient.public or grant.label == recipient.label:
            state = "revoked" if grant.revoked else "in force"
            raise KeyringError(
                f"recovery key {recipient.label!r}: label or key are those of "
                f"{grant.label!r}, which is {state}",
                hint="Choose another label and draw a new key.",
            )
    added = RecipientGrant(
        label=recipient.label,
        form=recipient.form,
        public=recipient.public,
        added_ns=admin.clock.now_ns(),
        revoked=False,
    )
    trust = admin.put_policy(recipients=(*admin.trust.policy.recipients, added))
    return trust, reseal(_after(admin, trust), keys)


def revoke_recipient(admin: Admin, label: str, *, single_key_accepted: bool = False) -> Trust:
    """Seal nothing more to a recovery key.

    What it opened, it still opens: rotate each domain (`rotate_domain`), and remove the old copies
    of the bundles (`reseal`, then `drop_old_copies`).

    Args:
        admin: Who does it.
        label: The key's label.
        single_key_accepted: One recovery key is enough from now on.

    Raises:
        KeyringError: No key in force has that label, or too few would be left.
    """
    left = [grant for grant in admin.trust.recipients if grant.label != label]
    if len(left) == len(admin.trust.recipients):
        known = ", ".join(repr(grant.label) for grant in left)
        raise KeyringError(f"no recovery key {label!r} is in force; in force are {known}")
    if len(left) < (1 if single_key_accepted else 2):
        raise KeyringError(
            f"without {label!r} this vault would have {len(left)} recovery keys",
            hint="Add another recovery key first.",
        )
    return admin.put_policy(
        recipients=tuple(
            grant if grant.label != label else _revoked(grant)
            for grant in admin.trust.policy.recipients
        )
    )


def rotate_domain(admin: Admin, current: DomainKeys) -> DomainKeys:
    """Begin a domain's next epoch: new packs are sealed to new keys; dedup goes on.

    Hosts and keepers must be given the new keys: `HostIdentity.add_keys` on this machine,
    a new enrolment request on others. Until then they go on with the old ones.

    Args:
        admin: Who does it.
        current: The domain's keys as a recovery key, or this machine as its host, knows them.

    Raises:
        KeyringError: Somebody else rotated the domain at the same time.
    """
    epoch = new_epoch(
        current.domain,
        next_epoch(admin.backend, current.domain),
        admin.random,
        before=current,
    )
    admin.put_bundle(epoch)
    return epoch.keys


def next_epoch(backend: Backend, domain: str) -> int:
    """Return the number after that of every bundle of a domain, whole or not."""
    return max((epoch for _, epoch, _ in _bundle_places(backend, domain)), default=0) + 1


def reseal(admin: Admin, keys: ReadKeys) -> Resealed:
    """Seal every epoch to exactly the recovery keys in force, where its newest bundle is not.

    Args:
        admin: Who does it.
        keys: What a recovery key in force opens.
    """
    newest = _newest_copies(admin.backend, admin.trust)
    copies: dict[_Place, int] = {}
    for domain, epoch, copy in _bundle_places(admin.backend, None):
        copies[domain, epoch] = max(copy, copies.get((domain, epoch), 0))
    opened = {(epoch.keys.domain, epoch.keys.epoch): epoch for epoch in keys.epochs}
    written, missing = [], []
    for place in sorted(copies.keys() | opened.keys()):
        if place in newest and _is_current(newest[place], admin.trust):
            continue
        if place in opened:
            copy = copies[place] + 1 if place in copies else 0
            written.append(admin.put_bundle(opened[place], copy))
        else:
            missing.append(place)
    return Resealed(written=tuple(written), missing=tuple(missing))


def drop_old_copies(backend: Backend, trust: Trust) -> tuple[str, ...]:
    """Delete bundle copies of which a newer one is sealed to exactly the recovery keys in force.

    Copies in full snapshots, in versions that a bucket keeps and in anybody's backup of the bucket
    remain.

    Returns:
        The names deleted.

    Raises:
        AccessDeniedError: The right is missing, or they are locked.
    """
    newest = _newest_copies(backend, trust)
    deleted = []
    for domain, epoch, copy in _bundle_places(backend, None):
        bundle = newest.get((domain, epoch))
        if bundle is not None and copy < bundle.copy and _is_current(bundle, trust):
            name = layout.bundle(domain, epoch, copy)
            backend.delete(name)
            deleted.append(name)
    return tuple(deleted)


def revoke_host(admin: Admin, host: str, *, last_seq: int) -> Trust:
    """Believe a host's present key up to a session and no further.

    Args:
        admin: Who does it.
        host: The host.
        last_seq: Last session that is believed; 0 for none.

    Raises:
        KeyringError: The vault does not know the host.
    """
    admin.trust.host_domain(host)
    return admin.put_policy(hosts=end_grants(admin.trust.policy.hosts, host, last_seq))


def end_grants(grants: tuple[HostGrant, ...], host: str, last_seq: int) -> tuple[HostGrant, ...]:
    """Return all grants, those of one host without an end ending at ``last_seq``."""
    ended = []
    for grant in grants:
        if grant.host != host or 0 < grant.until_seq <= last_seq:
            ended.append(grant)
        elif grant.from_seq <= last_seq:
            ended.append(
                HostGrant(
                    host=host,
                    verify_key=grant.verify_key,
                    domain=grant.domain,
                    from_seq=grant.from_seq,
                    until_seq=last_seq,
                )
            )
    return tuple(ended)


def _after(admin: Admin, trust: Trust) -> Admin:
    return Admin(
        backend=admin.backend,
        trust=trust,
        signer=admin.signer,
        random=admin.random,
        clock=admin.clock,
    )


def _revoked(grant: RecipientGrant) -> RecipientGrant:
    return RecipientGrant(
        label=grant.label,
        form=grant.form,
        public=grant.public,
        added_ns=grant.added_ns,
        revoked=True,
    )


def _newest_copies(backend: Backend, trust: Trust) -> dict[_Place, Bundle]:
    newest: dict[_Place, Bundle] = {}
    for bundle in read_bundles(backend, trust, domain=None, damaged=lambda _: None):
        newest.setdefault((bundle.body.domain, bundle.body.epoch), bundle)
    return newest


def _is_current(bundle: Bundle, trust: Trust) -> bool:
    wanted = {recipients.key_id(grant.public) for grant in trust.recipients}
    return {slot.key_id for slot in bundle.body.sealed} == wanted


def _bundle_places(backend: Backend, domain: str | None) -> list[tuple[str, int, int]]:
    prefix = layout.BUNDLES if domain is None else f"{layout.BUNDLES}{domain}/"
    places = []
    for entry in backend.list(prefix):
        try:
            places.append(layout.bundle_of(entry.name))
        except MalformedObjectError:
            continue
    return places
