"""What a prune would do, and what it did."""

from __future__ import annotations

from vaultctl import json_lines
from vaultctl.output import Output
from vaultctl.text import local, plural, zone
from vaultctl.views.tables import lines_of
from vaultd.core.units import format_size
from vaultd.maintenance.prune import Pending, PrunePlan, PruneReport


def show_plan(output: Output, plan: PrunePlan, *, dry_run: bool) -> None:
    """Write what is there and what nothing needs, host by host."""
    if output.json:
        for host in plan.hosts:
            found = host.survey
            fields = {
                "host": found.host,
                "packs": found.packs,
                "condemn_packs": len(found.fresh.packs),
                "condemn_bytes": found.fresh.size,
                "left_to_delete": len(found.swept.packs),
            }
            output.record("plan", fields | {"dry_run": dry_run})
        return
    headings = {"Host": False, "Packs": True, "Not needed": True, "Size": True, "To delete": True}
    rows = [
        [
            host.survey.host,
            f"{host.survey.packs:,}",
            f"{len(host.survey.fresh.packs):,}",
            format_size(host.survey.fresh.size),
            f"{len(host.survey.swept.packs):,}",
        ]
        for host in plan.hosts
    ]
    for line in lines_of(headings, rows, 10**6) or ():
        output.line(line)
    if dry_run:
        waiting = f"; {plural(len(plan.waiting), 'condemnation')} waiting" if plan.waiting else ""
        output.line(
            f"{plural(plan.condemned, 'pack')} of {plan.packs:,} would be condemned, "
            f"{format_size(plan.condemned_bytes)}{waiting}"
        )


def show_report(output: Output, report: PruneReport) -> None:
    """Write what was done."""
    if output.json:
        for pending in report.pending:
            output.record("pending", _fields(pending))
        output.record(
            "summary",
            {
                "packs_condemned": report.condemned,
                "objects_deleted": report.deleted,
                "bytes_deleted": report.deleted_bytes,
                "packs_rescued": report.rescued,
                "objects_retained": report.retained,
                "sessions_closed": [str(session) for session in report.revoked],
            },
        )
        return
    for session in report.revoked:
        output.line(f"closed {session}: it has stored nothing for long; its host can go on")
    for pending in report.pending:
        output.line(_words(pending))
    if report.rescued:
        output.line(f"rescued {plural(report.rescued, 'pack')}: needed after all")
    if report.retained:
        output.line(f"{plural(report.retained, 'object')} locked by the storage: kept until then")
    deleted = plural(report.deleted, "object")
    output.line(f"deleted {deleted}, {format_size(report.deleted_bytes)}")


def _words(pending: Pending) -> str:
    what = f"condemned {plural(pending.packs, 'pack')} of {pending.host}"
    if pending.sessions:
        waits = ", ".join(map(str, pending.sessions))
        return f"{what}: waiting for {waits} to end"
    when = f"{local(pending.until_ns)} {zone(pending.until_ns)}"
    return f"{what}: a run after {when} deletes them"


def _fields(pending: Pending) -> dict[str, object]:
    return {
        "log_entry": pending.number,
        "host": pending.host,
        "packs": pending.packs,
        "waiting_for": [str(session) for session in pending.sessions],
        "not_before": json_lines.instant(pending.until_ns) if pending.until_ns else None,
    }
