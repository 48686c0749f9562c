"""The one look of all tables."""

from __future__ import annotations

from rich import box
from rich.table import Table


def new_table() -> Table:
    """Return an empty table: a line under the headings, two spaces between columns."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
