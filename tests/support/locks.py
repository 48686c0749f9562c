"""Vaults in buckets that lock: what commands about locks begin with, and what a thief does."""

from __future__ import annotations

from tests.support.vaults import Desk
from tests.support.versioned import VersionedMemory
from vaultd.backends.base import Backend
from vaultd.backends.versions import Versions
from vaultd.core.events import ignore
from vaultd.maintenance.locks import (
    ExtensionPlan,
    LockContext,
    LockReport,
    check_locks,
    execute_extension,
    plan_extension,
)
from vaultd.maintenance.markers import (
    MarkerContext,
    MarkerPlan,
    MarkerReport,
    execute_revival,
    plan_revival,
)


def versions_in(backend: Backend) -> Versions:
    versions = backend.versions
    assert versions is not None
    return versions


def lock_context(desk: Desk) -> LockContext:
    snapshots = desk.snapshots()
    return LockContext(
        backend=desk.backend,
        trust=desk.trust,
        find_keys=desk.keys.domain,
        snapshots=snapshots,
        folder=desk.folder,
        observer=ignore,
        workers=2,
    )


def locks_of(desk: Desk) -> LockReport:
    return check_locks(lock_context(desk))


def extend(desk: Desk) -> ExtensionPlan:
    context = lock_context(desk)
    plan = plan_extension(context)
    assert () == execute_extension(context, plan)
    return plan


def revive(desk: Desk, backend: Backend) -> tuple[MarkerPlan, MarkerReport]:
    context = MarkerContext(
        versions=versions_in(backend),
        trust=desk.trust,
        is_deleted=lambda _: False,
        observer=ignore,
    )
    plan = plan_revival(context)
    return plan, execute_revival(context, plan)


def hide_all(backend: Backend) -> None:
    """Delete everything that can be seen."""
    for info in list(backend.list("")):
        backend.delete(info.name)


def cover_all(memory: VersionedMemory) -> None:
    """Put rubbish over everything: of the same size, with the same beginning."""
    for info in list(memory.list("")):
        data = memory.get(info.name)
        memory.cover(info.name, data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
