"""Pinning snapshots, and taking pins off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vaultctl.authority import keeper_context
from vaultctl.choosing import named
from vaultctl.context import App
from vaultctl.filters import filter_of
from vaultctl.listing import opened_list
from vaultctl.text import plural
from vaultctl.views.snapshots import line
from vaultd.maintenance.recall import pin


def change(
    app: App, references: Sequence[str], chosen: dict[str, Any], *, pinned: bool, reason: str
) -> None:
    """Pin snapshots, or let rules forget them again.

    Args:
        app: The run.
        references: Snapshots, as typed.
        chosen: What `vaultctl.filters.filter_options` added.
        pinned: Pin them.
        reason: For the log.

    Raises:
        ConfigError: No snapshot was named.
        KeyringError: This machine is no keeper.
    """
    with opened_list(app) as listed:
        context = keeper_context(app, listed)
        snapshots = named(listed, references, filter_of(app, chosen))
        pin(context, snapshots, pinned=pinned, reason=reason)
    word = "pinned" if pinned else "unpinned"
    for snapshot in snapshots:
        if app.output.json:
            fields = {"snapshot": snapshot.id, "pinned": reason if pinned else None}
            app.output.record("changed", fields)
        else:
            app.output.line(line(snapshot))
    if not app.output.json:
        app.output.say(f"{plural(len(snapshots), 'snapshot')} {word}.")
