"""What was copied to a replica, or would be."""

from __future__ import annotations

from msgspec.structs import asdict

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultd.core.units import format_size
from vaultd.maintenance.replicate import ReplicaPlan, ReplicaReport

_SHOWN = 50


def show_plan(output: Output, name: str, plan: ReplicaPlan) -> None:
    """Write what would be copied."""
    if output.json:
        fields = ("objects", "data", "there", "differing", "only_there")
        output.record("plan", {"replica": name, **{one: getattr(plan, one) for one in fields}})
        return
    size = format_size(plan.data)
    output.line(f"replica {name}: {plural(plan.objects, 'object')} ({size}) would be copied")
    output.line(f"  there    {plural(plan.there, 'object')}")
    if plan.differing:
        output.line(
            f"  differ   {plural(plan.differing, 'object')}: a run says which side is wrong"
        )
    if plan.only_there:
        output.line(f"  kept     {plural(plan.only_there, 'object')} that the vault no longer has")


def show_expired(output: Output, name: str, count: int, *, dry_run: bool) -> None:
    """Write how much of what the vault deleted long ago left the replica."""
    if output.json:
        output.record("expired", {"replica": name, "objects": count, "dry_run": dry_run})
        return
    done = "would be deleted" if dry_run else "deleted"
    output.line(f"replica {name}: {plural(count, 'object')} {done} that the vault deleted long ago")


def show(output: Output, name: str, report: ReplicaReport) -> None:
    """Write what was copied."""
    if output.json:
        for wrong in report.wrong:
            output.record("damage", {"replica": name, **asdict(wrong)})
        numbers = ("copied", "data", "there", "proven", "only_there")
        fields = {one: getattr(report, one) for one in numbers}
        counts = {"num_errors": len(report.wrong), "gone": list(report.gone)}
        output.record("summary", {"replica": name, **fields, **counts})
        return
    listed = report.wrong if output.verbose else report.wrong[:_SHOWN]
    for wrong in listed:
        where = f"at replica {name}" if wrong.at_replica else "in the vault, not copied"
        output.line(f"damage: {plain(wrong.name)}: {plain(wrong.reason)} ({where})")
    if len(listed) < len(report.wrong):
        output.line(f"… and {len(report.wrong) - len(listed):,} more: -v shows them all")
    if report.gone:
        output.warn(
            f"{plural(len(report.gone), 'object')} vanished while it ran; run it again, and if "
            "nothing was pruned meanwhile, check the vault"
        )
    output.line(_verdict(name, report))
    if report.only_there:
        kept = plural(report.only_there, "object")
        output.say(
            f"{kept} that the vault no longer has: kept. `vaultctl check` says whether the vault "
            "misses what it needs"
        )


def _verdict(name: str, report: ReplicaReport) -> str:
    copied = f"{plural(report.copied, 'object')} copied ({format_size(report.data)})"
    there = f"{report.there:,} there already" + (", every one proven" if report.proven else "")
    if report.wrong:
        found = plural(len(report.wrong), "object")
        return f"DAMAGE: {found} wrong; replica {name}: {copied}, {there}"
    return f"replica {name}: {copied}, {there}"
