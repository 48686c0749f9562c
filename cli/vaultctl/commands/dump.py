"""Write a file to standard output, or a directory as tar.

vaultctl dump latest /etc/hosts
vaultctl dump latest:/etc > etc.tar
vaultctl dump --at '2026-11-23 09:40' latest /srv/crm | tar -x -C /restored

Owners, modes, times, links, extended attributes and holes in sparse files come along in the
archive. Needs a recovery key.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from msgspec.structs import asdict

from vaultctl.archive import dump, new_file
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.filters import filter_of, filter_options
from vaultctl.reading import opened_snapshot
from vaultctl.text import plural
from vaultd.core.errors import ConfigError
from vaultd.core.units import format_size


@make_command(__doc__)
@filter_options
@click.argument("snapshot")
@click.argument("path", required=False)
@click.option("-o", "--output", "target", metavar="FILE", help="Write here, not to stdout.")
def command(app: App, snapshot: str, path: str | None, target: str | None, **chosen: Any) -> None:
    """Write a file; see the module's docstring."""
    if app.output.json and target is None:
        raise ConfigError(
            "with --json, contents cannot go to standard output as well",
            hint="Name a file with -o FILE, or leave out --json.",
        )
    reference = snapshot if path is None else f"{snapshot.partition(':')[0]}:{path}"
    with opened_snapshot(app, reference, filter_of(app, chosen)) as opened:
        if target is None:
            sys.stdout.flush()
            dumped = dump(
                *(opened.reader, opened.path, sys.stdout.buffer, app.output.warn),
                terminal=sys.stdout.isatty(),
            )
            sys.stdout.buffer.flush()
        else:
            with new_file(Path(target)) as stream:
                dumped = dump(opened.reader, opened.path, stream, app.output.warn)
        fields = {"snapshot": opened.reader.snapshot.id, **asdict(dumped), "target": target}
    if app.output.json:
        app.output.record("summary", fields)
    else:
        entries = plural(dumped.entries, "entry", "entries")
        app.output.say(f"{entries}, {format_size(dumped.data)}.")
