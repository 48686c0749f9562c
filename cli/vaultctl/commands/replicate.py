"""Bring the second copy of the vault up to date.

vaultctl replicate                 every [[vault.replicas]] of the configuration
vaultctl replicate offsite         this one
vaultctl replicate offsite --init  the first time, when there is nothing yet

Every object is copied as it is, after its hash or signature was verified. What the replica has is
not replaced, and deleted only with --prune: what the vault's log says is deleted there, once that
is older than keep_deleted of the configuration. A run that was interrupted goes on when it is run
again. A damaged object is not copied: it is named, the rest goes on, and the exit code is 20.
"""

from __future__ import annotations

from typing import Any

import click

from vaultctl.access import opened_place
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import FAILED, OK
from vaultctl.replicating import Asked, replicated
from vaultd.core.errors import VaultdError
from vaultd.wiring.replicas import replica_named


@make_command(__doc__)
@click.argument("name", required=False)
@click.option("--init", "begin", is_flag=True, help="The replica is empty: begin it.")
@click.option("--prove", is_flag=True, help="Also read and prove what is there already.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Objects at once; each is held in memory.",
)
@click.option("--prune", is_flag=True, help="Also delete what the vault deleted long ago.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done; change nothing.")
def command(app: App, name: str | None, **chosen: Any) -> int:
    """Replicate; see the module's docstring."""
    tables = replica_named(app.settings, name)
    asked = Asked(**chosen)
    code = OK
    with opened_place(app) as place:
        for table in tables:
            try:
                code = max(code, replicated(app, place, table, asked))
            except VaultdError as error:
                if len(tables) == 1:
                    raise
                # One that is down must not keep the others from being brought up to date.
                app.output.warn(f"replica {table.name}: {error.message}")
                code = max(code, FAILED)
    return code
