"""The snapshots of a vault, as far as the keys at hand show them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from vaultctl import keys
from vaultctl.access import Place, opened_copies, opened_place
from vaultctl.context import App
from vaultd.core.errors import BrokenChainError, KeyringError
from vaultd.core.snapshot import Snapshot
from vaultd.vault.catalog import Catalog, KeyFinder
from vaultd.vault.identity import HostIdentity
from vaultd.vault.keyring import ListingKeys, ReadKeys
from vaultd.vault.reader import ReadContext


class Listed(Struct, frozen=True, kw_only=True):
    """A vault and its snapshots, as far as the keys at hand show them.

    Attributes:
        place: The vault.
        catalog: What this machine remembers of it.
        find_keys: Keys of domains.
        keys: What the recovery key opens; ``None`` when none was given.
        snapshots: The live ones, oldest first.
        findings: What is wrong with the list, one sentence each.
    """

    place: Place
    catalog: Catalog
    find_keys: KeyFinder
    keys: ReadKeys | None
    snapshots: list[Snapshot]
    findings: list[str]


@contextmanager
def opened_list(
    app: App, *, needs_key: bool = False, from_copies: bool = False
) -> Iterator[Listed]:
    """Open the vault and list its snapshots.

    Args:
        app: The run.
        needs_key: Contents are wanted, so ask for a recovery key when none was given; they are
            read from replicas too.
        from_copies: Read from replicas too, though no contents are wanted.

    Raises:
        KeyringError: No recovery key was given, and nobody can be asked.
    """
    opened = opened_copies if needs_key or from_copies else opened_place
    with opened(app) as place, ExitStack() as stack:
        find_keys = keys.read_keys if needs_key else keys.given_keys
        read_keys = find_keys(app, place.backend, place.trust)
        find = key_finder(place.identity, read_keys)
        catalog = stack.enter_context(closing(Catalog(place.identity.folder / "catalog.sqlite")))
        try:
            findings = catalog.refresh(place.backend, place.trust, find)
        except BrokenChainError as error:
            if place.targets is None or not place.targets.replicas:
                raise
            # With the first target lost, copies that lag behind are what there is.
            app.output.warn(f"{error.message}; listing what the copies that are left hold")
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="vaultd-")))
            catalog = stack.enter_context(closing(Catalog(folder / "catalog.sqlite")))
            findings = catalog.refresh(place.backend, place.trust, find)
        for finding in findings:
            app.output.warn(finding)
        yield Listed(
            place=place,
            catalog=catalog,
            find_keys=find,
            keys=read_keys,
            snapshots=catalog.snapshots(place.trust, find),
            findings=findings,
        )


def read_context(app: App, listed: Listed) -> ReadContext:
    """Return what reading snapshots needs.

    Raises:
        KeyringError: No recovery key was given.
    """
    if listed.keys is None:
        raise KeyringError("no recovery key was given", hint="Give --recovery-key-file FILE.")
    return ReadContext(
        backend=listed.place.backend,
        trust=listed.place.trust,
        keys=listed.keys,
        folder=listed.place.identity.folder,
        observer=app.progress,
        others=listed.place.others,
        stand_ins=listed.catalog.state().stand_ins(),
    )


def key_finder(identity: HostIdentity, read_keys: ReadKeys | None) -> KeyFinder:
    """Return what finds keys of domains: a keeper's, a host's, and what a recovery key opens."""
    held: dict[tuple[str, int], ListingKeys] = {}
    if identity.keeper is not None:
        held |= {(one.domain, one.epoch): one for one in identity.keeper_keys().index_keys}
    if identity.host is not None:
        host_keys = identity.host_keys()
        held |= {(one.domain, one.epoch): one for one in (host_keys.current, *host_keys.past)}
    if read_keys is not None:
        held |= {(one.keys.domain, one.keys.epoch): one.keys for one in read_keys.epochs}
    find: KeyFinder = lambda domain, epoch: held.get((domain, epoch))  # noqa: E731 - it is a value
    return find
