"""Giving space back (FORMAT.md 10.1): plan, then execute. Backups go on meanwhile, unhindered.

What one run condemns, a later run deletes: in between, hosts that knew nothing of it finish. All
that a run must know of earlier ones is in the log, so that it may stop anywhere, and any keeper
may go on.
"""

from __future__ import annotations

from itertools import islice

from msgspec import Struct

from vaultd.core.errors import CautionError
from vaultd.core.events import Advanced, PhaseStarted
from vaultd.core.snapshot import SessionId
from vaultd.format.log import CondemnBody, name_columns
from vaultd.maintenance.checkpoint import note_heads, write_checkpoint
from vaultd.maintenance.keeping import KeeperContext
from vaultd.maintenance.needs import Needs
from vaultd.maintenance.survey import (
    Doomed,
    PruneRules,
    Survey,
    first_recallable,
    needs_now,
    survey,
)
from vaultd.maintenance.sweep import (
    OpenSession,
    close_dead,
    decide,
    delete,
    open_sessions,
    refresh,
)
from vaultd.vault import layout
from vaultd.vault.log_state import Mark

_FEW = 10
"""So few packs may be condemned whatever share they are."""

_IN_ONE_ENTRY = 100_000


class HostPlan(Struct, frozen=True, kw_only=True):
    """What a prune would do with the objects of one host.

    Attributes:
        survey: What lies there.
        needs: What its snapshots need.
    """

    survey: Survey
    needs: Needs


class PrunePlan(Struct, frozen=True, kw_only=True):
    """What a prune would do.

    Attributes:
        hosts: For each host.
        waiting: Condemnations that are not decided yet, by number.
        swept: Those that are.
        since: First log entry whose forgotten snapshots can be recalled.
        now_ns: By the server's clock.
        rules: How careful the keeper is.
    """

    hosts: tuple[HostPlan, ...]
    waiting: tuple[int, ...]
    swept: tuple[int, ...]
    since: int
    now_ns: int
    rules: PruneRules

    @property
    def packs(self) -> int:
        """How many packs there are."""
        return sum(plan.survey.packs for plan in self.hosts)

    @property
    def condemned(self) -> int:
        """How many packs would be condemned."""
        return sum(len(plan.survey.fresh.packs) for plan in self.hosts)

    @property
    def condemned_bytes(self) -> int:
        """Bytes of all objects that would be condemned."""
        return sum(plan.survey.fresh.size for plan in self.hosts)


class Pending(Struct, frozen=True, kw_only=True):
    """A condemnation that could not be decided yet.

    Attributes:
        number: Of the log entry.
        host: Whose objects.
        packs: How many packs.
        sessions: Sessions that must end first.
        until_ns: When it can be decided, if nothing else holds it up; by the server's clock.
    """

    number: int
    host: str
    packs: int
    sessions: tuple[SessionId, ...]
    until_ns: int


class PruneReport(Struct, kw_only=True):
    """What a prune did.

    Attributes:
        condemned: Packs newly condemned.
        deleted: Objects deleted.
        deleted_bytes: Their bytes.
        rescued: Packs that were condemned and are needed after all.
        retained: Objects that the storage still protects.
        revoked: Sessions closed because their hosts did not go on.
        pending: Condemnations left for a later run.
    """

    condemned: int = 0
    deleted: int = 0
    deleted_bytes: int = 0
    rescued: int = 0
    retained: int = 0
    revoked: tuple[SessionId, ...] = ()
    pending: tuple[Pending, ...] = ()


def plan_prune(context: KeeperContext, now_ns: int, rules: PruneRules) -> PrunePlan:
    """Find out what nothing needs any more; changes nothing.

    Args:
        context: What the keeper has.
        now_ns: The time by the server's clock.
        rules: How careful to be.

    Raises:
        CautionError: The vault is not as it should be, so that nothing should be deleted.
        KeyringError: What a snapshot needs cannot be seen with the keys of this keeper.
        IntegrityError: The log or a root cannot be believed.
        StorageError: The backend does not answer.
    """
    refresh(context)
    since = first_recallable(context, now_ns, rules)
    hosts = sorted({grant.host for grant in context.trust.policy.hosts})
    context.observer(PhaseStarted(name="look at what is needed", files=len(hosts)))
    plans = []
    for number, host in enumerate(hosts):
        plans.append(_look(context, host, since))
        context.observer(Advanced(files=number + 1, data=0, stored=0))
    return PrunePlan(
        hosts=tuple(plans),
        waiting=tuple(mark.number for mark in _undecided(context)),
        swept=tuple(
            mark.number for mark in context.catalog.state().marks.values() if mark.sweep is not None
        ),
        since=since,
        now_ns=now_ns,
        rules=rules,
    )


def _look(context: KeeperContext, host: str, since: int) -> HostPlan:
    """Look at everything of one host.

    Raises:
        CautionError: The listing lacks packs that snapshots need: it may lack more than those.
    """
    while True:
        head = context.catalog.log_head()
        needs = needs_now(context, host, since)
        found = survey(context, host, needs)
        if not found.lacking:
            return HostPlan(survey=found, needs=needs)
        if context.catalog.refresh_log(context.backend, context.trust) == head:
            raise CautionError(
                f"host {host}: {found.lacking} of {len(needs.packs)} packs that its snapshots need "
                "are not listed: either the storage lists too little, or they are lost",
                hint="Run `vaultctl check`; what is lost must be repaired or known before a prune.",
            )
        # Another keeper may have forgotten and deleted meanwhile.
        refresh(context)


