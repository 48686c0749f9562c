"""Entries of a snapshot, and what differs between two."""

from __future__ import annotations

from typing import Any

from vaultctl import json_lines
from vaultctl.text import kind, local, shown
from vaultd.core.entry import Entry
from vaultd.core.units import format_size
from vaultd.pipeline.browse import Difference


def fields_of(entry: Entry) -> dict[str, Any]:
    """Return an entry for scripts."""
    extra = entry.extra
    return {
        **json_lines.path("path", b"/" + entry.full_path),
        "type": kind(entry.mode),
        "mode": entry.mode,
        "permissions": f"{entry.mode & 0o7777:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "mtime": json_lines.instant(entry.mtime_ns),
        **(json_lines.path("linktarget", extra.link_target) if extra.link_target else {}),
        **({"changed_while_reading": True} if extra.changed else {}),
    }


def found_line(entry: Entry) -> str:
    """Return an entry that was searched for, for people: time, size, path."""
    size = format_size(entry.size)
    return f"  {local(entry.mtime_ns)} {size:>10}  {shown(b'/' + entry.full_path)}"


def difference_fields(difference: Difference) -> dict[str, Any]:
    """Return what differs, for scripts."""
    before, after = difference.before, difference.after
    return {
        **json_lines.path("path", b"/" + difference.path),
        "modifier": str(difference.change),
        "size_before": None if before is None else before.size,
        "size_after": None if after is None else after.size,
    }


def difference_line(difference: Difference) -> str:
    """Return what differs, for people: ``M    /etc/hosts``."""
    return f"{difference.change!s:<4} {shown(b'/' + difference.path)}"
