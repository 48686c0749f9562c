"""Put good copies from another target in place of lost or damaged objects.

vaultctl repair objects                    whatever a check of references finds
vaultctl repair objects --read-data        what reading every byte finds as well
vaultctl repair objects packs/web1/0000000007/3f9c…    these
vaultctl repair objects --at offsite       heal the replica from the vault instead

A copy is taken only when its hash or signature is right. A damaged object is deleted and put anew,
so this needs the right to delete. What has no good copy anywhere is named; the exit code is 20.
"""

from __future__ import annotations

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, OK
from vaultctl.repairing import repaired
from vaultctl.views import heal as view
from vaultd.maintenance.heal import Outcome


@make_command(__doc__)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--at", metavar="REPLICA", help="Heal this replica, not the vault's first target.")
@click.option("--read-data", is_flag=True, help="Read every pack to find what is damaged.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be healed; change nothing.")
def command(
    app: App, names: tuple[str, ...], at: str | None, *, read_data: bool, dry_run: bool
) -> int:
    """Repair; see the module's docstring."""
    found = repaired(app, names, at, read_data=read_data, dry_run=dry_run)
    view.show(app.output, found, dry_run=dry_run)
    bad = (Outcome.NO_COPY, Outcome.REFUSED)
    return DAMAGE if any(one.outcome in bad for one in found) else OK
