"""What is brought back from beneath markers and covers."""

from __future__ import annotations

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultd.core.clock import rfc3339
from vaultd.maintenance.markers import MarkerPlan, MarkerReport, Revival


def show_plan(output: Output, plan: MarkerPlan) -> None:
    """Write what is to be brought back."""
    for one in plan.revivals:
        if output.json:
            markers = len(one.above) - one.covers
            fields = {"name": one.version.name, "markers": markers, "covers": one.covers}
            output.record("revival", {**fields, "put": rfc3339(one.version.modified_ns)})
        else:
            put = rfc3339(one.version.modified_ns)
            output.line(f"bring back {plain(one.version.name)} of {put}: {_above(one)}")
    for name in plan.lost:
        if output.json:
            output.record("lost", {"name": name})
        else:
            output.line(f"lost: {plain(name)}: none of its versions is right")


def show_report(output: Output, plan: MarkerPlan, report: MarkerReport | None) -> None:
    """Write what became of a plan; ``None``: it was only shown."""
    for kept in report.kept if report is not None else ():
        if output.json:
            output.record("kept", {"name": kept.version.name, "reason": kept.reason})
        else:
            output.line(f"stays covered: {plain(kept.reason)}")
    if output.json:
        fields = {"planned": len(plan.revivals), "lost": len(plan.lost)}
        done = 0 if report is None else report.revived
        output.record("summary", {**fields, "revived": done, "deleted": plan.deleted})
        return
    if report is None:
        output.line(f"{plural(len(plan.revivals), 'object')} would be brought back")
    else:
        output.line(f"{plural(report.revived, 'object')} brought back")


def _above(revival: Revival) -> str:
    markers = len(revival.above) - revival.covers
    parts = []
    if markers:
        parts.append(f"hidden by {plural(markers, 'marker')}")
    if revival.covers:
        parts.append(f"covered by {plural(revival.covers, 'other object')}")
    return ", ".join(parts)