def check_plan(plan: PrunePlan) -> None:
    """Return when a plan may be executed without asking anybody.

    Raises:
        CautionError: It condemns so much that a person must confirm it.
    """
    rules = plan.rules
    if plan.condemned <= max(_FEW, rules.max_share * plan.packs):
        return
    if rules.confirmed != plan.condemned:
        said = "" if rules.confirmed is None else f" (and {rules.confirmed} were confirmed)"
        raise CautionError(
            f"{plan.condemned} of {plan.packs} packs would be condemned, more than "
            f"{rules.max_share:.0%}{said}",
            hint=f"See what `vaultctl snapshots` lists; if right, --confirm {plan.condemned}.",
        )


def execute_prune(context: KeeperContext, plan: PrunePlan) -> PruneReport:
    """Delete what can be deleted now, and condemn what a later run may delete.

    Args:
        context: What the keeper has.
        plan: What to do.

    Raises:
        CautionError: As `check_plan`, or the vault has changed so that it is not as it should be.
        AccessDeniedError: This machine may not do so.
        StorageError: The backend does not answer; a later run goes on.
    """
    check_plan(plan)
    report = PruneReport()
    context.observer(PhaseStarted(name="prune", files=len(plan.hosts)))
    for number, host in enumerate(plan.hosts):
        _delete(context, host.survey.host, host.survey.swept, report)
        _condemn(context, host.survey, report)
        _decide_all(context, plan, host, report)
        context.observer(Advanced(files=number + 1, data=0, stored=report.deleted_bytes))
    note_heads(context)
    write_checkpoint(context, plan.since, _finished(context, plan))
    return report


def _finished(context: KeeperContext, plan: PrunePlan) -> set[int]:
    """Return the condemnations that were swept before this run, and of which nothing was there."""
    there = {
        (found.survey.host, name)
        for found in plan.hosts
        for kind in (found.survey.swept.packs, found.survey.swept.parts, found.survey.swept.roots)
        for name in kind
    }
    marks = context.catalog.state().marks
    return {
        number
        for number in plan.swept
        if not any((marks[number].body.host, name) in there for name in marks[number].names)
    }


def _undecided(context: KeeperContext) -> list[Mark]:
    return [mark for mark in context.catalog.state().marks.values() if mark.sweep is None]


def _condemn(context: KeeperContext, found: Survey, report: PruneReport) -> None:
    fresh = found.fresh
    left = {kind: iter(sorted(getattr(fresh, kind))) for kind in ("packs", "parts", "roots")}
    while batch := {
        kind: names for kind in left if (names := list(islice(left[kind], _IN_ONE_ENTRY)))
    }:
        columns = [name_columns(batch.get(kind, ())) for kind in left]
        context.say(CondemnBody(found.host, *columns))
    report.condemned += len(fresh.packs)


def _decide_all(
    context: KeeperContext, plan: PrunePlan, host: HostPlan, report: PruneReport
) -> None:
    name, rules = host.survey.host, plan.rules
    marks = [mark for mark in _undecided(context) if mark.body.host == name]
    if not marks:
        return
    # Looked up after the condemnations: whoever begins now knows them.
    sessions = open_sessions(context, name)
    revoked = close_dead(context, sessions, plan.now_ns, rules)
    report.revoked += tuple(revoked)
    left = [one for one in sessions if one.session not in revoked]
    decided = False
    for mark in marks:
        pending = _pending(context, mark, left, plan)
        if pending is not None:
            report.pending += (pending,)
            continue
        sweep = decide(context, mark, host.needs, plan.since)
        report.rescued += (len(mark.body.packs.seqs) - len(sweep.packs.seqs)) // 4
        decided = True
    if decided:
        _delete(context, name, survey(context, name, host.needs).swept, report)


def _pending(
    context: KeeperContext, mark: Mark, sessions: list[OpenSession], plan: PrunePlan
) -> Pending | None:
    """Return what a condemnation must wait for; ``None`` when it can be decided."""
    before = tuple(one.session for one in sessions if one.log_seen < mark.number)
    until_ns = 0
    if plan.rules.wait_s:
        written_ns = context.backend.head(layout.log_entry(mark.number)).modified_ns
        until_ns = written_ns + plan.rules.wait_s * 10**9
    if not before and until_ns <= plan.now_ns:
        return None
    return Pending(
        number=mark.number,
        host=mark.body.host,
        packs=len(mark.body.packs.seqs) // 4,
        sessions=before,
        until_ns=until_ns,
    )


def _delete(context: KeeperContext, host: str, doomed: Doomed, report: PruneReport) -> None:
    if doomed:
        done = delete(context, host, doomed)
        report.deleted += done.objects
        report.deleted_bytes += done.size
        report.retained += done.retained
