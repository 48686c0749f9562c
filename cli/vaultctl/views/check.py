"""What a check found."""

from __future__ import annotations

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultd.core.units import format_size
from vaultd.maintenance.check import CheckReport

_SHOWN = 50


def show(output: Output, report: CheckReport) -> None:
    """Write what a check found."""
    if output.json:
        for damage in report.damages:
            fields = {"name": damage.name, "reason": damage.reason}
            output.record("damage", {**fields, "snapshots": list(damage.snapshots)})
        output.record(
            "summary",
            {
                "num_errors": len(report.damages),
                "snapshots": report.snapshots,
                "packs": report.packs,
                "pack_bytes": report.data,
                "bytes_read": report.read,
                "contents_opened": report.opened,
                "hidden_snapshots": list(report.hidden),
            },
        )
        return
    listed = report.damages if output.verbose else report.damages[:_SHOWN]
    for damage in listed:
        harmed = f" (harms {', '.join(damage.snapshots)})" if damage.snapshots else ""
        output.line(f"damage: {plain(damage.name)}: {plain(damage.reason)}{harmed}")
    if len(listed) < len(report.damages):
        output.line(f"… and {len(report.damages) - len(listed):,} more: -v shows them all")
    if report.hidden:
        count = plural(len(report.hidden), "snapshot")
        output.warn(f"{count} could not be checked: give a recovery key to check all")
    output.line(_verdict(report))


def _verdict(report: CheckReport) -> str:
    looked = f"{plural(report.snapshots, 'snapshot')}, {plural(report.packs, 'pack')}"
    size = format_size(report.data)
    if report.damages:
        harmed = {one for damage in report.damages for one in damage.snapshots}
        return (
            f"DAMAGE: {plural(len(report.damages), 'thing')} wrong in {looked} ({size}); "
            f"{plural(len(harmed), 'snapshot')} harmed"
        )
    if not report.read:
        return f"all there: {looked} ({size}); nothing was read: --read-data proves every byte"
    how = "decrypted and compared with its id" if report.opened else "read and compared by hash"
    return f"all good: {looked} ({size}), every byte {how}"
