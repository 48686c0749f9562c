"""Show what rules would hold after months of backups; no vault is needed.

vaultctl retention simulate --keep-daily 14 --keep-weekly 8 --keep-monthly 12
vaultctl retention simulate --days 800 --every 6h --full-every 30d --keep-within 30d
vaultctl retention simulate --store crm

Without --keep-… options the rules of the configuration file are taken, those of --store where it
has its own. The simulation ends now; rules are applied once a day.
"""

from __future__ import annotations

from typing import Any

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.keeping import keep_options, taken_keeping
from vaultctl.views import simulation as view
from vaultd.core.snapshot import Kind
from vaultd.policy.calendar import parse_age
from vaultd.policy.simulation import Rhythm, simulate
from vaultd.settings.retention import needed_policy


@make_command(__doc__)
@click.option("--days", type=click.IntRange(1), default=400, show_default=True, help="How long.")
@click.option("--every", default="24h", show_default=True, metavar="SPAN", help="A snapshot each.")
@click.option(
    "--full-every", default="7d", show_default=True, metavar="SPAN", help="A full one each."
)
@click.option(
    "--between",
    type=click.Choice(["incremental", "differential"]),
    default="incremental",
    show_default=True,
    help="What is made between full ones.",
)
@click.option("--store", default="", metavar="NAME", help="Whose rules in the configuration file.")
@keep_options
def command(app: App, store: str, **chosen: Any) -> None:
    """Simulate; see the module's docstring."""
    keeping = taken_keeping(chosen)
    policy = needed_policy(app.settings.config, store, keeping.table)
    rhythm = Rhythm(
        days=chosen["days"],
        every_s=parse_age(chosen["every"]),
        full_every_s=parse_age(chosen["full_every"]),
        between=Kind(chosen["between"]),
    )
    view.show(app.output, policy, simulate(policy, rhythm, app.clock.now_ns()))
