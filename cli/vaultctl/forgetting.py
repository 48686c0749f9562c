"""Forgetting snapshots that were named, or those that no rule keeps."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from vaultctl import prompts
from vaultctl.authority import keeper_context
from vaultctl.choosing import named
from vaultctl.context import App
from vaultctl.keeping import Keeping
from vaultctl.listing import Listed, opened_list
from vaultctl.looking import health_of
from vaultctl.text import plural
from vaultctl.views import retention as view
from vaultctl.views.snapshots import line
from vaultd.core.errors import ConfigError
from vaultd.core.snapshot import Snapshot
from vaultd.maintenance.forget import forget
from vaultd.maintenance.retention import Rules, execute_retention, plan_retention
from vaultd.settings.retention import has_policies, needed_policy, policy_for
from vaultd.vault.select import Filter, chosen


class Terms(Struct, frozen=True, kw_only=True):
    """How snapshots are forgotten.

    Attributes:
        dry_run: Say which; change nothing.
        yes: Do not ask.
        reason: For the log; ``None``: nothing was said.
        even_the_last: Also the only snapshot left of a store.
    """

    dry_run: bool
    yes: bool
    reason: str | None
    even_the_last: bool

    def check_answerable(self) -> None:
        """Refuse to go on where nobody can be asked.

        Raises:
            ConfigError: It is so.
        """
        if not (self.yes or self.dry_run or prompts.can_ask()):
            raise ConfigError(
                "nobody is here to confirm that snapshots should be forgotten", hint="Give --yes."
            )

    def confirm(self, count: int) -> None:
        """Ask, unless there is no need to.

        Raises:
            ConfigError: The answer was no.
        """
        if self.yes or prompts.ask_yes(f"Forget {plural(count, 'snapshot')}?"):
            return
        raise ConfigError("it was not confirmed, so nothing was forgotten")


def forget_named(app: App, references: Sequence[str], wanted: Filter, terms: Terms) -> None:
    """Forget the snapshots that references or filters name.

    Raises:
        ConfigError: Nothing was named, or a store would have nothing left, or it was not confirmed.
        KeyringError: This machine is no keeper.
    """
    with opened_list(app) as listed:
        context = keeper_context(app, listed)
        doomed = named(listed, references, wanted)
        if not terms.even_the_last:
            _keep_one(listed, doomed)
        terms.check_answerable()
        for snapshot in doomed:
            if app.output.json:
                app.output.record("forget", {"snapshot": snapshot.id, "dry_run": terms.dry_run})
            else:
                app.output.line(f"forget {line(snapshot)}")
        if doomed and not terms.dry_run:
            terms.confirm(len(doomed))
            forget(context, doomed, terms.reason or "asked for by a person")
    if not app.output.json:
        done = "would be forgotten" if terms.dry_run else "forgotten"
        app.output.say(f"{plural(len(doomed), 'snapshot')} {done}.")


def forget_by_policy(app: App, keeping: Keeping, wanted: Filter, terms: Terms) -> None:
    """Forget what no rule keeps, among the snapshots that pass a filter.

    Raises:
        ConfigError: Nothing would be kept, an option makes no sense here, or it was not confirmed.
        KeyringError: This machine is no keeper.
    """
    if terms.reason is not None or terms.even_the_last:
        raise ConfigError(
            "--reason and --even-the-last go with snapshots that are named",
            hint="Leave them out: the log names the policy, and every store keeps its newest.",
        )
    config = app.settings.config
    if not has_policies(config):
        needed_policy(config, "", keeping.table)
    with opened_list(app) as listed:
        context = keeper_context(app, listed)
        rules = Rules(
            policy_of=lambda store: policy_for(config, store, keeping.table),
            min_age_days=context.trust.policy.min_age_days,
            pinned=frozenset(listed.catalog.pinned()),
            health=health_of(app, listed),
        )
        now_ns = app.clock.now_ns()
        plan = plan_retention(context.backend, listed.snapshots, rules, now_ns)
        plan = plan.among(chosen(listed.snapshots, wanted))
        terms.check_answerable()
        view.show_plan(app.output, plan)
        if plan.doomed and not terms.dry_run:
            terms.confirm(len(plan.doomed))
            execute_retention(context, plan)
    view.show_end(app.output, plan, dry_run=terms.dry_run)


def _keep_one(listed: Listed, doomed: Sequence[Snapshot]) -> None:
    """Refuse to leave a store without any snapshot."""
    ids = {snapshot.id for snapshot in doomed}
    left = {(one.session.host, one.store_id) for one in listed.snapshots if one.id not in ids}
    for snapshot in doomed:
        if (snapshot.session.host, snapshot.store_id) not in left:
            raise ConfigError(
                f"store {snapshot.store or snapshot.store_id.hex()[:8]} of host "
                f"{snapshot.session.host} would have no snapshot left",
                hint="Keep its newest one, or give --even-the-last.",
            )
