"""Show how much the vault holds, and for what.

One line for each store and host: snapshots, files and size of the newest one, what all snapshots
together would be if they were copies, and what was stored for them.
"""

from __future__ import annotations

from typing import Any

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.filters import filter_of, filter_options
from vaultctl.listing import opened_list
from vaultctl.views import stats as view
from vaultd.maintenance.stats import stats
from vaultd.vault.select import chosen as choose


@make_command(__doc__)
@filter_options
@click.option("--chains", is_flag=True, help="One line for each chain, not for each store.")
def command(app: App, *, chains: bool, **chosen: Any) -> None:
    """Add up; see the module's docstring."""
    with opened_list(app) as listed:
        found = choose(listed.snapshots, filter_of(app, chosen))
        view.show(app.output, stats(listed.place.backend, found), chains=chains)
