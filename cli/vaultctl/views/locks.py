"""Locks: what is not as was promised, and what is extended."""

from __future__ import annotations

from collections.abc import Sequence

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultd.core.clock import rfc3339
from vaultd.maintenance.locks import ExtensionPlan, LockReport, Violation

_SHOWN = 50


def show_check(output: Output, report: LockReport) -> None:
    """Write what a check of locks found."""
    _show_violations(output, report.violations)
    _show_hidden(output, report.hidden)
    if output.json:
        fields = {"violations": len(report.violations), "snapshots": report.snapshots}
        counts = {"promised_snapshots": report.promised, "objects": report.objects}
        output.record("summary", {**fields, **counts, "hidden_snapshots": list(report.hidden)})
        return
    of = f"{report.promised} of {plural(report.snapshots, 'snapshot')}"
    if report.violations:
        output.line(f"NOT LOCKED: {plural(len(report.violations), 'object')} that {of} need")
    elif not report.promised:
        output.line(f"no promise in force: {plural(report.snapshots, 'snapshot')} without a lock")
    else:
        output.line(f"locked as promised: {plural(report.objects, 'object')} of {of}")


def show_plan(output: Output, plan: ExtensionPlan, *, dry_run: bool) -> None:
    """Write what is to be extended."""
    _show_violations(output, plan.violations)
    _show_hidden(output, plan.hidden)
    for one in plan.extensions if output.verbose or output.json else ():
        until = rfc3339(one.lock.until_ns)
        if output.json:
            fields = {"name": one.version.name, "until": until, "dry_run": dry_run}
            output.record("extension", fields)
        else:
            output.line(f"lock {plain(one.version.name)} until {until}")


def show_extended(
    output: Output, plan: ExtensionPlan, refused: Sequence[Violation], *, dry_run: bool
) -> None:
    """Write what became of a plan."""
    _show_violations(output, refused)
    count = len(plan.extensions) - len(refused)
    if output.json:
        failed = len(refused) + len(plan.violations)
        fields = {"extended": 0 if dry_run else count, "planned": len(plan.extensions)}
        output.record("summary", {**fields, "failed": failed, "objects": plan.objects})
        return
    done = "would be extended" if dry_run else "extended"
    output.line(f"{plural(count, 'lock')} {done}, of {plural(plan.objects, 'object')} needed")


def _show_violations(output: Output, violations: Sequence[Violation]) -> None:
    listed = violations if output.verbose or output.json else violations[:_SHOWN]
    for one in listed:
        if output.json:
            fields = {"name": one.name, "reason": one.reason, "snapshot": one.snapshot}
            output.record("violation", fields)
        else:
            needs = f" (needed by {one.snapshot})" if one.snapshot else ""
            output.line(f"{plain(one.name)}: {plain(one.reason)}{needs}")
    if len(listed) < len(violations):
        output.line(f"… and {len(violations) - len(listed):,} more: -v shows them all")


def _show_hidden(output: Output, hidden: Sequence[str]) -> None:
    if hidden and not output.json:
        count = plural(len(hidden), "snapshot")
        output.warn(f"the packs of {count} are not known: give a recovery key")
