"""The way to the vault: reaching it, recognising it, and opening it as its host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from vaultctl import prompts
from vaultctl.context import App
from vaultd.core.errors import BrokenChainError, ConfigError, VaultdError
from vaultd.vault.host import HostVault
from vaultd.vault.identity import (
    HostIdentity,
    KeyPaths,
    known_identities,
    make_identity,
    recognise,
)
from vaultd.vault.recall import recalling
from vaultd.vault.trust import Trust
from vaultd.wiring.hosts import open_host
from vaultd.wiring.replicas import Targets, open_targets
from vaultd.wiring.storage import Backend, open_backend


class Place(Struct, frozen=True, kw_only=True):
    """A vault that this machine knows.

    Attributes:
        backend: Where it lies.
        trust: Whom to believe.
        identity: What this machine keeps of it.
        others: Further targets, for what the first one gives wrongly.
        targets: Each target by itself, when it is read together with its replicas.
    """

    backend: Backend
    trust: Trust
    identity: HostIdentity
    others: tuple[Backend, ...] = ()
    targets: Targets | None = None


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
        seen_through = recalling(backend, app.progress)
        trust, identity = _recognised(app, seen_through)
        yield _place(app, recalling(seen_through, app.progress, trust), trust, identity)


@contextmanager
def opened_copies(app: App) -> Iterator[Place]:
    """Reach the vault for reading only, together with the replicas that the configuration names.

    What one target has lost or damaged comes from the next, down to the vault's keys.

    Raises:
        VaultdError: As `opened_place`, when no target will do.
    """
    with open_targets(location_of(app), app.settings, app.progress) as reached:
        trust, identity = _recognised_anywhere(app, reached)
        targets = reached.of_vault(trust)
        together = targets.together(trust)
        backend = recalling(together.backend, app.progress, trust)
        place = _place(app, backend, trust, identity)
        yield replace(place, others=together.others, targets=targets)


def _recognised(app: App, backend: Backend) -> tuple[Trust, HostIdentity | None]:
    settings = app.settings
    paths = KeyPaths(host=settings.host_key_file, keeper=settings.keeper_key_file)
    return recognise(backend, settings.state_dir, key_paths=paths)


def _recognised_anywhere(app: App, targets: Targets) -> tuple[Trust, HostIdentity | None]:
    """Recognise the vault where that is possible: all targets together, then each alone."""
    failure: VaultdError | None = None
    for candidate in targets.candidates():
        try:
            trust, identity = _recognised(app, recalling(candidate, app.progress))
        except VaultdError as error:
            failure = failure or error
            continue
        if failure is not None:
            app.output.warn(f"{failure.message}; going on with the keys at {candidate.location}")
        _expect_the_same_vault(app, trust, location_of(app))
        return trust, identity
    raise failure or ConfigError("no target of the vault can be reached")


def _expect_the_same_vault(app: App, trust: Trust, location: str) -> None:
    """Refuse a replica of another vault, which might stand in for one that is lost."""
    for identity in known_identities(app.settings.state_dir):
        if identity.location == location and identity.vault_id != trust.vault_id:
            raise BrokenChainError(
                f"vault at {location}: is {identity.vault_id.hex()[:8]} as this machine knows it, "
                f"and what can be reached is {trust.vault_id.hex()[:8]}",
                hint="Check the locations of the replicas in the configuration.",
            )


def _place(app: App, backend: Backend, trust: Trust, identity: HostIdentity | None) -> Place:
    if identity is None:
        _confirm(app, trust, backend.location)
        identity = make_identity(app.settings.state_dir, trust, backend.location)
    elif app.settings.fingerprint is not None:
        trust.expect_fingerprint(app.settings.fingerprint)
    return Place(backend=backend, trust=trust, identity=identity)


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
