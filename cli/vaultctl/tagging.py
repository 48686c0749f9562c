"""Changing the tags of snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from vaultctl.authority import keeper_context
from vaultctl.choosing import named
from vaultctl.context import App
from vaultctl.filters import filter_of
from vaultctl.listing import opened_list
from vaultctl.text import plain, plural
from vaultd.core.errors import ConfigError
from vaultd.maintenance.forget import change_tags

F = TypeVar("F", bound=Callable[..., Any])

_MAX_TAG = 100


def tag_arguments(function: F) -> F:
    """Add the arguments ``names`` and ``snapshots``."""
    snapshots = click.argument("snapshots", nargs=-1, metavar="[SNAP]...")
    return click.argument("names", metavar="A,B")(snapshots(function))


def change(
    app: App,
    references: Sequence[str],
    chosen: dict[str, Any],
    *,
    add: tuple[str, ...] = (),
    remove: tuple[str, ...] = (),
    replace: tuple[str, ...] | None = None,
) -> None:
    """Change the tags of the snapshots that are named.

    Args:
        app: The run.
        references: Snapshots, as typed.
        chosen: What `vaultctl.filters.filter_options` added.
        add: Tags to add.
        remove: Tags to remove.
        replace: Tags to have instead of those there; ``None``: no.

    Raises:
        ConfigError: No tag or no snapshot was named.
        KeyringError: This machine is no keeper, or lacks the keys of a snapshot's host.
    """
    for tag in (*add, *remove, *(replace or ())):
        if len(tag) > _MAX_TAG or not tag.isprintable():
            raise ConfigError(f"tag {tag[:20]!r}: expected at most {_MAX_TAG} printable characters")
    if replace is None and not add and not remove:
        raise ConfigError("no tag was named", hint="Name tags with commas between them: a,b.")
    with opened_list(app) as listed:
        context = keeper_context(app, listed)
        snapshots = named(listed, references, filter_of(app, chosen))
        for snapshot in snapshots:
            gone = remove if replace is None else tuple(set(snapshot.tags) - set(replace))
            change_tags(context, [snapshot], add=add if replace is None else replace, remove=gone)
        after = {one.id: one for one in listed.catalog.snapshots(context.trust, listed.find_keys)}
    for snapshot in snapshots:
        tags = after[snapshot.id].tags
        if app.output.json:
            app.output.record("changed", {"snapshot": snapshot.id, "tags": list(tags)})
        else:
            app.output.line(f"{snapshot.short_id}  {plain(', '.join(tags)) or '(no tags)'}")
    if not app.output.json:
        app.output.say(f"{plural(len(snapshots), 'snapshot')} changed.")
