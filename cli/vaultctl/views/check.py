"""What a check found."""

from __future__ import annotations

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultctl.views.damage import age_fields, harm, rest, share, show_damage
from vaultd.core.units import format_size
from vaultd.maintenance.check import CheckReport


def show(output: Output, report: CheckReport) -> None:
    """Write what a check found."""
    show_damage(output, report.damages, report.files)
    if output.json:
        output.record("summary", _fields(report))
        return
    if report.hidden:
        count = plural(len(report.hidden), "snapshot")
        output.warn(f"{count} could not be checked: give a recovery key to check all")
    if report.suspects:
        output.warn(
            f"{plural(len(report.suspects), 'object')} read before and found bad, not read now: "
            f"{', '.join(map(plain, report.suspects[:3]))}"
        )
    output.line(_verdict(report))


def _fields(report: CheckReport) -> dict[str, object]:
    return {
        "num_errors": len(report.damages),
        "snapshots": report.snapshots,
        "packs": report.packs,
        "pack_bytes": report.data,
        "bytes_read": report.read,
        "contents_opened": report.opened,
        "hidden_snapshots": list(report.hidden),
        "damaged_files": sum(not file.is_listing for file in report.files),
        "suspects": list(report.suspects),
        **age_fields(report.age),
    }


def _verdict(report: CheckReport) -> str:
    looked = f"{plural(report.snapshots, 'snapshot')}, {plural(report.packs, 'pack')}"
    size = format_size(report.data)
    if report.damages:
        return (
            f"DAMAGE: {plural(len(report.damages), 'thing')} wrong in {looked} ({size}); "
            f"{harm(report.damages, report.files)}"
        )
    if not report.read:
        return f"all there: {looked} ({size}); nothing was read: --read-data proves every byte"
    how = "decrypted and compared with its id" if report.opened else "read and compared by hash"
    if not report.age.rest:
        return f"all good: {looked} ({size}), every byte {how}"
    part = share(report.age.read, report.age.read + report.age.rest_size)
    return f"good so far: {looked} ({size}); {part} of it {how}; {rest(report.age)}"
