"""The way to the vault: meeting it, and opening it as a host, a keeper, a reader or an admin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from vaultctl import keys, prompts
from vaultctl.context import App
from vaultd.core.errors import ConfigError, KeyringError
from vaultd.core.snapshot import Snapshot
from vaultd.maintenance.forget import KeeperContext
from vaultd.vault.catalog import Catalog, KeyFinder
from vaultd.vault.changes import Admin
from vaultd.vault.host import HostVault
from vaultd.vault.identity import (
    HostIdentity,
    KeyPaths,
    known_identities,
    make_identity,
    recognise,
)
from vaultd.vault.keyring import DomainKeys, ReadKeys
from vaultd.vault.log import Keeper
from vaultd.vault.reader import ReadContext
from vaultd.vault.trust import Trust
from vaultd.wiring import Backend, open_backend, open_host, system_random


class Place(Struct, frozen=True, kw_only=True):
    """A vault that this machine knows.

    Attributes:
        backend: Where it lies.
        trust: Whom to believe.
        identity: What this machine keeps of it.
    """

    backend: Backend
    trust: Trust
    identity: HostIdentity


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


def location_of(app: App) -> str:
    """Return where the vault lies: as asked for, or the only one that this machine knows.

    Raises:
        ConfigError: Nobody said, and this machine knows none or several.
    """
    if app.settings.vault is not None:
        return app.settings.vault
    known = known_identities(app.settings.state_dir)
    if len(known) == 1:
        return known[0].location
    places = ", ".join(identity.location for identity in known)
    raise ConfigError(
        f"which vault? this machine knows {len(known)}: {places}" if known else "which vault?",
        hint="Name it with -r LOCATION or VAULTD_VAULT; `vaultctl init -r LOCATION` makes one.",
    )


@contextmanager
def opened_place(app: App) -> Iterator[Place]:
    """Reach the vault, and recognise it.

    Raises:
        ConfigError: This machine meets the vault for the first time, and nobody confirms its
            fingerprint.
        BrokenChainError: It is not the vault that this machine knew.
        VaultNotFoundError: There is none.
    """
    with open_backend(location_of(app), app.settings, app.progress) as backend:
        settings = app.settings
        paths = KeyPaths(host=settings.host_key_file, keeper=settings.keeper_key_file)
        trust, identity = recognise(backend, settings.state_dir, key_paths=paths)
        if identity is None:
            _confirm(app, trust, backend.location)
            identity = make_identity(settings.state_dir, trust, backend.location)
        elif settings.fingerprint is not None:
            trust.expect_fingerprint(settings.fingerprint)
        yield Place(backend=backend, trust=trust, identity=identity)


def _confirm(app: App, trust: Trust, location: str) -> None:
    if app.settings.fingerprint is not None:
        trust.expect_fingerprint(app.settings.fingerprint)
        return
    shown = " and ".join(trust.fingerprints)
    hint = "Compare it with the recovery sheet, then give it with --fingerprint."
    if not prompts.can_ask():
        raise ConfigError(
            f"this machine meets vault {trust.vault_id.hex()[:8]} for the first time; "
            f"its fingerprint is {shown}",
            hint=hint,
        )
    app.output.say_always(
        f"This machine meets vault {trust.vault_id.hex()[:8]} at {location} for the first time.\n"
        f"Its fingerprint is  {shown}"
    )
    if not prompts.ask_yes("Does the recovery sheet show the same?"):
        raise ConfigError("the fingerprint was not confirmed, so nothing was done", hint=hint)


@contextmanager
def opened_list(app: App, *, needs_key: bool = False) -> Iterator[Listed]:
    """Open the vault and list its snapshots.

    Args:
        app: The run.
        needs_key: Contents are wanted, so ask for a recovery key when none was given.

    Raises:
        KeyringError: No recovery key was given, and nobody can be asked.
    """
    with opened_place(app) as place:
        find_keys = keys.read_keys if needs_key else keys.given_keys
        read_keys = find_keys(app, place.backend, place.trust)
        find = key_finder(place.identity, read_keys)
        with _catalog(place.identity.folder) as catalog:
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
    )


@contextmanager
def opened_host(app: App) -> Iterator[HostVault]:
    """Open the vault as this host.

    Raises:
        KeyringError: This machine is no host of it.
    """
    with (
        opened_place(app) as place,
        open_host(place.backend, place.trust, place.identity, app.progress) as host,
    ):
        yield host


def keeper_context(app: App, listed: Listed) -> KeeperContext:
    """Return what writing the log needs.

    Raises:
        KeyringError: This machine is no keeper of the vault.
    """
    held = listed.place.identity.keeper_keys()
    return KeeperContext(
        backend=listed.place.backend,
        trust=listed.place.trust,
        catalog=listed.catalog,
        keeper=Keeper(name=held.name, signer=held.signer),
        find_keys=listed.find_keys,
        clock=app.clock,
    )


def admin_of(app: App, place: Place, key_file: str | None) -> Admin:
    """Return an admin at work.

    Args:
        app: The run.
        place: The vault.
        key_file: The admin key, as the option gave it.

    Raises:
        KeyringError: It was not given, or is not an admin key of this vault.
    """
    return Admin(
        backend=place.backend,
        trust=place.trust,
        signer=keys.admin_key(app, place.trust, key_file),
        random=system_random,
        clock=app.clock,
    )


def key_finder(identity: HostIdentity, read_keys: ReadKeys | None) -> KeyFinder:
    """Return what finds the keys of a domain: the host's own, and what a recovery key opens."""
    held: dict[tuple[str, int], DomainKeys] = {}
    if identity.host is not None:
        host_keys = identity.host_keys()
        held |= {(one.domain, one.epoch): one for one in (host_keys.current, *host_keys.past)}
    if read_keys is not None:
        held |= {(one.keys.domain, one.keys.epoch): one.keys for one in read_keys.epochs}
    find: Callable[[str, int], DomainKeys | None] = lambda domain, epoch: held.get((domain, epoch))  # noqa: E731 - it is a value
    return find


@contextmanager
def _catalog(folder: Path) -> Iterator[Catalog]:
    catalog = Catalog(folder / "catalog.sqlite")
    try:
        yield catalog
    finally:
        catalog.close()
