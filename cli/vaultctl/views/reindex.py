"""Index parts that were lost, and what stands in their place."""

from __future__ import annotations

from collections.abc import Sequence

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultd.maintenance.reindex import LostPart, Reindexed


def show(
    output: Output, lost: Sequence[LostPart], done: Sequence[Reindexed], *, dry_run: bool
) -> None:
    """Write what was found, and what was done."""
    for part in lost:
        if output.json:
            harmed = [snapshot.id for snapshot in part.snapshots]
            output.record("lost", {"name": part.name, "reason": part.reason, "snapshots": harmed})
        else:
            output.line(f"lost: {plain(part.name)}: {plain(part.reason)}")
    unread = [text for one in done for text in one.unread]
    written = [one for one in done if one.name]
    if output.json:
        for one in written:
            output.record("written", {"name": one.name, "for": one.lost.name, "packs": one.packs})
        counts = {"lost": len(lost), "written": len(written), "packs_unread": len(unread)}
        output.record("summary", {**counts, "dry_run": dry_run})
        return
    for text in unread:
        output.warn(text)
    if not lost:
        output.line("No index part is lost.")
    elif dry_run:
        output.line(f"{plural(len(lost), 'index part')} would be written anew.")
    else:
        packs = plural(sum(one.packs for one in written), "pack")
        output.line(f"{plural(len(written), 'index part')} written anew, for {packs}.")
