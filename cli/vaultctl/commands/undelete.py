"""Bring back what was forgotten or hidden.

vaultctl undelete                the forgotten snapshots that can come back
vaultctl undelete 1a2b3c4d

A forgotten snapshot can come back until a prune has deleted what it needs. Needs this machine to be
a keeper.
"""

from __future__ import annotations

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.recalling import bring_back


@make_command(__doc__)
@click.argument("snapshots", nargs=-1, metavar="[SNAP]...")
@click.option("--reason", default="asked for by a person", help="For the vault's log.")
def command(app: App, snapshots: tuple[str, ...], reason: str) -> None:
    """Bring back; see the module's docstring."""
    bring_back(app, snapshots, reason)
