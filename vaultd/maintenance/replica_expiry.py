"""What a replica may let go of, long after the vault did: a plan of its own.

A replica keeps what the vault deletes, so that a mistake, or a thief with the keeper's rights, does
not reach both at once. An object leaves the replica when the vault no longer has it, the log says
that it was deleted, and that entry of the log has been on the replica for long enough. All of it by
the replica's own time: an entry's age is counted to the newest entry that arrived there, so no
clock of this machine can make anything old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vaultd.backends.base import Backend
from vaultd.core.events import PhaseStarted
from vaultd.core.snapshot import SessionId
from vaultd.format.log import SweepBody, names_in
from vaultd.maintenance.replicate import ReplicaContext, side_by_side
from vaultd.vault import layout
from vaultd.vault.genuine import is_object
from vaultd.vault.log import EMPTY, read_after
from vaultd.vault.log_state import LogState
from vaultd.vault.trust import Trust

_DELETED_IN_ORDER = (layout.OUTCOMES, layout.PARTS, layout.PACKS)
"""The reverse of the order in which they arrive: no snapshot is shown whose packs are gone."""

_NS = 10**9

DeletedIn = Callable[[str], int | None]
"""Returns the number of the log entry that says that an object was deleted; ``None``: none does."""


def swept(backend: Backend, trust: Trust) -> dict[str, int]:
    """Return what the whole log says is deleted: each object, and the entry that says so.

    Every entry is read: a checkpoint leaves out what the vault itself is done with.

    Args:
        backend: Where the log lies.
        trust: Whom to believe.

    Raises:
        IntegrityError: The log cannot be believed.
        StorageError: It cannot be read.
    """
    state = LogState()
    for entry in read_after(backend, trust, EMPTY):
        state.apply(entry.body)
    found: dict[str, int] = {}
    for mark in state.marks.values():
        if mark.sweep is not None:
            found |= dict.fromkeys(_names_of(mark.body.host, mark.sweep), mark.swept_by)
    return found


def _names_of(host: str, sweep: SweepBody) -> Iterator[str]:
    what = f"sweep of {sweep.of}"
    for seq, sha256 in names_in(sweep.packs, what=what):
        yield layout.pack(SessionId(host=host, seq=seq), sha256)
    for seq, sha256 in names_in(sweep.parts, what=what):
        yield layout.part(SessionId(host=host, seq=seq), sha256)
    for seq, _ in names_in(sweep.roots, what=what):
        yield layout.outcome(SessionId(host=host, seq=seq))


def plan_expiry(
    context: ReplicaContext, deleted_in: DeletedIn, *, keep_deleted_s: float
) -> Iterator[str]:
    """Yield the objects that may be deleted on a replica, in the order of deleting them.

    Args:
        context: The vault and its replica.
        deleted_in: What the vault's log says: `swept`, looked up.
        keep_deleted_s: How long a deleted object stays.

    Raises:
        StorageError: One of the two cannot be listed: then nothing is known to be gone.
    """
    context.observer(PhaseStarted(name="compare"))
    arrived = {
        layout.log_number(info.name): info.modified_ns for info in context.replica.list(layout.LOG)
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


def execute_expiry(context: ReplicaContext, names: Iterable[str]) -> int:
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
