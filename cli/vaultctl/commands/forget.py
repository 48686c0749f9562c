"""Take snapshots out of the vault's list, by name or by rules.

vaultctl forget 1a2b3c4d 5e6f7a8b
vaultctl forget --tag test --store crm
vaultctl forget --dry-run --keep-daily 14 --keep-weekly 8 --keep-monthly 12
vaultctl forget --policy --yes

With --keep-… options, or --policy for the rules in the configuration file, a table says of each
snapshot whether it is kept and why. Rules are joined by "or" and count all snapshots of a store;
filters only limit what is forgotten. Never forgotten by rules: what is younger than --min-age by
the storage's clock, the newest three good ones of a store, and what a kept one was built on.

They can no longer be restored. `vaultctl undelete` brings them back until `vaultctl prune` has
deleted what only they needed. When snapshots are named, a store is not left without any unless
--even-the-last is given. Needs this machine to be a keeper.
"""

from __future__ import annotations

from typing import Any

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.filters import filter_of, filter_options
from vaultctl.forgetting import Terms, forget_by_policy, forget_named
from vaultctl.keeping import Keeping, keep_options, taken_keeping
from vaultd.core.errors import ConfigError


@make_command(__doc__)
@filter_options
@click.argument("snapshots", nargs=-1, metavar="[SNAP]...")
@click.option("--policy", is_flag=True, help="Keep what the configuration file says.")
@keep_options
@click.option("--reason", metavar="TEXT", help="For the vault's log.")
@click.option("--even-the-last", is_flag=True, help="Also the only snapshot left of a store.")
@click.option("-n", "--dry-run", is_flag=True, help="Say which; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(app: App, snapshots: tuple[str, ...], *, policy: bool, **chosen: Any) -> None:
    """Forget; see the module's docstring."""
    keeping = taken_keeping(chosen)
    terms = Terms(**{name: chosen.pop(name) for name in Terms.__struct_fields__})
    wanted = filter_of(app, chosen)
    if _is_by_policy(keeping, policy=policy, named=bool(snapshots)):
        forget_by_policy(app, keeping, wanted, terms)
    else:
        forget_named(app, snapshots, wanted, terms)


def _is_by_policy(keeping: Keeping, *, policy: bool, named: bool) -> bool:
    """Tell whether rules decide, and refuse what says two things at once."""
    ruled = keeping.given or policy
    if ruled and named:
        raise ConfigError("snapshots are named, and rules are given", hint="Give one of them.")
    if keeping.given and policy:
        raise ConfigError("--policy and --keep-… are both given", hint="Give one of them.")
    if keeping.has_terms and not ruled:
        raise ConfigError("--min-age and --timezone go with rules", hint="Give --keep-… too.")
    return ruled
