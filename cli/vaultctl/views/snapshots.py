"""A list of snapshots."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from vaultctl import json_lines
from vaultctl.output import Output
from vaultctl.text import local, plain, plural, shown, zone
from vaultd.core.snapshot import Snapshot
from vaultd.core.units import format_size


def show(output: Output, snapshots: Sequence[Snapshot], *, of: int) -> None:
    """Write a list of snapshots, oldest first.

    Args:
        output: Where to.
        snapshots: What.
        of: How many there are in all.
    """
    if output.json:
        for snapshot in snapshots:
            output.record("snapshot", json_lines.snapshot(snapshot))
        output.record("summary", {"snapshots": len(snapshots), "snapshots_in_vault": of})
        return
    if snapshots:
        output.rich(_table(snapshots))
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


def _table(snapshots: Sequence[Snapshot]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    time = f"Time ({zone(snapshots[-1].started_ns)})"
    for heading in ("ID", time, "Kind", "Store", "Host", "Tags"):
        table.add_column(heading, no_wrap=heading not in {"Store", "Tags"}, overflow="fold")
    for heading in ("Files", "Size", "Stored"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in snapshots:
        numbers = _numbers(one)
        table.add_row(
            one.short_id,
            local(one.started_ns),
            f"{one.kind}{' !' if one.counts.problems else ''}",
            plain(one.store) or "?",
            one.session.host,
            plain(", ".join(one.tags)),
            *numbers,
        )
    return table


def _numbers(one: Snapshot) -> tuple[str, str, str]:
    if is_hidden(one):
        return "?", "?", "?"
    counts = one.counts
    return f"{counts.files:,}", format_size(counts.data), format_size(counts.stored_added)


def describe_roots(snapshot: Snapshot) -> str:
    """Return the captured paths of a snapshot, for people."""
    return ", ".join(shown(root) for root in snapshot.roots) or "?"
