"""The one look of all tables: a line under the headings, two spaces between columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_GAP = "  "


def new_table() -> Table:
    """Return an empty table that folds what does not fit."""
    from rich import box  # noqa: PLC0415 - takes longer than most lists
    from rich.table import Table  # noqa: PLC0415 - as above

    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def lines_of(
    headings: Mapping[str, bool], rows: Sequence[Sequence[str]], columns: int
) -> list[str] | None:
    """Return a table in which nothing needs to be folded as lines; ``None`` when it is too wide.

    It looks like `new_table`, whose layout takes half a millisecond for each row.

    Args:
        headings: Of the columns, and whether each holds numbers.
        rows: Their cells.
        columns: How wide it may be.
    """
    widths = [max(map(_width, column)) for column in zip(headings, *rows, strict=True)]
    whole = sum(widths) + len(_GAP) * (len(widths) - 1)
    if whole > columns:
        return None
    rights = list(headings.values())
    lines = []
    for row in (list(headings), *rows):
        cells = map(_padded, row, widths, rights)
        lines.append(_GAP.join(cells).rstrip())
    lines.insert(1, "─" * whole)
    return lines


def _padded(cell: str, width: int, right: bool) -> str:  # noqa: FBT001 - called by `map`
    room = " " * (width - _width(cell))
    return room + cell if right else cell + room


def _width(cell: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if cell.isascii():
        return len(cell)
    from rich.cells import cell_len  # noqa: PLC0415 - seldom needed

    return cell_len(cell)
