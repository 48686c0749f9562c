"""Counting copies: which targets there are, and what the configuration says of them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from vaultctl.access import location_of
from vaultctl.context import App
from vaultctl.listing import Listed, opened_list
from vaultctl.locking import lock_context
from vaultd.maintenance.copies import CopiesContext, StoreCopies, Target, look_at_copies
from vaultd.maintenance.locks import check_locks
from vaultd.vault import readings
from vaultd.vault.readings import Reading
from vaultd.wiring.replicas import Targets, media_of


def copies_of(app: App) -> tuple[StoreCopies, ...]:
    """Count the copies of every store of the vault.

    Raises:
        VaultdError: No target can be reached.
    """
    with opened_list(app, from_copies=True) as listed:
        place = listed.place
        context = CopiesContext(
            backend=place.backend,
            trust=place.trust,
            find_keys=listed.find_keys,
            observer=app.progress,
        )
        reached = place.targets or Targets(first=None, replicas=(), observer=app.progress)
        known = readings.read(place.identity.folder)
        first, *others = [_with_reading(target, known) for target in _targets(app, reached)]
        targets = [replace(first, locked=_is_locked(app, listed)), *others]
        return look_at_copies(context, targets, listed.snapshots)


def _is_locked(app: App, listed: Listed) -> bool | None:
    """Tell whether nobody can delete what snapshots need; ``None`` when no lock is asked for."""
    if app.settings.config.vault.lock is None:
        return None
    report = check_locks(lock_context(app, listed))
    return report.promised > 0 and not report.violations


def _with_reading(target: Target, known: Mapping[str, Reading]) -> Target:
    location = "" if target.backend is None else target.backend.location
    return replace(target, reading=known.get(location))


def _targets(app: App, reached: Targets) -> list[Target]:
    table = app.settings.config.vault
    location = location_of(app)
    is_home = table.location in {None, location}
    first = Target(
        name="vault",
        backend=reached.first,
        media=media_of(location, app.settings, table.media if is_home else None),
        offsite=table.offsite and is_home,
        failure="" if reached.first is not None else "it cannot be reached",
    )
    backends = {replica.table.name: replica.backend.inner for replica in reached.replicas}
    return [first] + [
        Target(
            name=replica.name,
            backend=backends.get(replica.name),
            media=media_of(replica.location, app.settings, replica.media),
            offsite=replica.offsite,
            failure="" if replica.name in backends else "it holds no copy, or cannot be reached",
        )
        for replica in table.replicas
        if is_home and replica.location != location
    ]
