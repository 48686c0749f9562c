"""Bring files back from a snapshot.

vaultctl restore latest --target /restored
vaultctl restore latest:/srv/crm --target /srv/crm-restored
vaultctl restore --at '2026-11-23 09:40' latest -t /restored -i '*.sql' --verify
vaultctl restore latest -t / --overwrite if-changed    in place, only what differs

The target must be empty unless --overwrite says what to do with what is there. With SNAP:DIR the
contents of DIR land in the target itself. A restore that was interrupted goes on when it is run
again. Needs a recovery key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import INCOMPLETE, OK
from vaultctl.filters import filter_of, filter_options
from vaultctl.reading import opened_snapshot
from vaultctl.targets import selection_of, target_options, targeting
from vaultctl.views import restore as view
from vaultd.pipeline.restore import RestoreRequest, execute_restore
from vaultd.pipeline.restore_plan import plan_restore
from vaultd.wiring.targets import files_destination


@make_command(__doc__)
@filter_options
@click.argument("snapshot")
@click.option("-t", "--target", required=True, metavar="DIR", help="Where to; made when missing.")
@targeting
@click.option("--verify", is_flag=True, help="Read everything back and compare it.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done; write nothing.")
def command(
    app: App, snapshot: str, target: str, *, verify: bool, dry_run: bool, **chosen: Any
) -> int:
    """Restore; see the module's docstring."""
    destination = files_destination(Path(target).absolute(), target_options(chosen))
    with opened_snapshot(app, snapshot, filter_of(app, chosen)) as opened:
        request = RestoreRequest(
            destination=destination,
            selection=selection_of(opened.path, chosen),
            verify=verify,
        )
        if dry_run:
            plan = plan_restore(opened.reader, request)
            view.show_plan(app.output, opened.reader.snapshot, destination.path, plan)
            return OK
        report = execute_restore(opened.reader, request, app.clock, app.progress)
        view.show(app.output, opened.reader.snapshot, destination.path, report)
    return INCOMPLETE if report.problems else OK
