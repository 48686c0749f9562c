"""List the snapshots in the vault.

Each is shown with its id, time, kind, store, host, tags, number of files, size, and what it took
to store. Names are shown as far as this machine has the keys: a host sees its own, a recovery key
(--recovery-key-file) shows all. A snapshot that was here and is gone is reported, with exit code
20. Those that were pinned, which no rule forgets, are marked with a star.
"""

from __future__ import annotations

from typing import Any

import click

from vaultctl.command import listing_group
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, OK
from vaultctl.filters import filter_of, filter_options
from vaultctl.listing import opened_list
from vaultctl.views import snapshots as view
from vaultd.core.snapshot import Snapshot
from vaultd.vault.select import chosen as choose
from vaultd.vault.select import latest_of_each

_GROUPS = ("host", "store", "paths", "tags", "kind", "day")


@listing_group(__doc__, package=__name__, sections={"Commands": ("pin", "unpin")})
@filter_options
@click.option("--latest", type=click.IntRange(1), metavar="N", help="The newest N of each group.")
@click.option(
    "-g",
    "--group-by",
    default="host,store",
    show_default=True,
    metavar="LIST",
    help=f"What --latest counts by: {', '.join(_GROUPS)}; '' for all together.",
)
def command(app: App, latest: int | None, group_by: str, **chosen: Any) -> int:
    """List snapshots; see the module's docstring."""
    names = _group_names(group_by)
    wanted = filter_of(app, chosen)
    with opened_list(app, from_copies=True) as listed:
        found = choose(listed.snapshots, wanted)
        if latest is not None:
            found = latest_of_each(found, latest, lambda one: _group_of(one, names))
        view.show(app.output, found, of=len(listed.snapshots), pinned=listed.catalog.pinned())
        return DAMAGE if listed.findings else OK


def _group_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in _GROUPS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(_GROUPS)}", param_hint="-g")
    return names


def _group_of(one: Snapshot, names: tuple[str, ...]) -> tuple[object, ...]:
    fields = {
        "host": one.session.host,
        "store": one.store or one.store_id,
        "paths": one.roots,
        "tags": one.tags,
        "kind": one.kind,
        "day": one.started_ns // (86_400 * 10**9),
    }
    return tuple(fields[name] for name in names)
