"""Looking at a whole vault: what checking and scrubbing are given."""

from __future__ import annotations

from vaultctl.context import App
from vaultctl.listing import Listed
from vaultd.maintenance.check import CheckContext
from vaultd.vault.log import Keeper


def check_context(app: App, listed: Listed) -> CheckContext:
    """Return what looking at a whole vault needs."""
    return CheckContext(
        backend=listed.place.backend,
        trust=listed.place.trust,
        catalog=listed.catalog,
        find_keys=listed.find_keys,
        keys=listed.keys,
        folder=listed.place.identity.folder,
        clock=app.clock,
        observer=app.progress,
    )


def keeper_if_any(listed: Listed) -> Keeper | None:
    """Return who writes the log on this machine; ``None``: it is no keeper."""
    if listed.place.identity.keeper is None:
        return None
    held = listed.place.identity.keeper_keys()
    return Keeper(name=held.name, signer=held.signer)
