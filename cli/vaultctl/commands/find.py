"""Find files by name in all snapshots, the newest first.

vaultctl find '*.sql'              every file with that ending
vaultctl find -i readme.md         whatever the case
vaultctl find /etc/hosts           by its whole path
vaultctl find --at '2d ago' --snapshot latest '*.conf'

Patterns are globs; one with a slash is compared with the whole path. Snapshots that cannot be read
are left out, with exit code 3. Needs a recovery key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import INCOMPLETE, OK
from vaultctl.filters import filter_of, filter_options
from vaultctl.listing import opened_list
from vaultctl.reading import opened_snapshot, readable
from vaultctl.text import plural
from vaultctl.views.entries import fields_of, found_line
from vaultctl.views.snapshots import line
from vaultd.core.entry import Entry
from vaultd.core.errors import IntegrityError
from vaultd.pipeline.browse import matcher, walk
from vaultd.vault.reader import SnapshotReader
from vaultd.vault.select import chosen as choose


@make_command(__doc__)
@filter_options
@click.option("-i", "--ignore-case", is_flag=True, help="Capitals and small letters are the same.")
@click.option("--snapshot", metavar="SNAP", help="Look into this one only.")
@click.argument("patterns", nargs=-1, required=True, metavar="PATTERN...")
def command(
    app: App, patterns: tuple[str, ...], snapshot: str | None, *, ignore_case: bool, **chosen: Any
) -> int:
    """Find files; see the module's docstring."""
    matches = matcher(patterns, ignore_case=ignore_case)
    wanted = filter_of(app, chosen)
    count = snapshots = missed = 0
    if snapshot is not None:
        with opened_snapshot(app, snapshot, wanted) as opened:
            count, snapshots = _look(app, opened.reader, matches, opened.path), 1
    else:
        with opened_list(app, needs_key=True) as listed:
            for reader in readable(app, listed, wanted):
                try:
                    count += _look(app, reader, matches)
                except IntegrityError as error:
                    app.output.warn(f"snapshot {line(reader.snapshot)}: {error.message}")
                    missed += 1
                snapshots += 1
            missed += len(choose(listed.snapshots, wanted)) - snapshots
    if app.output.json:
        app.output.record("summary", {"matches": count, "snapshots": snapshots})
    else:
        matched = plural(count, "match", "matches")
        app.output.say(f"{matched} in {plural(snapshots, 'snapshot')}.")
    return INCOMPLETE if missed else OK


def _look(
    app: App, reader: SnapshotReader, matches: Callable[[Entry], bool], under: bytes = b""
) -> int:
    count = 0
    output, snapshot = app.output, reader.snapshot
    for stored in walk(reader, under):
        entry = stored.entry
        if not matches(entry):
            continue
        count += 1
        if output.json:
            output.record("match", {"snapshot": snapshot.id, **fields_of(entry)})
            continue
        if count == 1:
            output.line(f"snapshot {line(snapshot)}")
        output.line(found_line(entry))
    return count
