"""Summing up the log: what is newest in the vault, and which earlier entries still count."""

from __future__ import annotations

import contextlib

from vaultd.core.errors import ObjectExistsError
from vaultd.core.snapshot import Snapshot
from vaultd.format.log import CheckpointBody, Head, HeadsBody, Standing, dead_sessions
from vaultd.maintenance.keeping import KeeperContext
from vaultd.vault.log import append_next

_ENTRIES_BETWEEN = 200


def note_heads(context: KeeperContext) -> None:
    """Say in the log which snapshots are the newest, if that is not what it says already."""
    forgotten = context.catalog.forgotten()
    stores: dict[tuple[str, bytes], list[Snapshot]] = {}
    for snapshot in context.catalog.all_snapshots():
        if snapshot.session not in forgotten:
            key = (snapshot.session.host, snapshot.store_id)
            stores.setdefault(key, []).append(snapshot)
    heads = HeadsBody(tuple(_head(stores[key]) for key in sorted(stores)))
    if heads.heads and heads != context.catalog.state().heads:
        context.say(heads)


def _head(snapshots: list[Snapshot]) -> Head:
    newest = max(snapshots, key=lambda snapshot: snapshot.session.seq)
    return Head(
        newest.session.host,
        newest.store_id,
        newest.session.seq,
        newest.root_sha256,
        len(snapshots),
    )


def write_checkpoint(
    context: KeeperContext, since: int, finished: set[int], *, every: int = _ENTRIES_BETWEEN
) -> None:
    """Write a checkpoint when there are many entries since the last one.

    Args:
        context: What the keeper has.
        since: Snapshots forgotten by this log entry or a later one can be recalled.
        finished: Condemnations of which nothing is left to delete.
        every: How many entries are many.
    """
    state = context.catalog.state()
    head = context.catalog.log_head()
    if head.number - state.checkpoint < every:
        return
    hashes = context.catalog.entries()
    standing = tuple(Standing(number, hashes[number]) for number in state.standing(since, finished))
    seqs: dict[str, list[int]] = {}
    for session in state.forgotten:
        seqs.setdefault(session.host, []).append(session.seq)
    dead = tuple(dead_sessions(host, seqs[host]) for host in sorted(seqs))
    with contextlib.suppress(ObjectExistsError):  # what was said meanwhile would not count
        append_next(
            context.backend,
            context.trust,
            context.keeper,
            context.clock,
            CheckpointBody(standing, dead),
            head,
        )
        context.catalog.refresh_log(context.backend, context.trust)
