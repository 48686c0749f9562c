"""Looking at a whole vault: what checking and scrubbing are given."""

from __future__ import annotations

from collections.abc import Callable

from vaultctl.context import App
from vaultctl.listing import Listed
from vaultd.core.snapshot import Snapshot
from vaultd.maintenance.check import CheckContext, known_health
from vaultd.policy.seats import Health
from vaultd.vault import readings
from vaultd.vault.log import Keeper
from vaultd.vault.readings import Reading


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


def remember_reading(listed: Listed, at_ns: int | None, errors: int) -> None:
    """Remember when everything at a place was read, for those who count copies.

    Args:
        listed: The vault.
        at_ns: Since when; ``None``: not everything was ever read.
        errors: Damaged objects.
    """
    if at_ns is not None:
        place = listed.place
        found = Reading(at_ns=at_ns, errors=errors)
        readings.record(place.identity.folder, place.backend.location, found)


def health_of(app: App, listed: Listed) -> Callable[[Snapshot], Health]:
    """Return what tells how a snapshot is, as far as scrubs and checks of this machine have seen.

    A reading counts for two windows of the scrub: one that is late unsays nothing.
    """
    window_s = app.settings.config.scrub.rule().window_s
    known = known_health(check_context(app, listed), listed.snapshots, 2 * window_s)
    return lambda snapshot: known.get(snapshot.session, Health.UNKNOWN)
