"""Check that everything the snapshots need is there, and whole.

vaultctl check                 every object is there and has its size
vaultctl check --read-data     every byte is read and proven

With a recovery key (--recovery-key-file) trees and contents are opened too; without one,
signatures and hashes are compared. Nothing is changed. Damage gives exit code 20.
"""

from __future__ import annotations

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, OK
from vaultctl.listing import opened_list
from vaultctl.views import check as view
from vaultd.maintenance.check import CheckContext, check
from vaultd.vault import readings
from vaultd.vault.readings import Reading


@make_command(__doc__)
@click.option("--read-data", is_flag=True, help="Read every pack, not only look it up.")
def command(app: App, *, read_data: bool) -> int:
    """Check; see the module's docstring."""
    with opened_list(app) as listed:
        context = CheckContext(
            backend=listed.place.backend,
            trust=listed.place.trust,
            catalog=listed.catalog,
            find_keys=listed.find_keys,
            keys=listed.keys,
            folder=listed.place.identity.folder,
            clock=app.clock,
            observer=app.progress,
        )
        report = check(context, read_data=read_data)
        if read_data:
            found = Reading(at_ns=app.clock.now_ns(), errors=len(report.damages))
            readings.record(context.folder, context.backend.location, found)
    view.show(app.output, report)
    return DAMAGE if report.damages else OK
