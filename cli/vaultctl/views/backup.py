"""What a backup did, or would do."""

from __future__ import annotations

from vaultctl import json_lines
from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultctl.views.problems import show_problems
from vaultd.core.snapshot import Counts
from vaultd.core.units import format_duration, format_size
from vaultd.pipeline.backup import BackupReport
from vaultd.pipeline.preview import Preview


def show(output: Output, report: BackupReport) -> None:
    """Write what a backup did."""
    snapshot, counts = report.snapshot, report.snapshot.counts
    if output.json:
        output.record(
            "summary",
            {
                **json_lines.counts(counts),
                "snapshot_id": snapshot.id,
                "kind": str(snapshot.kind),
                "reason": report.reason,
                "store": snapshot.store,
                "host": snapshot.session.host,
                "seq": snapshot.session.seq,
                "chain": snapshot.chain,
                "base": snapshot.base,
                "backup_start": json_lines.instant(snapshot.started_ns),
                "backup_end": json_lines.instant(snapshot.ended_ns),
                "total_duration": round(report.elapsed_s, 3),
                "warning_count": len(report.warnings),
                "dry_run": False,
            },
        )
        return
    show_problems(output, "not backed up as it is", report.problems)
    show_problems(output, "worth a look", report.warnings)
    saved = "" if not report.problems else "  INCOMPLETE: see above"
    lines = [
        f"{snapshot.kind} snapshot {snapshot.short_id} of store {plain(snapshot.store)}{saved}",
        f"  why      {report.reason}",
        f"  files    {_files(counts)}",
        f"  read     {_read(counts, report.elapsed_s)}",
        f"  stored   {_stored(counts)}",
    ]
    output.line("\n".join(lines))


def show_preview(output: Output, store: str, seen: Preview) -> None:
    """Write what a backup would do."""
    counts = seen.counts
    if output.json:
        output.record(
            "summary",
            {
                **json_lines.counts(counts),
                "snapshot_id": None,
                "kind": str(seen.kind),
                "reason": seen.reason,
                "store": store,
                "bytes_to_read": seen.data_read,
                "entries_gone": seen.gone,
                "unchanged": seen.is_unchanged,
                "warning_count": len(seen.warnings),
                "dry_run": True,
            },
        )
        return
    show_problems(output, "cannot be backed up as it is", seen.problems)
    show_problems(output, "worth a look", seen.warnings)
    lines = [
        f"nothing was stored; of store {plain(store)} a backup would make: {seen.kind} snapshot",
        f"  why      {seen.reason}",
        f"  files    {_files(counts)}, {seen.gone:,} gone",
        f"  to read  {format_size(seen.data_read)} in {plural(counts.files_read, 'file')}",
    ]
    if seen.is_unchanged:
        lines[0] = f"nothing was stored: store {plain(store)} is as its last snapshot has it"
    output.line("\n".join(lines))


def _files(counts: Counts) -> str:
    same = counts.files - counts.files_new - counts.files_changed
    return (
        f"{counts.files:,} in {plural(counts.directories, 'folder')}, "
        f"{format_size(counts.data)}: {counts.files_new:,} new, {counts.files_changed:,} changed, "
        f"{max(same, 0):,} unchanged"
    )


def _read(counts: Counts, elapsed_s: float) -> str:
    speed = f", {format_size(counts.data / elapsed_s)}/s" if elapsed_s > 1 else ""
    return f"{plural(counts.files_read, 'file')} in {format_duration(elapsed_s)}{speed}"


def _stored(counts: Counts) -> str:
    if not counts.data_added:
        return f"{format_size(counts.stored_added)} (no new contents)"
    return (
        f"{format_size(counts.stored_added)} for {format_size(counts.data_added)} of new contents"
    )
