"""Show what differs between two snapshots.

vaultctl diff latest~1 latest
vaultctl diff 1a2b3c4d:/etc 5e6f7a8b:/etc

Each line begins with + (added), - (removed), M (other contents), U (other owner, mode, time or
attributes) or T (another type). Needs a recovery key.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.filters import filter_of, filter_options
from vaultctl.reading import opened_two
from vaultctl.text import plural, shown
from vaultctl.views.entries import difference_fields, difference_line
from vaultctl.views.snapshots import line
from vaultd.core.errors import ConfigError
from vaultd.pipeline.browse import Change, differences

_NAMES = {
    Change.ADDED: "added",
    Change.REMOVED: "removed",
    Change.CONTENT: "changed",
    Change.METADATA: "metadata_changed",
    Change.TYPE: "type_changed",
}


@make_command(__doc__)
@filter_options
@click.option("--no-metadata", is_flag=True, help="Leave out what differs in metadata only (U).")
@click.argument("old")
@click.argument("new")
def command(app: App, old: str, new: str, *, no_metadata: bool, **chosen: Any) -> None:
    """Compare; see the module's docstring."""
    output = app.output
    counts: Counter[Change] = Counter()
    with opened_two(app, (old, new), filter_of(app, chosen)) as (left, right):
        if left.path != right.path:
            raise ConfigError(
                f"cannot compare {shown(b'/' + left.path)} with {shown(b'/' + right.path)}",
                hint="Name the same path on both sides.",
            )
        output.say(f"- snapshot {line(left.reader.snapshot)}")
        output.say(f"+ snapshot {line(right.reader.snapshot)}")
        for difference in differences(left.reader, right.reader, left.path):
            if no_metadata and difference.change is Change.METADATA:
                continue
            counts[difference.change] += 1
            if output.json:
                output.record("change", difference_fields(difference))
            else:
                output.line(difference_line(difference))
    if output.json:
        output.record("summary", {name: counts[change] for change, name in _NAMES.items()})
    else:
        parts = [f"{counts[one]:,} {name.replace('_', ' ')}" for one, name in _NAMES.items()]
        output.say(f"{plural(counts.total(), 'difference')}: {', '.join(parts)}.")
