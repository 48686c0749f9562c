"""What a restore would do and cost, without doing anything."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from vaultd.compression import Decompressor
from vaultd.core.tree import is_directory, is_regular
from vaultd.pipeline.browse import Stored
from vaultd.pipeline.restore import (
    RestoreRequest,
    check_request,
    data_bytes,
    free_bytes,
    owner_names,
)
from vaultd.pipeline.select import Part, Selector
from vaultd.vault.reader import SnapshotReader


class RestorePlan(Struct, kw_only=True):
    """What a restore would do.

    Attributes:
        files: Regular files selected.
        directories: Directories selected.
        others: Links and special files selected.
        data: Bytes of the files that would be written.
        create: Entries that are not there yet.
        replace: Entries that would be replaced.
        keep: Entries that would be left as they are.
        blocked: Entries that could not be put in place.
        chunks: Chunks that would be fetched.
        free: Bytes free where the target lies.
        remove: Entries that would be removed because the snapshot does not have them.
    """

    files: int = 0
    directories: int = 0
    others: int = 0
    data: int = 0
    create: int = 0
    replace: int = 0
    keep: int = 0
    blocked: int = 0
    chunks: int = 0
    free: int = 0
    remove: int = 0


def plan_restore(reader: SnapshotReader, request: RestoreRequest) -> RestorePlan:
    """Say what a restore would do and cost, without doing anything.

    Raises:
        ConfigError: Nothing is selected, or options contradict each other.
        CorruptObjectError: The tree cannot be read.
    """
    check_request(request, reader)
    plan = RestorePlan(free=free_bytes(request.destination.path))
    decompressor = Decompressor()
    last = b""
    with request.destination.preview(owner_names(reader)) as preview:
        for part, names in _with_all_names(Selector(reader, request.selection).parts()):
            if names is not None and request.destination.deletes:
                plan.remove += len(preview.surplus(part.path, names))
            for stored in part.entries:
                decision = str(preview.decide(stored.entry))
                _count(plan, stored, decision)
                if is_regular(stored.entry.mode) and decision in {"create", "replace"}:
                    plan.data += data_bytes(stored.entry)
                    for extent in reader.extents(stored.content, decompressor):
                        plan.chunks += extent.chunk_id != last
                        last = extent.chunk_id
    return plan


def _count(plan: RestorePlan, stored: Stored, decision: str) -> None:
    mode = stored.entry.mode
    if is_regular(mode):
        plan.files += 1
    elif is_directory(mode):
        plan.directories += 1
    else:
        plan.others += 1
    name = "keep" if decision == "enter" else decision
    setattr(plan, name, getattr(plan, name) + 1)


def _with_all_names(parts: Iterator[Part]) -> Iterator[tuple[Part, list[bytes] | None]]:
    """Yield parts; with the last one of each directory, all names that the directory has."""
    before: Part | None = None
    names: list[bytes] = []
    for part in parts:
        if before is not None:
            yield before, names if part.path != before.path else None
            if part.path != before.path:
                names = []
        names += part.names
        before = part
    if before is not None:
        yield before, names
