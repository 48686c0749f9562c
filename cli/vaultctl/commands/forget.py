"""Take snapshots out of the vault's list.

vaultctl forget 1a2b3c4d 5e6f7a8b
vaultctl forget --tag test --store crm

They can no longer be restored. `vaultctl undelete` brings them back until `vaultctl prune` has
deleted what only they needed. A store is not left without any snapshot unless --even-the-last is
given. Needs this machine to be a keeper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from vaultctl import prompts
from vaultctl.authority import keeper_context
from vaultctl.choosing import named
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.filters import filter_of, filter_options
from vaultctl.listing import Listed, opened_list
from vaultctl.text import plural
from vaultctl.views.snapshots import line
from vaultd.core.errors import ConfigError
from vaultd.core.snapshot import Snapshot
from vaultd.maintenance.forget import forget


@make_command(__doc__)
@filter_options
@click.argument("snapshots", nargs=-1, metavar="[SNAP]...")
@click.option("--reason", default="asked for by a person", help="For the vault's log.")
@click.option("--even-the-last", is_flag=True, help="Also the only snapshot left of a store.")
@click.option("-n", "--dry-run", is_flag=True, help="Say which; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(
    app: App, snapshots: tuple[str, ...], reason: str, *, dry_run: bool, yes: bool, **chosen: Any
) -> None:
    """Forget; see the module's docstring."""
    even_the_last = chosen.pop("even_the_last")
    with opened_list(app) as listed:
        context = keeper_context(app, listed)
        doomed = named(listed, snapshots, filter_of(app, chosen))
        if not even_the_last:
            _keep_one(listed, doomed)
        _check_answerable(yes=yes or dry_run)
        for snapshot in doomed:
            if app.output.json:
                app.output.record("forget", {"snapshot": snapshot.id, "dry_run": dry_run})
            else:
                app.output.line(f"forget {line(snapshot)}")
        if doomed and not dry_run:
            if not yes:
                _ask(len(doomed))
            forget(context, doomed, reason)
    if not app.output.json:
        done = "would be forgotten" if dry_run else "forgotten"
        app.output.say(f"{plural(len(doomed), 'snapshot')} {done}.")


def _keep_one(listed: Listed, doomed: Sequence[Snapshot]) -> None:
    """Refuse to leave a store without any snapshot."""
    ids = {snapshot.id for snapshot in doomed}
    left = {(one.session.host, one.store_id) for one in listed.snapshots if one.id not in ids}
    for snapshot in doomed:
        if (snapshot.session.host, snapshot.store_id) not in left:
            raise ConfigError(
                f"store {snapshot.store or snapshot.store_id.hex()[:8]} of host "
                f"{snapshot.session.host} would have no snapshot left",
                hint="Keep its newest one, or give --even-the-last.",
            )


def _check_answerable(*, yes: bool) -> None:
    if not yes and not prompts.can_ask():
        raise ConfigError(
            "nobody is here to confirm that snapshots should be forgotten", hint="Give --yes."
        )


def _ask(count: int) -> None:
    if not prompts.ask_yes(f"Forget {plural(count, 'snapshot')}?"):
        raise ConfigError("it was not confirmed, so nothing was forgotten")
