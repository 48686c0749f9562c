"""Bring the second copy of the vault up to date.

vaultctl replicate                 every [[vault.replicas]] of the configuration
vaultctl replicate offsite         this one
vaultctl replicate offsite --init  the first time, when there is nothing yet

Every object is copied as it is, after its hash or signature was verified; what the replica has is
neither replaced nor deleted. A run that was interrupted goes on when it is run again. A damaged
object is not copied: it is named, the rest goes on, and the exit code is 20.
"""

from __future__ import annotations

import click

from vaultctl.access import opened_place
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, INCOMPLETE, OK
from vaultctl.views import replicate as view
from vaultd.maintenance.replicate import ReplicaContext, execute_replica, plan_replica
from vaultd.vault import readings
from vaultd.vault.readings import Reading
from vaultd.wiring.replicas import open_replica, replica_named


@make_command(__doc__)
@click.argument("name", required=False)
@click.option("--init", "begin", is_flag=True, help="The replica is empty: begin it.")
@click.option("--prove", is_flag=True, help="Also read and prove what is there already.")
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be copied; copy nothing.")
def command(
    app: App, name: str | None, *, begin: bool, prove: bool, workers: int, dry_run: bool
) -> int:
    """Replicate; see the module's docstring."""
    code = OK
    tables = replica_named(app.settings, name)
    with opened_place(app) as place:
        for table in tables:
            create = begin and not dry_run
            with open_replica(table, app.settings, app.progress, create=create) as replica:
                context = ReplicaContext(
                    source=place.backend,
                    replica=replica,
                    name=table.name,
                    trust=place.trust,
                    clock=app.clock,
                    observer=app.progress,
                )
                with plan_replica(context, begin=begin) as plan:
                    if dry_run:
                        view.show_plan(app.output, table.name, plan)
                        continue
                    report = execute_replica(context, plan, prove=prove, workers=workers)
                if prove:
                    errors = sum(one.at_replica for one in report.wrong)
                    found = Reading(at_ns=app.clock.now_ns(), errors=errors)
                    readings.record(place.identity.folder, replica.location, found)
            view.show(app.output, table.name, report)
            code = max(code, DAMAGE if report.wrong else INCOMPLETE if report.gone else OK)
    return code
