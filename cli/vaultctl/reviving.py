"""Bringing back what a thief hid or covered in the bucket."""

from __future__ import annotations

from contextlib import closing

from vaultctl import prompts
from vaultctl.access import opened_place
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, INCOMPLETE, OK
from vaultctl.text import plural
from vaultctl.views import markers as view
from vaultd.core.errors import ConfigError
from vaultd.maintenance.locks import versions_of
from vaultd.maintenance.markers import (
    MarkerContext,
    deleted_names,
    execute_revival,
    plan_revival,
)
from vaultd.vault.catalog import Catalog


def revive(app: App, *, dry_run: bool, yes: bool) -> int:
    """Bring back what lies beneath markers and covers; return the exit code.

    Args:
        app: The run.
        dry_run: Change nothing.
        yes: Do not ask.

    Raises:
        ConfigError: The storage keeps no versions, or nobody confirmed it.
    """
    with opened_place(app) as place:
        with closing(Catalog(place.identity.folder / "catalog.sqlite")) as catalog:
            catalog.refresh_log(place.backend, place.trust)
            deleted = deleted_names(catalog.state())
        context = MarkerContext(
            versions=versions_of(place.backend),
            trust=place.trust,
            is_deleted=deleted.__contains__,
            observer=app.progress,
        )
        plan = plan_revival(context)
        view.show_plan(app.output, plan)
        report = None
        if plan.revivals and not dry_run:
            _confirm(len(plan.revivals), yes=yes)
            report = execute_revival(context, plan)
    view.show_report(app.output, plan, report)
    if plan.lost:
        return DAMAGE
    return INCOMPLETE if report is not None and report.kept else OK


def _confirm(count: int, *, yes: bool) -> None:
    if yes:
        return
    if not prompts.can_ask():
        raise ConfigError(
            "what lies above them is removed for good, and nobody is here to confirm it",
            hint="Give --yes.",
        )
    if not prompts.ask_yes(f"Remove for good what lies above {plural(count, 'object')}?"):
        raise ConfigError("it was not confirmed, so nothing was changed")
