"""How much a vault holds."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict
from rich.table import Table

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultctl.views.tables import new_table
from vaultd.core.units import format_size
from vaultd.maintenance.stats import Stats, Usage


def show(output: Output, found: Stats, *, chains: bool) -> None:
    """Write numbers of a vault; scripts get both stores and chains."""
    if output.json:
        for kind, usages in (("store", found.stores), ("chain", found.chains)):
            for usage in usages:
                output.record(kind, asdict(usage))
        names = ("objects", "packs", "pack_bytes", "all_bytes")
        output.record("summary", {name: getattr(found, name) for name in names})
        return
    usages = found.chains if chains else found.stores
    if usages:
        output.rich(_table(usages, "Chain" if chains else "Store"))
    output.line(
        f"The vault holds {format_size(found.all_bytes)} in {plural(found.objects, 'object')}, "
        f"of these {format_size(found.pack_bytes)} in {plural(found.packs, 'pack')}."
    )


def _table(usages: Sequence[Usage], heading: str) -> Table:
    table = new_table()
    table.add_column(heading, overflow="fold")
    for name in ("Snapshots", "Files", "Size", "If copied", "Stored"):
        table.add_column(name, justify="right", no_wrap=True)
    for usage in usages:
        table.add_row(
            plain(usage.name),
            f"{usage.snapshots:,}",
            f"{usage.files:,}",
            format_size(usage.data),
            format_size(usage.restorable),
            format_size(usage.stored),
        )
    return table
