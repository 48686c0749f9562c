"""Write lost or damaged index parts anew, from the packs themselves.

vaultctl repair index                  parts that are missing or have a wrong size
vaultctl repair index --read-data      read every part, to find damaged ones too

Snapshots can be restored without their index parts, but then every machine reads the packs'
tables first. Needs a recovery key, and this machine to be a keeper. Packs that cannot be read are
named; the exit code is 20.
"""

from __future__ import annotations

import click

from vaultctl.authority import keeper_context
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, OK
from vaultctl.listing import opened_list, read_context
from vaultctl.views import reindex as view
from vaultd.maintenance.reindex import ReindexContext, find_lost, reindex
from vaultd.wiring.system import system_random


@make_command(__doc__)
@click.option("--read-data", is_flag=True, help="Read every part, not only look it up.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what is lost; change nothing.")
def command(app: App, *, read_data: bool, dry_run: bool) -> int:
    """Write parts anew; see the module's docstring."""
    with opened_list(app, needs_key=True) as listed:
        context = ReindexContext(
            keeper=keeper_context(app, listed),
            keys=read_context(app, listed).keys,
            random=system_random,
        )
        lost = find_lost(context, listed.snapshots, read_data=read_data)
        done = [] if dry_run else [reindex(context, part) for part in lost]
    view.show(app.output, lost, done, dry_run=dry_run)
    return DAMAGE if any(one.unread for one in done) else OK
