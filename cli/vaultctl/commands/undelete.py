"""Bring back what was forgotten or hidden.

vaultctl undelete                the forgotten snapshots that can come back
vaultctl undelete 1a2b3c4d
vaultctl undelete --markers --dry-run
vaultctl undelete --markers

A forgotten snapshot can come back until a prune has deleted what it needs. Needs this machine to be
a keeper.

In a bucket that keeps versions, whoever stole its credentials can hide objects and cover them with
others. --markers removes what lies above the right version of each, as far as no lock forbids it.
What the vault's log says was deleted stays deleted.
"""

from __future__ import annotations

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.recalling import bring_back
from vaultctl.reviving import revive
from vaultd.core.errors import ConfigError


@make_command(__doc__)
@click.argument("snapshots", nargs=-1, metavar="[SNAP]...")
@click.option("--reason", default="asked for by a person", help="For the vault's log.")
@click.option("--markers", is_flag=True, help="What was hidden or covered in the bucket.")
@click.option("-n", "--dry-run", is_flag=True, help="With --markers: say which; change nothing.")
@click.option("--yes", is_flag=True, help="With --markers: do not ask.")
def command(
    app: App, snapshots: tuple[str, ...], reason: str, *, markers: bool, dry_run: bool, yes: bool
) -> int | None:
    """Bring back; see the module's docstring."""
    if markers and snapshots:
        raise ConfigError("--markers brings back all that was hidden", hint="Name no snapshot.")
    if markers:
        return revive(app, dry_run=dry_run, yes=yes)
    bring_back(app, snapshots, reason)
    return None
