"""What a replica may let go of, long after the vault did: a plan of its own.

A replica keeps what the vault deletes, so that a mistake, or a thief with the keeper's rights, does
not reach both at once. An object leaves the replica when the vault no longer has it, the log says
that it was deleted, and that entry of the log has been on the replica for long enough. All of it by
the replica's own time: an entry's age is counted to the newest entry that arrived there, so no
clock of this machine can make anything old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vaultd.core.events import PhaseStarted
from vaultd.maintenance.replicate import ReplicaContext, side_by_side
from vaultd.vault import layout
from vaultd.vault.genuine import is_object

_DELETED_IN_ORDER = (layout.OUTCOMES, layout.PARTS, layout.PACKS)
"""The reverse of the order in which they arrive: no snapshot is shown whose packs are gone."""

_NS = 10**9

DeletedIn = Callable[[str], int | None]
"""Returns the number of the log entry that says that an object was deleted; ``None``: none does."""


def plan_expiry(
    context: ReplicaContext, deleted_in: DeletedIn, *, keep_deleted_s: float
) -> Iterator[str]:
    """Yield the objects that may be deleted on a replica, in the order of deleting them.

    Args:
        context: The vault and its replica.
        deleted_in: What the vault's log says.
        keep_deleted_s: How long a deleted object stays.

    Raises:
        StorageError: One of the two cannot be listed: then nothing is known to be gone.
    """
    context.observer(PhaseStarted(name="compare"))
    arrived = {
        layout.log_number(info.name): info.modified_ns
        for info in context.replica.list(layout.LOG)
        if layout.is_log_entry(info.name)
    }
    latest_ns = max(arrived.values(), default=0)
    for prefix in _DELETED_IN_ORDER:
        pairs = side_by_side(context.source.list(prefix), context.replica.list(prefix))
        for info, other in pairs:
            if info is not None or other is None or not is_object(other.name):
                continue
            number = deleted_in(other.name)
            at_ns = None if number is None else arrived.get(number)
            if at_ns is not None and latest_ns - at_ns >= keep_deleted_s * _NS:
                yield other.name


def execute_expiry(context: ReplicaContext, names: Iterator[str]) -> int:
    """Delete objects on a replica; return how many.

    Args:
        context: The replica.
        names: As `plan_expiry` gave them, in that order.

    Raises:
        AccessDeniedError: The right is missing, or an object is locked; what was deleted stays so.
    """
    count = 0
    for name in names:
        context.replica.delete(name)
        count += 1
    return count
