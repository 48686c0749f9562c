"""Damage: which objects, which snapshots, which files; and how long ago the rest was read."""

from __future__ import annotations

from collections.abc import Sequence

from vaultctl import json_lines
from vaultctl.output import Output
from vaultctl.text import local, plain, plural, shown
from vaultd.core.units import format_size
from vaultd.maintenance.agenda import Age
from vaultd.maintenance.check import Damage
from vaultd.maintenance.harm import HarmedFile

_SHOWN = 50
_IDS_SHOWN = 5


def show_damage(output: Output, damages: Sequence[Damage], files: Sequence[HarmedFile]) -> None:
    """Write what is wrong, and the files that it costs."""
    if output.json:
        for damage in damages:
            fields = {"name": damage.name, "reason": damage.reason}
            output.record("damage", {**fields, "snapshots": list(damage.snapshots)})
        for file in files:
            output.record("damaged_file", _fields(file))
        return
    most = None if output.verbose else _IDS_SHOWN
    _some(output, [_damage(damage, most) for damage in damages])
    _some(output, [_file(file, most) for file in files])


def _fields(file: HarmedFile) -> dict[str, object]:
    return {
        "host": file.host,
        "store": file.store,
        **json_lines.path("item", file.path),
        "is_listing": file.is_listing,
        "reason": file.reason,
        "snapshots": list(file.snapshots),
    }


def _damage(damage: Damage, most: int | None) -> str:
    harmed = f" (harms {_ids(damage.snapshots, most)})" if damage.snapshots else ""
    return f"damage: {plain(damage.name)}: {plain(damage.reason)}{harmed}"


def _file(file: HarmedFile, most: int | None) -> str:
    what = "files cannot be listed from here on" if file.is_listing else "damaged file"
    where = f"{plain(file.store)} on {file.host}, snapshot {_ids(file.snapshots, most)}"
    return f"{what}: {shown(b'/' + file.path)} (store {where})"


def _ids(snapshots: Sequence[str], most: int | None) -> str:
    shown_ids = ", ".join(snapshots[:most])
    more = len(snapshots[most:]) if most is not None else 0
    return f"{shown_ids} and {more:,} more" if more else shown_ids


def _some(output: Output, lines: list[str]) -> None:
    listed = lines if output.verbose else lines[:_SHOWN]
    for line in listed:
        output.line(line)
    if len(listed) < len(lines):
        output.line(f"… and {len(lines) - len(listed):,} more: -v shows them all")


def harm(damages: Sequence[Damage], files: Sequence[HarmedFile]) -> str:
    """Return how much is harmed: ``2 snapshots harmed, 3 files damaged``."""
    snapshots = {one for damage in damages for one in damage.snapshots}
    text = f"{plural(len(snapshots), 'snapshot')} harmed"
    count = sum(not file.is_listing for file in files)
    return f"{text}, {plural(count, 'file')} damaged" if files else text


def share(part: int, whole: int) -> str:
    """Return a part of a whole, rounded down: only all of it is 100 %."""
    return f"{part * 1000 // whole / 10 if whole else 100.0:.1f} %"


def rest(age: Age) -> str:
    """Return what is known of what was not read: when it was read last; empty: all was."""
    if not age.rest:
        return ""
    text = f"the rest, {plural(age.rest, 'object')} ({format_size(age.rest_size)}), was "
    if age.oldest_ns is None:
        return f"{text}never read"
    since = f"read since {local(age.oldest_ns)}"
    if not age.never:
        return text + since
    return f"{text}{since}, but for {age.never:,} never read"


def age_fields(age: Age) -> dict[str, object]:
    """Return the same for scripts."""
    oldest = None if age.oldest_ns is None else json_lines.instant(age.oldest_ns)
    return {
        "rest_objects": age.rest,
        "rest_bytes": age.rest_size,
        "rest_never_read": age.never,
        "rest_oldest_reading": oldest,
    }
