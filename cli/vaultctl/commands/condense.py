"""Have what little is needed of old packs stored anew, so that they can go.

vaultctl condense --dry-run
vaultctl condense --below 40

Finds packs of which the newest snapshots need less than 40 % (--below), and tells their hosts in
the log: the next backup stores that little anew, at most 5 % (--most) of what its snapshot names,
and no longer needs them. `vaultctl prune` deletes them when older snapshots are forgotten. Needs
this machine to be a keeper, and a recovery key, because trees say what is needed.
"""

from __future__ import annotations

import click

from vaultctl.authority import keeper_context
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.listing import opened_list, read_context
from vaultctl.text import plural
from vaultctl.views.snapshots import line
from vaultd.core.units import format_size
from vaultd.maintenance.condense import CondenseRule, Sparse, condense, find_sparse

_PERCENT = click.FloatRange(0, 100)


@make_command(__doc__)
@click.option(
    "--below",
    type=_PERCENT,
    default=40,
    show_default=True,
    metavar="PERCENT",
    help="Packs of which less than this is needed.",
)
@click.option(
    "--most",
    type=_PERCENT,
    default=5,
    show_default=True,
    metavar="PERCENT",
    help="Most of what a snapshot names that its next backup may store anew.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Say which; change nothing.")
def command(app: App, *, below: float, most: float, dry_run: bool) -> None:
    """Condense; see the module's docstring."""
    rule = CondenseRule(below=below / 100, most=most / 100)
    with opened_list(app, needs_key=True) as listed:
        context = keeper_context(app, listed)
        reading = read_context(app, listed)
        found = tuple(find_sparse(context, reading, listed.snapshots, rule))
        if not dry_run:
            condense(context, found)
    for sparse in found:
        if app.output.json:
            app.output.record("sparse", _fields(sparse))
        else:
            app.output.line(_words(sparse))
    if not app.output.json:
        count = sum(len(sparse.packs) for sparse in found)
        told = "would be told" if dry_run else "told"
        app.output.say(f"{plural(count, 'sparse pack')} {told} to hosts.")


def _fields(sparse: Sparse) -> dict[str, object]:
    return {
        "snapshot": sparse.snapshot.id,
        "packs": len(sparse.packs),
        "bytes": sparse.size,
        "bytes_needed": sparse.needed,
    }


def _words(sparse: Sparse) -> str:
    needed, size = format_size(sparse.needed), format_size(sparse.size)
    return f"{line(sparse.snapshot)}: needs {needed} of {plural(len(sparse.packs), 'pack')}, {size}"
