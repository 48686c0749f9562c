"""What a scrub would read, and what it found."""

from __future__ import annotations

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultctl.views.damage import age_fields, harm, rest, share, show_damage
from vaultd.core.units import format_size
from vaultd.maintenance.scrub import ScrubPlan, ScrubReport

_DAY_S = 86_400


def show_plan(output: Output, plan: ScrubPlan) -> None:
    """Write what a scrub would read."""
    if output.json:
        output.record("plan", _plan_fields(plan))
        return
    for part in plan.planned:
        output.line(f"{part.due}: {plural(part.count, 'object')}, {format_size(part.size)}")
    count = sum(part.count for part in plan.planned)
    size = sum(part.size for part in plan.planned)
    output.line(
        f"would read {plural(count, 'object')} ({format_size(size)}) of "
        f"{plan.needed.count:,} ({format_size(plan.needed.size)})"
    )
    _warn_if_slow(output, plan)


def _plan_fields(plan: ScrubPlan) -> dict[str, object]:
    return {
        "snapshots": plan.snapshots,
        "objects": plan.needed.count,
        "bytes": plan.needed.size,
        "bytes_spent_today": plan.spent.size,
        "requests_spent_today": plan.spent.requests,
        "planned": [
            {"due": str(part.due), "objects": part.count, "bytes": part.size}
            for part in plan.planned
        ],
    }


def _warn_if_slow(output: Output, plan: ScrubPlan) -> None:
    window_days = plan.rule.window_s / _DAY_S
    if plan.days > window_days:
        output.warn(
            f"at {format_size(plan.rule.bytes_per_day)} a day everything is read in "
            f"{plan.days:,.0f} days, not in {window_days:,.0f}: raise [scrub] bytes_per_day"
        )


def show(output: Output, report: ScrubReport) -> None:
    """Write what a scrub found."""
    show_damage(output, report.damages, report.files)
    if output.json:
        for name in report.healed:
            output.record("healed", {"name": name})
        output.record("summary", _fields(report))
        return
    for name in report.healed:
        output.line(f"good again: {plain(name)}")
    if report.hidden:
        count = plural(len(report.hidden), "snapshot")
        output.warn(f"{count} could not be looked at: their keys are not on this machine")
    if report.damages and report.logged is None:
        output.warn("hosts are not told: this machine is no keeper")
    if report.logged:
        output.say("Hosts are told: with their next run they store again what is damaged.")
    _warn_if_slow(output, report.plan)
    output.line(_verdict(report))


def _fields(report: ScrubReport) -> dict[str, object]:
    return {
        "num_errors": len(report.damages),
        "objects_read": report.objects,
        "bytes_read": report.read,
        "requests": report.requests,
        "contents_opened": report.opened,
        "damaged_files": sum(not file.is_listing for file in report.files),
        "healed": len(report.healed),
        "log_entries": report.logged,
        "hidden_snapshots": list(report.hidden),
        "bytes_read_in_window": report.age.read,
        **age_fields(report.age),
    }


def _verdict(report: ScrubReport) -> str:
    age = report.age
    days = report.plan.rule.window_s / _DAY_S
    window = "a day" if days == 1 else f"{days:,g} days"
    left = f", {rest(age)}" if age.rest else ""
    read = (
        f"{plural(report.objects, 'object')} read ({format_size(report.read)}); "
        f"{share(age.read, age.read + age.rest_size)} of all bytes read within {window}{left}"
    )
    if report.damages:
        wrong = plural(len(report.damages), "thing")
        return f"DAMAGE: {wrong} wrong; {harm(report.damages, report.files)}; {read}"
    return f"good: {read}"
