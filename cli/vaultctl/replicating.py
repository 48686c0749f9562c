"""Bringing one replica up to date."""

from __future__ import annotations

from msgspec import Struct

from vaultctl.access import Place
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, INCOMPLETE, OK
from vaultctl.views import replicate as view
from vaultd.core.errors import VaultNotFoundError
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
        dry_run: Copy nothing.
    """

    begin: bool
    prove: bool
    workers: int
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
            report = _replicated(app, place, table.name, replica, asked)
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


def _replicated(
    app: App, place: Place, name: str, replica: Backend, asked: Asked
) -> ReplicaReport | None:
    context = ReplicaContext(
        source=place.backend,
        replica=replica,
        name=name,
        trust=place.trust,
        clock=app.clock,
        observer=app.progress,
    )
    with plan_replica(context, begin=asked.begin) as plan:
        if asked.dry_run:
            view.show_plan(app.output, name, plan)
            return None
        return execute_replica(context, plan, prove=asked.prove, workers=asked.workers)
