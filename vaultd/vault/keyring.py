"""Keys in use: what a host holds, what a keeper holds, and what a recovery key opens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.errors import (
    CorruptObjectError,
    IntegrityError,
    KeyringError,
    NoMatchingKeyError,
)
from vaultd.core.values import Veiled
from vaultd.crypto import recipients, signing
from vaultd.format.machine import HeldKeys
from vaultd.vault.bundles import (
    Bundle,
    DomainKeys,
    OpenedEpoch,
    open_bundle,
    read_bundles,
    verify_bundle,
)
from vaultd.vault.trust import Trust

__all__ = [
    "DomainKeys",
    "HostKeys",
    "IndexKey",
    "KeeperKeys",
    "ListingKeys",
    "OpenedEpoch",
    "ReadKeys",
    "from_held",
    "to_held",
    "unlock",
]


class HostKeys(Struct, frozen=True, kw_only=True):
    """What a host needs to back up.

    Attributes:
        vault_id: The vault.
        host: The host's name in object names.
        signer: Its signing key.
        current: Keys that new packs are sealed with.
        past: Keys of earlier epochs of the domain.
    """

    vault_id: bytes
    host: str
    signer: signing.Signer
    current: DomainKeys
    past: tuple[DomainKeys, ...] = ()

    def index_key(self, domain: str, epoch: int) -> bytes:
        """Return K_idx of a domain and epoch.

        Raises:
            KeyringError: This host was not given it.
        """
        return self._of(domain, epoch).index_key

    def of_epoch(self, epoch: int) -> DomainKeys:
        """Return the keys of one epoch of the host's domain.

        Raises:
            KeyringError: This host was not given them.
        """
        return self._of(self.current.domain, epoch)

    def _of(self, domain: str, epoch: int) -> DomainKeys:
        for keys in (self.current, *self.past):
            if (keys.domain, keys.epoch) == (domain, epoch):
                return keys
        raise KeyringError(
            f"host {self.host}: holds no keys of domain {domain} epoch {epoch}",
            hint="Renew the host's keys: make a request on it, enrol it again, accept the grant.",
        )


class ListingKeys(Protocol):
    """What listing a snapshot takes: `DomainKeys`, or the little that a keeper holds."""

    @property
    def domain(self) -> str:
        """The domain."""

    @property
    def epoch(self) -> int:
        """Its epoch."""

    @property
    def index_key(self) -> bytes:
        """K_idx: which packs a snapshot needs, its store, its tags."""

    @property
    def chunk_id_key(self) -> bytes | None:
        """K_id: captured paths and users; ``None`` when not at hand."""


class IndexKey(Veiled, frozen=True, kw_only=True):
    """K_idx of one domain and epoch."""

    domain: str
    epoch: int
    index_key: bytes

    @property
    def chunk_id_key(self) -> bytes | None:
        """Not given to keepers."""
        return None


class KeeperKeys(Struct, frozen=True, kw_only=True):
    """What a keeper needs: it sees which packs a snapshot refers to, and no contents.

    Attributes:
        vault_id: The vault.
        name: The keeper's name in the log.
        signer: Its signing key.
        index_keys: K_idx of every domain and epoch.
    """

    vault_id: bytes
    name: str
    signer: signing.Signer
    index_keys: tuple[IndexKey, ...]

    def index_key(self, domain: str, epoch: int) -> bytes:
        """Return K_idx of a domain and epoch.

        Raises:
            KeyringError: This keeper was not given it.
        """
        for entry in self.index_keys:
            if (entry.domain, entry.epoch) == (domain, epoch):
                return entry.index_key
        raise KeyringError(
            f"keeper {self.name}: holds no index key of domain {domain} epoch {epoch}",
            hint="Renew the keeper's keys: make a request on it, enrol it again, accept the grant.",
        )


class ReadKeys:
    """Everything that a recovery key opens.

    Args:
        vault_id: The vault.
        key_id: Id of the recovery key's public half.
        opened: The epochs that it opened.
        closed: Domain and epoch of bundles that are whole and not sealed to it.
        damaged: What is wrong with bundles that could not be used, for people.
    """

    __slots__ = ("_epochs", "_seeds", "closed", "damaged", "key_id", "vault_id")

    def __init__(
        self,
        *,
        vault_id: bytes,
        key_id: bytes,
        opened: Iterable[OpenedEpoch],
        closed: tuple[tuple[str, int], ...] = (),
        damaged: tuple[str, ...] = (),
    ) -> None:
        self.vault_id = vault_id
        self.key_id = key_id
        self.closed = closed
        self.damaged = damaged
        self._epochs = {(epoch.keys.domain, epoch.keys.epoch): epoch for epoch in opened}
        self._seeds: dict[bytes, bytes] = {}
        for epoch in self._epochs.values():
            self._seeds[recipients.key_id(epoch.keys.data_public)] = epoch.data_seed
            self._seeds[recipients.key_id(epoch.keys.meta_public)] = epoch.meta_seed

    @property
    def epochs(self) -> tuple[OpenedEpoch, ...]:
        """Every epoch opened, by domain and number."""
        return tuple(self._epochs[at] for at in sorted(self._epochs))

    def domain(self, domain: str, epoch: int) -> DomainKeys:
        """Return the keys of a domain and epoch.

        Raises:
            NoMatchingKeyError: The recovery key does not open them.
        """
        return self._epoch(domain, epoch).keys

    def newest(self, domain: str) -> DomainKeys:
        """Return the keys of the newest epoch of a domain that the recovery key opens.

        Raises:
            NoMatchingKeyError: It opens none.
        """
        epochs = [epoch for name, epoch in self._epochs if name == domain]
        return self._epoch(domain, max(epochs, default=1)).keys

    def index_key(self, domain: str, epoch: int) -> bytes:
        """Return K_idx of a domain and epoch.

        Raises:
            NoMatchingKeyError: The recovery key does not open it.
        """
        return self._epoch(domain, epoch).keys.index_key

    def meta_seed(self, domain: str, epoch: int) -> bytes:
        """Return the seed that opens metadata of a domain and epoch.

        Raises:
            NoMatchingKeyError: The recovery key does not open it.
        """
        return self._epoch(domain, epoch).meta_seed

    def pack_seed(self, key_id: bytes) -> bytes:
        """Return the seed of the key that a pack is sealed to.

        Args:
            key_id: Id of the public half, as the pack's header gives it.

        Raises:
            NoMatchingKeyError: The recovery key does not open it.
        """
        try:
            return self._seeds[key_id]
        except KeyError:
            raise NoMatchingKeyError(
                f"pack key {key_id.hex()[:8]}: not among those that recovery key "
                f"{self.key_id.hex()[:8]} opens",
                hint="Use a recovery key to which this domain is sealed.",
            ) from None

    def _epoch(self, domain: str, epoch: int) -> OpenedEpoch:
        try:
            return self._epochs[domain, epoch]
        except KeyError:
            raise NoMatchingKeyError(
                f"domain {domain} epoch {epoch}: recovery key {self.key_id.hex()[:8]} "
                "does not open it",
                hint="Use a recovery key to which this domain is sealed.",
            ) from None


def unlock(
    backend: Backend,
    trust: Trust,
    seed: bytes,
    *,
    domain: str | None = None,
    copies: Iterable[bytes] = (),
) -> ReadKeys:
    """Open everything that a recovery key opens.

    Args:
        backend: Where the vault lies.
        trust: Whose bundles are believed.
        seed: The recovery key, 32 bytes.
        domain: Look at this domain only; ``None`` means all.
        copies: Bundles carried by full snapshots, for those missing or damaged under ``keys/``;
            worth reading when a call without them fails, or reports damage.

    Raises:
        NoMatchingKeyError: It opens nothing in this vault.
        CorruptObjectError: It might, but no bundle is whole.
    """
    identity = recipients.Identity(seed)
    damaged: list[str] = []
    opened: dict[tuple[str, int], OpenedEpoch] = {}
    seen: set[tuple[str, int]] = set()
    for bundle in _all_bundles(backend, trust, domain, copies, damaged):
        at = (bundle.body.domain, bundle.body.epoch)
        seen.add(at)
        if at in opened:
            continue
        try:
            epoch = open_bundle(bundle.body, identity)
        except IntegrityError as exc:
            damaged.append(exc.message)
        else:
            if epoch is not None:
                opened[at] = epoch
    if not opened:
        raise _opens_nothing(trust, identity.key_id, seen, damaged)
    return ReadKeys(
        vault_id=trust.vault_id,
        key_id=identity.key_id,
        opened=opened.values(),
        closed=tuple(sorted(seen - opened.keys())),
        damaged=tuple(damaged),
    )


def from_held(held: HeldKeys) -> DomainKeys:
    """Return keys in use from keys as files and grants hold them."""
    return DomainKeys(
        domain=held.domain,
        epoch=held.epoch,
        data_public=held.data_public,
        meta_public=held.meta_public,
        chunk_id_key=held.chunk_id_key,
        index_key=held.index_key,
        chunker_key=held.chunker_key,
    )


def to_held(keys: DomainKeys) -> HeldKeys:
    """Return keys as files and grants hold them."""
    return HeldKeys(
        domain=keys.domain,
        epoch=keys.epoch,
        data_public=keys.data_public,
        meta_public=keys.meta_public,
        chunk_id_key=keys.chunk_id_key,
        index_key=keys.index_key,
        chunker_key=keys.chunker_key,
    )


def _all_bundles(
    backend: Backend,
    trust: Trust,
    domain: str | None,
    copies: Iterable[bytes],
    damaged: list[str],
) -> Iterator[Bundle]:
    yield from read_bundles(backend, trust, domain=domain, damaged=damaged.append)
    for raw in copies:
        try:
            body = verify_bundle(trust, raw, what="bundle in a snapshot")
        except IntegrityError as exc:
            damaged.append(exc.message)
            continue
        if domain in {None, body.domain}:
            yield Bundle(body=body, copy=-1, raw=raw)


def _opens_nothing(
    trust: Trust, key_id: bytes, seen: set[tuple[str, int]], damaged: list[str]
) -> IntegrityError | NoMatchingKeyError:
    grants = {recipients.key_id(grant.public): grant for grant in trust.policy.recipients}
    if key_id in grants and (damaged or not seen):
        return CorruptObjectError(
            f"recovery key {grants[key_id].label!r} is right, but no domain bundle that it opens "
            f"is whole: {'; '.join(damaged) or 'none is there'}",
            hint="Search the vault's full snapshots for copies of the bundles.",
        )
    known = ", ".join(
        f"{grant.label!r} ({grant.form}{', revoked' if grant.revoked else ''})"
        for grant in trust.policy.recipients
    )
    return NoMatchingKeyError(
        f"key {key_id.hex()[:8]} opens nothing in vault {trust.vault_id.hex()[:8]}; "
        f"its recovery keys are {known or 'none'}",
        hint="Check that sheet or file and vault id belong together, and use another one.",
    )
