"""Who may change what a vault believes: a keeper writes the log, an admin the keys."""

from __future__ import annotations

from vaultctl import keys
from vaultctl.access import Place
from vaultctl.context import App
from vaultctl.listing import Listed
from vaultd.maintenance.keeping import KeeperContext
from vaultd.vault.changes import Admin
from vaultd.vault.log import Keeper
from vaultd.wiring.system import system_random


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
        observer=app.progress,
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
