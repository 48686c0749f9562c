"""Bringing one replica up to date."""

from __future__ import annotations

from msgspec import Struct

from vaultctl.access import Place
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, INCOMPLETE, OK
from vaultctl.views import replicate as view
from vaultd.core.errors import VaultNotFoundError
from vaultd.maintenance.replica_expiry import execute_expiry, plan_expiry, swept
from vaultd.maintenance.replicate import (
    ReplicaContext,
    ReplicaReport,
    execute_replica,
    plan_replica,
)
from vaultd.settings.file import ReplicaTable
from vaultd.vault import readings
from vaultd.vault.readings import Reading
from vaultd.wiring.replicas import Backend, open_replica


class Asked(Struct, frozen=True, kw_only=True):
    """What was asked for.

    Attributes:
        begin: The replica may be empty.
        prove: Read what is there as well.
        workers: Objects at once.
        prune: Delete what the vault deleted long ago.
        dry_run: Change nothing.
    """

    begin: bool
    prove: bool
    workers: int
    prune: bool
    dry_run: bool


def replicated(app: App, place: Place, table: ReplicaTable, asked: Asked) -> int:
    """Copy what one replica lacks, and say what was done; return the exit code.

    Raises:
        ConfigError: It holds another vault, or none though it should.
        VaultNotFoundError: Its folder is missing.
        StorageError: One side does not answer.
    """
    try:
        with open_replica(
            table, app.settings, app.progress, create=asked.begin and not asked.dry_run
        ) as replica:
            context = _context(app, place, table.name, replica)
            report = _replicated(app, context, asked)
            if asked.prune:
                _pruned(app, context, table, asked)
            if report is None:
                return OK
            if asked.prove:
                errors = sum(one.at_replica for one in report.wrong)
                reading = Reading(at_ns=app.clock.now_ns(), errors=errors)
                readings.record(place.identity.folder, replica.location, reading)
    except VaultNotFoundError as error:
        raise VaultNotFoundError(
            f"replica {table.name}: {error.message}",
            hint="Mount its disk if it is on one, or create its bucket; the first time, "
            "give --init.",
        ) from error
    view.show(app.output, table.name, report)
    return DAMAGE if report.wrong else INCOMPLETE if report.gone else OK


def _context(app: App, place: Place, name: str, replica: Backend) -> ReplicaContext:
    return ReplicaContext(
        source=place.backend,
        replica=replica,
        name=name,
        trust=place.trust,
        clock=app.clock,
        observer=app.progress,
    )


def _replicated(app: App, context: ReplicaContext, asked: Asked) -> ReplicaReport | None:
    with plan_replica(context, begin=asked.begin) as plan:
        if asked.dry_run:
            view.show_plan(app.output, context.name, plan)
            return None
        return execute_replica(context, plan, prove=asked.prove, workers=asked.workers)


def _pruned(app: App, context: ReplicaContext, table: ReplicaTable, asked: Asked) -> None:
    """Delete on the replica what the vault deleted long ago, once all else is copied."""
    deleted = swept(context.source, context.trust)
    names = list(plan_expiry(context, deleted.get, keep_deleted_s=table.keep_deleted_s))
    if not asked.dry_run:
        execute_expiry(context, names)
    view.show_expired(app.output, context.name, len(names), dry_run=asked.dry_run)
