"""Naming several snapshots at once, for commands that change something about them."""

from __future__ import annotations

from collections.abc import Sequence

from vaultctl.listing import Listed
from vaultd.core.errors import ConfigError
from vaultd.core.snapshot import Snapshot
from vaultd.vault.select import Filter, chosen, resolve


def named(listed: Listed, references: Sequence[str], wanted: Filter) -> list[Snapshot]:
    """Return the snapshots that references name, each once, oldest first.

    Without references, filters choose; without either, nothing is chosen.

    Args:
        listed: The vault and its snapshots.
        references: As typed.
        wanted: Filters.

    Raises:
        ConfigError: Nothing was named.
        ObjectNotFoundError: A reference names no snapshot.
    """
    if not references:
        if wanted == Filter():
            raise ConfigError(
                "no snapshot was named", hint="Name snapshots by their ids, or choose by filters."
            )
        return chosen(listed.snapshots, wanted)
    found = {}
    for text in references:
        reference = resolve(text, listed.snapshots, wanted)
        if reference.path:
            raise ConfigError(
                f"{text!r} names a path, and snapshots are changed as a whole",
                hint="Leave out the colon and what follows it.",
            )
        found[reference.snapshot.id] = reference.snapshot
    return [snapshot for snapshot in listed.snapshots if snapshot.id in found]
