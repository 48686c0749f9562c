"""What scripts read: one JSON object per line, each with a ``message_type``.

Times are RFC 3339 in UTC, sizes are bytes, ids are hex. Fields are added, never changed. A path
that is not UTF-8 is shown with replacement characters and has a twin ``<field>_b64`` that is exact.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

from vaultd.core.clock import utc
from vaultd.core.errors import VaultdError
from vaultd.core.events import Problem
from vaultd.core.snapshot import Counts, Snapshot

Fields = Mapping[str, object]


def line(message_type: str, fields: Fields) -> str:
    """Return one line, without its end."""
    # ASCII only: whatever a path or a terminal holds, the line can be written and is read the same.
    return json.dumps({"message_type": message_type, **fields})


def instant(ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339 in UTC, with microseconds."""
    return utc(ns).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def path(field: str, value: bytes) -> dict[str, object]:
    """Return a path as a field, with its exact twin when it is not UTF-8."""
    try:
        return {field: value.decode()}
    except UnicodeDecodeError:
        exact = base64.b64encode(value).decode("ascii")
        return {field: value.decode(errors="replace"), f"{field}_b64": exact}


def paths(field: str, values: Sequence[bytes]) -> dict[str, object]:
    """Return paths as a list, with their exact twins when one of them is not UTF-8."""
    shown = [value.decode(errors="replace") for value in values]
    if [text.encode() for text in shown] == list(values):
        return {field: shown}
    exact = [base64.b64encode(value).decode("ascii") for value in values]
    return {field: shown, f"{field}_b64": exact}


def problem(found: Problem) -> dict[str, object]:
    """Return a problem with one entry."""
    return {
        "kind": str(found.kind),
        "warning": found.warning,
        "reason": found.reason,
        **path("item", found.path),
    }


def error(failure: VaultdError, code: int) -> dict[str, object]:
    """Return a failure: the last line of a run that did not succeed."""
    return {
        "code": code,
        "error": type(failure).__name__,
        "message": failure.message,
        "hint": failure.hint,
    }


def snapshot(one: Snapshot) -> dict[str, object]:
    """Return a snapshot as a list of snapshots shows it."""
    return {
        "id": one.id,
        "short_id": one.short_id,
        "time": instant(one.started_ns),
        "ended": instant(one.ended_ns),
        "kind": str(one.kind),
        "store": one.store,
        "host": one.session.host,
        "seq": one.session.seq,
        "chain": one.chain,
        "base": one.base,
        "hostname": one.hostname,
        "username": one.username,
        "tags": list(one.tags),
        **paths("paths", one.roots),
        "stored": one.stored,
        "program_version": one.software,
        "summary": counts(one.counts),
    }


def counts(numbers: Counts) -> dict[str, object]:
    """Return what a snapshot holds and what it cost."""
    return {
        "total_files_processed": numbers.files,
        "total_dirs_processed": numbers.directories,
        "total_others_processed": numbers.others,
        "total_bytes_processed": numbers.data,
        "files_new": numbers.files_new,
        "files_changed": numbers.files_changed,
        "files_unmodified": numbers.files - numbers.files_new - numbers.files_changed,
        "files_read": numbers.files_read,
        "data_added": numbers.data_added,
        "data_added_packed": numbers.stored_added,
        "error_count": numbers.problems,
    }
