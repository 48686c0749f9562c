"""How much a vault holds."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict
from rich.table import Table

from vaultctl.output import Output
from vaultctl.text import local, plain, plural
from vaultctl.views.tables import new_table
from vaultd.core.units import format_size
from vaultd.maintenance.stats import Freed, SnapshotUsage, Stats, Usage


def show(output: Output, found: Stats, *, chains: bool, each: bool) -> None:
    """Write numbers of a vault; scripts get stores, chains and snapshots."""
    if output.json:
        _record(output, found)
        return
    usages = found.chains if chains else found.stores
    if each and found.snapshots:
        output.rich(_snapshots(found.snapshots))
    elif usages:
        output.rich(_groups(usages, "Chain" if chains else "Store"))
    if any(one.unique is None for one in found.snapshots):
        output.say("?: keys of some snapshots are not here, or their roots cannot be read.")
    output.line(
        f"The vault holds {format_size(found.all_bytes)} in {plural(found.objects, 'object')}, "
        f"of these {format_size(found.pack_bytes)} in {plural(found.packs, 'pack')}."
    )
    if found.unneeded:
        output.line(
            f"{format_size(found.unneeded)} are needed by no snapshot: they are of runs under way "
            "or given up, or will be pruned."
        )


def show_freed(output: Output, found: Freed) -> None:
    """Write what forgetting would give back."""
    if output.json:
        output.record("summary", asdict(found))
        return
    output.line(
        f"Forgetting {plural(found.snapshots, 'snapshot')} would free {format_size(found.size)} "
        f"in {plural(found.objects, 'object')}, of these {plural(found.packs, 'pack')}."
    )
    output.say("They are deleted by prunes once the snapshots can no longer be recalled.")


def _record(output: Output, found: Stats) -> None:
    for kind, usages in (("store", found.stores), ("chain", found.chains)):
        for usage in usages:
            output.record(kind, asdict(usage))
    for one in found.snapshots:
        fields = {"id": one.snapshot.id, "store": one.snapshot.store, "unique": one.unique}
        output.record("snapshot", fields)
    names = ("objects", "packs", "pack_bytes", "unneeded", "all_bytes")
    output.record("summary", {name: getattr(found, name) for name in names})


def _size(size: int | None) -> str:
    return "?" if size is None else format_size(size)


def _groups(usages: Sequence[Usage], heading: str) -> Table:
    table = new_table()
    table.add_column(heading, overflow="fold")
    for name in ("Snapshots", "Files", "Size", "If copied", "Stored", "Unique"):
        table.add_column(name, justify="right", no_wrap=True)
    for usage in usages:
        table.add_row(
            plain(usage.name),
            f"{usage.snapshots:,}",
            f"{usage.files:,}",
            format_size(usage.data),
            format_size(usage.restorable),
            format_size(usage.stored),
            _size(usage.unique),
        )
    return table


def _snapshots(usages: Sequence[SnapshotUsage]) -> Table:
    table = new_table()
    for name in ("ID", "Time", "Kind"):
        table.add_column(name, no_wrap=True)
    table.add_column("Store", overflow="fold")
    for name in ("Size", "Stored", "Unique"):
        table.add_column(name, justify="right", no_wrap=True)
    for usage in usages:
        one = usage.snapshot
        table.add_row(
            one.short_id,
            local(one.started_ns),
            one.kind,
            plain(one.store or one.store_id.hex()[:8]),
            format_size(one.counts.data),
            format_size(one.counts.stored_added),
            _size(usage.unique),
        )
    return table
