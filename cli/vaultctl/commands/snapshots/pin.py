"""Keep rules from forgetting snapshots.

vaultctl snapshots pin latest --reason "closing of the year"

A pinned snapshot can only be forgotten by its id. Needs this machine to be a keeper.
"""

from __future__ import annotations

from typing import Any

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.filters import filter_options
from vaultctl.pinning import change


@make_command(__doc__)
@filter_options
@click.argument("snapshots", nargs=-1, metavar="[SNAP]...")
@click.option("--reason", default="asked for by a person", help="For the vault's log.")
def command(app: App, snapshots: tuple[str, ...], reason: str, **chosen: Any) -> None:
    """Pin; see the module's docstring."""
    change(app, snapshots, chosen, pinned=True, reason=reason)
