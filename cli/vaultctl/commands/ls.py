"""List the files in a snapshot.

vaultctl ls latest                 everything in the newest snapshot
vaultctl ls latest:/etc            what lies in and below /etc
vaultctl ls -l --at '3d ago' latest:/srv/crm
vaultctl ls 1a2b3c4d:/etc/hosts    one file

Needs a recovery key.
"""

from __future__ import annotations

from typing import Any

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.filters import filter_of, filter_options
from vaultctl.reading import opened_snapshot
from vaultctl.text import long_line, plural, shown
from vaultctl.views.entries import fields_of
from vaultd.core.errors import ObjectNotFoundError
from vaultd.core.units import format_size
from vaultd.pipeline.browse import walk


@make_command(__doc__)
@filter_options
@click.option("-l", "--long", is_flag=True, help="With mode, owner, size and time.")
@click.argument("snapshot", default="latest")
def command(app: App, snapshot: str, *, long: bool, **chosen: Any) -> None:
    """List files; see the module's docstring."""
    output = app.output
    count = size = 0
    with opened_snapshot(app, snapshot, filter_of(app, chosen)) as opened:
        for stored in walk(opened.reader, opened.path):
            entry = stored.entry
            count += 1
            size += entry.size
            if output.json:
                output.record("node", fields_of(entry))
            else:
                output.line(long_line(entry) if long else shown(b"/" + entry.full_path))
        if not count and opened.path:
            raise ObjectNotFoundError(
                f"snapshot {opened.reader.snapshot.short_id}: holds no {shown(b'/' + opened.path)}",
                hint="List what lies above it; paths in a snapshot begin at the root, as in :/etc.",
            )
    if output.json:
        output.record("summary", {"entries": count, "total_bytes": size})
    else:
        output.say(f"{plural(count, 'entry', 'entries')}, {format_size(size)}.")
