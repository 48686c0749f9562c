"""Read everything in turn, a little each day, and tell of damage.

vaultctl scrub                      what is due today
vaultctl scrub --max-bytes 10G      no more than that in this run
vaultctl scrub --dry-run            what it would read

What was never read comes first, the newest before the older, then all the rest in turn, so that
every byte is read once in 30 days (--window, and [scrub] in the configuration file). What was read
is remembered: it can be stopped at any moment, and be run by a timer as often as you like.

No recovery key is needed: hashes tell damage. With one (--recovery-key-file), contents are opened
too, and damage is told file by file. A keeper tells hosts through the log which packs are bad, so
that they store what is in them again. Damage gives exit code 20.
"""

from __future__ import annotations

import click
from msgspec.structs import replace

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, OK
from vaultctl.listing import opened_list
from vaultctl.looking import check_context, keeper_if_any, remember_reading
from vaultctl.repairing import healing
from vaultctl.views import scrub as view
from vaultd.core.units import parse_duration, parse_size
from vaultd.maintenance.scrub import ScrubContext, ScrubLimits, planned_scrub
from vaultd.maintenance.subsets import parse_share


@make_command(__doc__)
@click.option("--max-bytes", metavar="SIZE", help="Read at most so much in this run: 10G.")
@click.option(
    "--max-requests", metavar="N", type=click.IntRange(min=1), help="Make at most so many requests."
)
@click.option("--window", metavar="TIME", help="Read everything once in this time: 30d.")
@click.option("--shard", metavar="K/N", help="Read the share of one of several machines.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be read; read nothing.")
def command(
    app: App,
    *,
    max_bytes: str | None,
    max_requests: int | None,
    window: str | None,
    shard: str | None,
    dry_run: bool,
) -> int:
    """Scrub; see the module's docstring."""
    rule = app.settings.config.scrub.rule()
    if window is not None:
        rule = replace(rule, window_s=parse_duration(window))
    limits = ScrubLimits(
        rule=rule,
        max_bytes=None if max_bytes is None else parse_size(max_bytes),
        max_requests=max_requests,
        shard=None if shard is None else parse_share(shard),
    )
    with opened_list(app) as listed:
        context = ScrubContext(
            looking=check_context(app, listed), keeper=keeper_if_any(listed), heal=healing(app)
        )
        with planned_scrub(context, limits) as scrub:
            if dry_run:
                view.show_plan(app.output, scrub.plan)
                return OK
            report = scrub.execute()
        remember_reading(listed, report.all_read_ns, len(report.damages))
    view.show(app.output, report)
    return DAMAGE if report.damages else OK
