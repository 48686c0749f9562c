"""Show how much the vault holds, for what, and what forgetting frees.

vaultctl stats                        one line for each store: its snapshots, its newest one
vaultctl stats --each --store crm     one line for each snapshot
vaultctl stats --forget 1a2b 3c4d     bytes freed if exactly these were forgotten, and pruned

If copied: what all snapshots would take as copies. Stored: what was stored for them. Unique: what
only they need, and no other snapshot.
"""

from __future__ import annotations

from typing import Any

import click

from vaultctl.choosing import named
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.filters import filter_of, filter_options
from vaultctl.listing import opened_list
from vaultctl.views import stats as view
from vaultd.maintenance.stats import StatsContext, freed, stats
from vaultd.vault.select import chosen as choose


@make_command(__doc__)
@filter_options
@click.argument("snapshots", nargs=-1, metavar="[SNAP]...")
@click.option("--chains", is_flag=True, help="One line for each chain, not for each store.")
@click.option("--each", is_flag=True, help="One line for each snapshot.")
@click.option("--forget", is_flag=True, help="Say what forgetting these would free.")
def command(
    app: App, snapshots: tuple[str, ...], *, chains: bool, each: bool, forget: bool, **chosen: Any
) -> None:
    """Add up; see the module's docstring."""
    wanted = filter_of(app, chosen)
    with opened_list(app) as listed:
        context = StatsContext(
            backend=listed.place.backend,
            trust=listed.place.trust,
            find_keys=listed.find_keys,
            snapshots=listed.snapshots,
        )
        if forget:
            view.show_freed(app.output, freed(context, named(listed, snapshots, wanted)))
            return
        found = named(listed, snapshots, wanted) if snapshots else choose(listed.snapshots, wanted)
        view.show(app.output, stats(context, found), chains=chains, each=each)
