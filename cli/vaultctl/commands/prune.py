"""Delete what no snapshot needs.

vaultctl prune --dry-run
vaultctl prune

In two steps: a run condemns what nothing needs, a run at least a day later (--wait) deletes it.
Run it daily: each does both. Backups go on meanwhile. A forgotten snapshot can be brought back for
a week (--recall) with `vaultctl undelete`. Needs this machine to be a keeper.
"""

from __future__ import annotations

import click
from msgspec.structs import replace

from vaultctl.authority import keeper_context
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.listing import opened_list
from vaultctl.views import prune as view
from vaultd.core.errors import CautionError, ConfigError
from vaultd.core.units import parse_duration
from vaultd.maintenance.prune import check_plan, execute_prune, plan_prune
from vaultd.maintenance.server_time import server_now_ns
from vaultd.maintenance.survey import PruneRules
from vaultd.wiring.storage import overwrites
from vaultd.wiring.system import give_way, system_random


@make_command(__doc__)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would go; change nothing.")
@click.option("--confirm", type=int, metavar="N", help="So many packs may be condemned at once.")
@click.option("--recall", metavar="TIME", help="How long forgotten snapshots can come back: 7d.")
@click.option("--wait", metavar="TIME", help="From condemning to deleting: 24h.")
@click.option("--revoke-after", metavar="TIME", help="When a silent backup is closed: 24h.")
@click.option(
    "--exclusive",
    is_flag=True,
    help="On storage without conditional writes: nothing else is at work in this vault.",
)
def command(
    app: App, *, dry_run: bool, confirm: int | None, exclusive: bool, **times: str | None
) -> None:
    """Prune; see the module's docstring."""
    rules = _rules(app, confirm, times)
    give_way()  # backups on this machine must not feel it
    with opened_list(app) as listed:
        context = keeper_context(app, listed)
        backend = context.backend
        if overwrites(backend.location, app.settings.s3) and not exclusive:
            raise ConfigError(
                f"{backend.location}: without conditional writes nothing may be deleted while "
                "others write",
                hint="Stop all backups and other keepers, then give --exclusive.",
            )
        now_ns = app.clock.now_ns() if dry_run else server_now_ns(backend, app.clock, system_random)
        plan = plan_prune(context, now_ns, rules)
        view.show_plan(app.output, plan, dry_run=dry_run)
        if not dry_run:
            view.show_report(app.output, execute_prune(context, plan))
            return
        try:
            check_plan(plan)
        except CautionError as caution:
            app.output.warn(caution.message)


def _rules(app: App, confirm: int | None, times: dict[str, str | None]) -> PruneRules:
    given = {f"{name}_s": parse_duration(text) for name, text in times.items() if text is not None}
    return replace(app.settings.config.keeper.rules(), confirmed=confirm, **given)
