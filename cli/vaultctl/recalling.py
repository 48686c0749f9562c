"""Bringing forgotten snapshots back."""

from __future__ import annotations

from collections.abc import Sequence

from vaultctl.authority import keeper_context
from vaultctl.context import App
from vaultctl.listing import opened_list
from vaultctl.text import plural
from vaultctl.views import snapshots as view
from vaultd.maintenance.recall import recall, recallable
from vaultd.vault.select import Filter, resolve


def bring_back(app: App, references: Sequence[str], reason: str) -> None:
    """Bring forgotten snapshots back, or list those that can come back when none is named.

    Args:
        app: The run.
        references: Snapshots, as typed.
        reason: For the log.

    Raises:
        ObjectNotFoundError: A reference names no forgotten snapshot.
        CautionError: Something that one needs is deleted.
        KeyringError: This machine is no keeper.
    """
    with opened_list(app) as listed:
        context = keeper_context(app, listed)
        there = recallable(context)
        if not references:
            view.show(app.output, there, of=len(there))
            return
        chosen = [resolve(text, there, Filter()).snapshot for text in references]
        recall(context, chosen, reason)
    for snapshot in chosen:
        if app.output.json:
            app.output.record("undelete", {"snapshot": snapshot.id})
        else:
            app.output.line(f"back: {view.line(snapshot)}")
    if not app.output.json:
        app.output.say(f"{plural(len(chosen), 'snapshot')} can be restored again.")
