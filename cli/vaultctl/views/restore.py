"""What a restore did, or would do."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from vaultctl import json_lines
from vaultctl.output import Output
from vaultctl.text import plural, shown
from vaultctl.views.problems import show_problems
from vaultctl.views.snapshots import line
from vaultd.core.snapshot import Snapshot
from vaultd.core.units import format_duration, format_size
from vaultd.pipeline.restore import RestoreReport
from vaultd.pipeline.restore_plan import RestorePlan


def show(output: Output, snapshot: Snapshot, target: Path, report: RestoreReport) -> None:
    """Write what a restore did."""
    tally = _numbers(report.tally)
    if output.json:
        output.record(
            "summary",
            {
                "snapshot_id": snapshot.id,
                "time": json_lines.instant(snapshot.started_ns),
                **json_lines.path("target", os.fsencode(target)),
                "bytes_restored": report.data,
                **tally,
                "error_count": len(report.problems),
                "warning_count": len(report.warnings),
                "resumed": report.resumed,
                "verified": report.verified,
                "total_duration": round(report.elapsed_s, 3),
                "dry_run": False,
            },
        )
        return
    show_problems(output, "not as it should be", report.problems)
    show_problems(output, "worth a look", report.warnings)
    state = "INCOMPLETE: see above" if report.problems else "complete"
    speed = f", {format_size(report.data / report.elapsed_s)}/s" if report.elapsed_s > 1 else ""
    lines = [
        f"restored snapshot {line(snapshot)}",
        f"  to       {shown(os.fsencode(target))}",
        f"  result   {state}{_verified(report)}",
        f"  written  {format_size(report.data)} in {format_duration(report.elapsed_s)}{speed}",
        f"  entries  {_words(tally)}",
    ]
    output.line("\n".join(lines))


def show_plan(output: Output, snapshot: Snapshot, target: Path, plan: RestorePlan) -> None:
    """Write what a restore would do."""
    if output.json:
        fields = asdict(plan)
        place = json_lines.path("target", os.fsencode(target))
        output.record("summary", {"snapshot_id": snapshot.id, **place, **fields, "dry_run": True})
        return
    if plan.data > plan.free:
        output.warn(f"there is not enough room: {format_size(plan.free)} are free")
    folders = plural(plan.directories, "folder")
    new = f"{plan.create:,} new, {plan.replace:,} replaced, {plan.keep:,} kept as they are"
    lines = [
        f"nothing was written; a restore would take snapshot {line(snapshot)}",
        f"  to       {shown(os.fsencode(target))}, {format_size(plan.free)} free",
        f"  select   {plural(plan.files, 'file')}, {folders}, {plural(plan.others, 'other')}",
        f"  write    {format_size(plan.data)}: {new}",
    ]
    if plan.remove:
        lines.append(f"  remove   {plan.remove:,} that the snapshot does not have")
    if plan.blocked:
        lines.append(
            f"  blocked  {plan.blocked:,}: something else is in their place (see --delete)"
        )
    output.line("\n".join(lines))


def _verified(report: RestoreReport) -> str:
    read_back = ", read back and compared" if report.verified else ""
    return read_back + (", resumed" if report.resumed else "")


def _numbers(tally: object) -> dict[str, int]:
    if not isinstance(tally, Struct):
        return {}
    return {name: value for name, value in asdict(tally).items() if isinstance(value, int)}


_NAMES = {
    "files": ("file", "files"),
    "links": ("further name of a file", "further names of files"),
    "others": ("link or special file", "links and special files"),
    "directories": ("folder", "folders"),
    "kept": ("kept as it was", "kept as they were"),
    "failed": ("failed", "failed"),
    "removed": ("removed", "removed"),
}


def _words(tally: dict[str, int]) -> str:
    return ", ".join(
        plural(value, *_NAMES.get(name, (name, name))) for name, value in tally.items() if value
    )
