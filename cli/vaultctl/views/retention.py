"""What a policy keeps and forgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vaultctl import json_lines
from vaultctl.output import Output
from vaultctl.text import local, plain, plural, zone
from vaultctl.views.tables import lines_of, new_table
from vaultd.maintenance.retention import Judged, RetentionPlan

_FOLDED = ("Store", "Host", "Why")


def show_plan(output: Output, plan: RetentionPlan) -> None:
    """Write what becomes of each snapshot, oldest first, and what a person should know."""
    for warning in plan.warnings:
        output.warn(warning)
    if output.json:
        for one in plan.judged:
            output.record("verdict", _fields(one))
    elif plan.judged:
        _show_table(output, plan.judged)


def show_end(output: Output, plan: RetentionPlan, *, dry_run: bool) -> None:
    """Write how many there are of each."""
    forgotten = len(plan.doomed)
    kept = len(plan.judged) - forgotten
    if output.json:
        output.record("summary", {"kept": kept, "forgotten": forgotten, "dry_run": dry_run})
        return
    done = "would be forgotten" if dry_run else "forgotten"
    output.say(f"{plural(kept, 'snapshot')} kept, {forgotten:,} {done}.")


def _fields(one: Judged) -> dict[str, object]:
    snapshot = one.snapshot
    return {
        "id": snapshot.id,
        "short_id": snapshot.short_id,
        "time": json_lines.instant(snapshot.started_ns),
        "committed": json_lines.instant(one.committed_ns),
        "kind": str(snapshot.kind),
        "store": snapshot.store,
        "host": snapshot.session.host,
        "seq": snapshot.session.seq,
        "kept": one.kept,
        "reasons": list(one.reasons),
        "policy": one.policy,
    }


def _show_table(output: Output, judged: Sequence[Judged]) -> None:
    time = f"Time ({zone(judged[-1].snapshot.started_ns)})"
    rows = [_row(one, time) for one in judged]
    headings = dict.fromkeys(rows[0], False)
    if len({one.snapshot.session.host for one in judged}) == 1:
        del headings["Host"]
    show_rows(output, headings, [[row[heading] for heading in headings] for row in rows])


def _row(one: Judged, time: str) -> dict[str, str]:
    snapshot = one.snapshot
    return {
        "ID": snapshot.short_id,
        time: local(snapshot.started_ns)[:16],
        "Kind": str(snapshot.kind)[:4],
        "Store": plain(snapshot.store) or "?",
        "Host": snapshot.session.host,
        "What": "keep" if one.kept else "forget",
        "Why": plain("; ".join(one.reasons)),
    }


def show_rows(output: Output, headings: Mapping[str, bool], rows: Sequence[Sequence[str]]) -> None:
    """Write a table, folding what people read last where it is too wide.

    Args:
        output: Where to.
        headings: Of the columns, and whether each holds numbers.
        rows: Their cells.
    """
    lines = lines_of(headings, rows, output.columns)
    if lines is not None:
        output.line("\n".join(lines))
        return
    table = new_table()
    for heading, right in headings.items():
        folded = heading in _FOLDED
        table.add_column(
            heading, justify="right" if right else "left", no_wrap=not folded, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    output.rich(table)
