"""Domain bundles: the keys of a domain and epoch, sealed to the recovery keys (FORMAT.md 4)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from vaultd.backends.base import Backend
from vaultd.core.errors import (
    CorruptObjectError,
    IntegrityError,
    KeyringError,
    MalformedObjectError,
    NoMatchingKeyError,
    ObjectNotFoundError,
)
from vaultd.core.values import Veiled
from vaultd.crypto import kdf, recipients
from vaultd.format.codec import decode, encode
from vaultd.format.keys import BundleBody, DomainSecrets, SealedTo
from vaultd.format.signed import BUNDLE
from vaultd.vault import contexts, layout
from vaultd.vault.trust import Trust, open_object

_SECRETS_BYTES = 171
"""Length of encoded `DomainSecrets`: five keys of 32 bytes in MessagePack."""


class DomainKeys(Veiled, frozen=True, kw_only=True):
    """The keys of one domain and epoch as a host holds them: enough to write and dedup.

    Attributes:
        domain: The domain.
        epoch: 1, 2, …
        data_public: Packs of contents are sealed to this.
        meta_public: Packs of trees and snapshot metadata are sealed to this.
        chunk_id_key: K_id.
        index_key: K_idx.
        chunker_key: K_cdc.
    """

    domain: str
    epoch: int
    data_public: bytes
    meta_public: bytes
    chunk_id_key: bytes
    index_key: bytes
    chunker_key: bytes


class OpenedEpoch(Veiled, frozen=True, kw_only=True):
    """A bundle that a recovery key opened: keys to write and seeds to read."""

    keys: DomainKeys
    data_seed: bytes
    meta_seed: bytes

    @property
    def secrets(self) -> DomainSecrets:
        """What bundles of this epoch seal."""
        return DomainSecrets(
            data_seed=self.data_seed,
            meta_seed=self.meta_seed,
            chunk_id_key=self.keys.chunk_id_key,
            index_key=self.keys.index_key,
            chunker_key=self.keys.chunker_key,
        )


class Bundle(Veiled, frozen=True, kw_only=True):
    """One verified domain bundle.

    Attributes:
        body: Its contents.
        copy: Number of the copy; -1 when it was not read under a name of its own.
        raw: The whole object, as full snapshots carry it.
    """

    body: BundleBody
    copy: int
    raw: bytes


def read_bundles(
    backend: Backend, trust: Trust, *, domain: str | None, damaged: Callable[[str], None]
) -> Iterator[Bundle]:
    """Read the bundles under ``keys/dom/``, one at a time.

    Args:
        backend: Where the vault lies.
        trust: Whose bundles are believed.
        domain: Look at this domain only; ``None`` means all.
        damaged: Told what is wrong with each bundle that is left out.

    Yields:
        By domain; of each the newest epoch first, and of that the newest copy first.
    """
    prefix = layout.BUNDLES if domain is None else f"{layout.BUNDLES}{domain}/"
    for place, epoch, copy, name in sorted(_places(entry.name for entry in backend.list(prefix))):
        try:
            raw = backend.get(name, length=BUNDLE.limit + 1)
            body = verify_bundle(trust, raw, what=name)
            if (body.domain, body.epoch) != (place, -epoch):
                raise CorruptObjectError(f"{name}: holds domain {body.domain} epoch {body.epoch}")
        except (IntegrityError, ObjectNotFoundError) as exc:
            damaged(exc.message)
        else:
            yield Bundle(body=body, copy=-copy, raw=raw)


def newest_bundle(backend: Backend, trust: Trust, domain: str) -> Bundle:
    """Return the newest copy of the newest epoch's bundle of a domain.

    Hosts compare its epoch with their own keys, and full snapshots carry it.

    Raises:
        KeyringError: The domain has no bundle that can be used.
    """
    problems: list[str] = []
    for bundle in read_bundles(backend, trust, domain=domain, damaged=problems.append):
        return bundle
    raise KeyringError(
        f"domain {domain}: no usable bundle: {'; '.join(problems) or 'none is there'}",
        hint="Bring back the objects under keys/dom/ from a copy of the vault.",
    )


def replaced_copies(names: Iterable[str]) -> set[str]:
    """Return those names of bundles that stand for a copy which a newer one has replaced."""
    places = sorted(_places(names))
    newest = {(domain, epoch): copy for domain, epoch, copy, _ in reversed(places)}
    return {name for domain, epoch, copy, name in places if newest[domain, epoch] != copy}


def new_epoch(
    domain: str, epoch: int, random: Callable[[int], bytes], *, before: DomainKeys | None = None
) -> OpenedEpoch:
    """Make the keys of a domain's new epoch.

    Args:
        domain: The domain.
        epoch: Its number.
        random: Source of random bytes.
        before: Keys of an earlier epoch, so that dedup goes on; ``None`` for a new domain.
    """
    data_seed, meta_seed = random(recipients.SEED_BYTES), random(recipients.SEED_BYTES)
    return OpenedEpoch(
        keys=DomainKeys(
            domain=domain,
            epoch=epoch,
            data_public=recipients.public_key(data_seed),
            meta_public=recipients.public_key(meta_seed),
            chunk_id_key=random(kdf.KEY_BYTES) if before is None else before.chunk_id_key,
            index_key=random(kdf.KEY_BYTES),
            chunker_key=random(kdf.KEY_BYTES) if before is None else before.chunker_key,
        ),
        data_seed=data_seed,
        meta_seed=meta_seed,
    )


def seal_bundle(
    vault_id: bytes, epoch: OpenedEpoch, publics: Iterable[bytes], *, created_ns: int
) -> BundleBody:
    """Seal a domain's secrets to recovery keys.

    Args:
        vault_id: The vault's id.
        epoch: What to seal.
        publics: Public halves of the recovery keys.
        created_ns: Now, by the admin's clock.
    """
    encoded = encode(epoch.secrets)
    keys = epoch.keys
    info = contexts.bundle_info(vault_id, keys.domain, keys.epoch)
    return BundleBody(
        vault_id=vault_id,
        domain=keys.domain,
        epoch=keys.epoch,
        created_ns=created_ns,
        data_public=keys.data_public,
        meta_public=keys.meta_public,
        commitment=contexts.bundle_commitment(encoded),
        sealed=tuple(
            SealedTo(
                key_id=recipients.key_id(public), sealed=recipients.seal(public, encoded, info)
            )
            for public in publics
        ),
    )


def verify_bundle(trust: Trust, raw: bytes, *, what: str) -> BundleBody:
    """Return a bundle's contents when an admin key signed it for this vault.

    Raises:
        IntegrityError: It is damaged, forged, or of another vault.
    """
    encoded = open_object(BUNDLE, raw, trust.vault.admin_keys, what=what)
    body = decode(BundleBody, encoded, what=what, limit=BUNDLE.limit)
    if body.vault_id != trust.vault_id:
        raise CorruptObjectError(
            f"{what}: belongs to vault {body.vault_id.hex()[:8]}, "
            f"expected {trust.vault_id.hex()[:8]}"
        )
    return body


def open_bundle(body: BundleBody, identity: recipients.Identity) -> OpenedEpoch | None:
    """Return what a bundle seals, or ``None`` when it is not sealed to this recovery key.

    Raises:
        CorruptObjectError: It is, and what it seals is not what it says.
    """
    slot = next((slot for slot in body.sealed if slot.key_id == identity.key_id), None)
    if slot is None:
        return None
    what = f"bundle of domain {body.domain} epoch {body.epoch}"
    secrets = _open_slot(body, slot, identity, what=what)
    publics = (recipients.public_key(secrets.data_seed), recipients.public_key(secrets.meta_seed))
    if publics != (body.data_public, body.meta_public):
        raise CorruptObjectError(f"{what}: its seeds do not belong to its public keys")
    return OpenedEpoch(
        keys=DomainKeys(
            domain=body.domain,
            epoch=body.epoch,
            data_public=body.data_public,
            meta_public=body.meta_public,
            chunk_id_key=secrets.chunk_id_key,
            index_key=secrets.index_key,
            chunker_key=secrets.chunker_key,
        ),
        data_seed=secrets.data_seed,
        meta_seed=secrets.meta_seed,
    )


def _open_slot(
    body: BundleBody, slot: SealedTo, identity: recipients.Identity, *, what: str
) -> DomainSecrets:
    # A fixed length keeps anybody from offering one ciphertext for many keys.
    expected = _SECRETS_BYTES + recipients.OVERHEAD_BYTES
    if len(slot.sealed) != expected:
        raise CorruptObjectError(f"{what}: {len(slot.sealed)} bytes sealed, expected {expected}")
    try:
        info = contexts.bundle_info(body.vault_id, body.domain, body.epoch)
        encoded = identity.open(slot.sealed, info)
    except NoMatchingKeyError as exc:
        raise CorruptObjectError(f"{what}: {exc.message}") from exc
    if contexts.bundle_commitment(encoded) != body.commitment:
        raise CorruptObjectError(f"{what}: its secrets are not those it commits to")
    return decode(DomainSecrets, encoded, what=what, limit=_SECRETS_BYTES)


def _places(names: Iterable[str]) -> Iterator[tuple[str, int, int, str]]:
    for name in names:
        # Other names under the prefix are not ours: folder markers of a web console, for example.
        with contextlib.suppress(MalformedObjectError):
            domain, epoch, copy = layout.bundle_of(name)
            yield domain, -epoch, -copy, name
