"""Extend the locks of what snapshots need for longer than it is locked.

vaultctl lock extend --dry-run
vaultctl lock extend

New snapshots need packs that older ones put. Locks are extended by a generation more than is needed
now, so most runs have nothing to do; run it daily, on the keeper. A lock cannot be shortened again.
"""

from __future__ import annotations

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import INCOMPLETE, OK
from vaultctl.listing import opened_list
from vaultctl.locking import lock_context
from vaultctl.views import locks as view
from vaultd.maintenance.locks import execute_extension, plan_extension


@make_command(__doc__)
@click.option("-n", "--dry-run", is_flag=True, help="Say which (with -v); change nothing.")
def command(app: App, *, dry_run: bool) -> int:
    """Extend locks; see the module's docstring."""
    with opened_list(app) as listed:
        context = lock_context(app, listed)
        plan = plan_extension(context)
        view.show_plan(app.output, plan, dry_run=dry_run)
        refused = () if dry_run else execute_extension(context, plan)
    view.show_extended(app.output, plan, refused, dry_run=dry_run)
    return INCOMPLETE if refused or plan.violations or plan.hidden else OK
