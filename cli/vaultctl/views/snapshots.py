"""A list of snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from vaultctl import json_lines
from vaultctl.output import Output
from vaultctl.text import local, plain, plural, shown, zone
from vaultctl.views.tables import lines_of, new_table
from vaultd.core.snapshot import SessionId, Snapshot
from vaultd.core.units import format_size

if TYPE_CHECKING:
    from rich.table import Table

_ROOMY, _NARROW = 110, 70
"""Columns from which on everything is shown, and below which sizes are left out."""

_FOLDED = ("Store", "Host", "Tags")

NOTHING_PINNED: Mapping[SessionId, str] = MappingProxyType({})


def show(
    output: Output,
    snapshots: Sequence[Snapshot],
    *,
    of: int,
    pinned: Mapping[SessionId, str] = NOTHING_PINNED,
) -> None:
    """Write a list of snapshots, oldest first.

    Args:
        output: Where to.
        snapshots: What.
        of: How many there are in all.
        pinned: Those that no rule forgets, with the reason.
    """
    if output.json:
        for snapshot in snapshots:
            fields = json_lines.snapshot(snapshot)
            output.record("snapshot", fields | {"pinned": pinned.get(snapshot.session)})
        output.record("summary", {"snapshots": len(snapshots), "snapshots_in_vault": of})
        return
    if snapshots:
        _show_table(output, snapshots, pinned)
    if any(one.session in pinned for one in snapshots):
        output.say("* pinned: no rule forgets it.")
    if any(one.counts.problems for one in snapshots):
        output.say("! incomplete: some files could not be read when it was made.")
    if any(is_hidden(snapshot) for snapshot in snapshots):
        output.say("Names and sizes of some are not shown: their keys are not on this machine.")
    output.say(
        plural(len(snapshots), "snapshot")
        + (f" of {of:,}" if of != len(snapshots) else "")
        + ("." if of else " yet: `vaultctl backup PATH` makes the first.")
    )


def is_hidden(snapshot: Snapshot) -> bool:
    """Tell whether the keys at hand do not show what a snapshot is called."""
    return not snapshot.store and not snapshot.roots


def line(snapshot: Snapshot) -> str:
    """Return a snapshot in one line: ``1a2b3c4d of 2026-11-23 18:55:07 UTC (full, store crm…)``."""
    store = f", store {plain(snapshot.store)}" if snapshot.store else ""
    when = f"{local(snapshot.started_ns)} {zone(snapshot.started_ns)}"
    return f"{snapshot.short_id} of {when} ({snapshot.kind}{store} on host {snapshot.session.host})"


def _show_table(
    output: Output, snapshots: Sequence[Snapshot], pinned: Mapping[SessionId, str]
) -> None:
    roomy = output.columns >= _ROOMY
    headings = _headings(snapshots, roomy=roomy)
    if output.columns < _NARROW:
        del headings["Size"]
    rows = []
    for one in snapshots:
        cells = _cells(one, roomy=roomy)
        cells["Kind"] += " *" if one.session in pinned else ""
        rows.append([cells[_key(heading)] for heading in headings])
    lines = lines_of(headings, rows, output.columns)
    if lines is None:
        output.rich(_folded(headings, rows))
    else:
        from rich.text import Text  # noqa: PLC0415 - not needed for lists in JSON

        output.rich(Text(lines[0], style="bold", no_wrap=True))
        output.line("\n".join(lines[1:]))


def _folded(headings: dict[str, bool], rows: list[list[str]]) -> Table:
    table = new_table()
    for at, (heading, right) in enumerate(headings.items()):
        whole = heading not in _FOLDED
        table.add_column(
            heading,
            justify="right" if right else "left",
            no_wrap=whole,
            overflow="fold",
            min_width=max(len(heading), *(len(row[at]) for row in rows)) if whole else None,
        )
    for row in rows:
        table.add_row(*row)
    return table


def _headings(snapshots: Sequence[Snapshot], *, roomy: bool) -> dict[str, bool]:
    """Return the columns worth their room, and which of them are numbers."""
    headings = {"ID": False, f"Time ({zone(snapshots[-1].started_ns)})": False, "Kind": False}
    headings["Store"] = False
    if roomy or len({one.session.host for one in snapshots}) > 1:
        headings["Host"] = False
    if roomy or any(one.tags for one in snapshots):
        headings["Tags"] = False
    if roomy:
        headings["Files"] = True
    return headings | {"Size": True, "Stored": True}


def _key(heading: str) -> str:
    return heading.partition(" ")[0]


def _cells(one: Snapshot, *, roomy: bool) -> dict[str, str]:
    files, size, stored = _numbers(one)
    kind = str(one.kind) if roomy else str(one.kind)[:4]
    time = local(one.started_ns)
    return {
        "ID": one.short_id,
        "Time": time if roomy else time[:16],
        "Kind": f"{kind}{' !' if one.counts.problems else ''}",
        "Store": plain(one.store) or "?",
        "Host": one.session.host,
        "Tags": plain(", ".join(one.tags)),
        "Files": files,
        "Size": size,
        "Stored": stored,
    }


def _numbers(one: Snapshot) -> tuple[str, str, str]:
    if is_hidden(one):
        return "?", "?", "?"
    counts = one.counts
    return f"{counts.files:,}", format_size(counts.data), format_size(counts.stored_added)


def describe_roots(snapshot: Snapshot) -> str:
    """Return the captured paths of a snapshot, for people."""
    return ", ".join(shown(root) for root in snapshot.roots) or "?"
