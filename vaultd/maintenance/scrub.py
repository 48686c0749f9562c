"""Reading everything again and again, a little each day: damage is found while it can be healed.

Plan, execute, report. What was never read comes first, the newest before the older; then all the
rest in turn, so that everything is read once within a window. What may be spent in a day is
remembered with the readings, so a run can be stopped and begun anew at any moment. No recovery key
is needed: objects are compared with their names and with signed roots. With one, every record is
opened, and damage is told file by file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager

from msgspec import Struct

from vaultd.core.events import PhaseStarted
from vaultd.maintenance.agenda import Age, Agenda, Bad, Planned
from vaultd.maintenance.avoidance import called_bad, execute_avoidance, plan_avoidance
from vaultd.maintenance.check import (
    CheckContext,
    Damage,
    files_of,
    gathered,
    leave_out_forgotten,
    missed_receipts,
    note_references,
    reading_context,
)
from vaultd.maintenance.harm import HarmedFile
from vaultd.maintenance.keeping import KeeperContext
from vaultd.maintenance.ledger import Ledger, Spent
from vaultd.maintenance.reading import ObjectReader
from vaultd.maintenance.references import References, Totals
from vaultd.maintenance.subsets import Share
from vaultd.policy.scrubbing import Allowance, ScrubRule, daily_share
from vaultd.vault import layout
from vaultd.vault.log import Keeper
from vaultd.vault.proving import most_requests

_NO_LIMIT = 1 << 62
Heal = Callable[[Collection[str]], Collection[str]]
"""Given names of objects that are lost or damaged, puts good ones in their place as far as it can;
returns the names of those that it has healed."""


def heal_nothing(names: Collection[str]) -> Collection[str]:  # noqa: ARG001 - one of the kind `Heal`
    """Heal nothing: there is nowhere to take good copies from."""
    return ()


class ScrubContext(Struct, frozen=True, kw_only=True):
    """What scrubbing needs.

    Attributes:
        looking: What looking at a vault needs.
        keeper: Who tells hosts of damage through the log; ``None``: they are not told.
        heal: Puts good objects in the place of bad ones.
        workers: Threads that read.
    """

    looking: CheckContext
    keeper: Keeper | None = None
    heal: Heal = heal_nothing
    workers: int = 2


class ScrubLimits(Struct, frozen=True, kw_only=True):
    """How much to read.

    Attributes:
        rule: What is due, and what may be spent in a day.
        max_bytes: At most so much in this run; ``None``: what is left of the day.
        max_requests: At most so many requests in this run; likewise.
        shard: Read only what one of several machines has to read; each has a ledger of its own.
    """

    rule: ScrubRule = ScrubRule()
    max_bytes: int | None = None
    max_requests: int | None = None
    shard: Share | None = None


class ScrubPlan(Struct, frozen=True, kw_only=True):
    """What a run would read.

    Attributes:
        snapshots: Live snapshots.
        needed: Packs and index parts that they need.
        spent: What was spent today already, by scrubs and checks.
        planned: What is to be read, by reason, the most urgent first.
        days: How many days reading everything takes at the daily limit.
        rule: The rule that was gone by.
    """

    snapshots: int
    needed: Totals
    spent: Spent
    planned: tuple[Planned, ...]
    days: float
    rule: ScrubRule


class ScrubReport(Struct, frozen=True, kw_only=True):
    """What a run has read, and how the vault is.

    Attributes:
        plan: What was to be read.
        objects: Objects read.
        read: Bytes of those that are good.
        requests: Requests made for it.
        opened: Contents were decrypted and compared with their ids, not only hashed.
        damages: All that is known to be wrong, found in this run or before.
        files: The files that this costs, when a recovery key is at hand.
        healed: Objects that were bad and are good again.
        logged: Entries appended to the log for hosts; ``None``: this machine is no keeper.
        age: What was read within the window, and what is known of the rest.
        all_read_ns: Everything needed was read since this instant or later; ``None``: something
            never was.
        hidden: Short ids of snapshots whose keys were not at hand.
    """

    plan: ScrubPlan
    objects: int
    read: int
    requests: int
    opened: bool
    damages: tuple[Damage, ...]
    files: tuple[HarmedFile, ...]
    healed: tuple[str, ...]
    logged: int | None
    age: Age
    all_read_ns: int | None
    hidden: tuple[str, ...]


@contextmanager
def planned_scrub(context: ScrubContext, limits: ScrubLimits) -> Iterator[Scrub]:
    """Look at what is needed and what was read, and plan a run; nothing but roots is read.

    Raises:
        BrokenChainError: The log or the key policies were rolled back or rewritten.
        StorageError: The backend does not answer.
    """
    looking = context.looking
    looking.observer(PhaseStarted(name="check references"))
    findings = looking.catalog.refresh(looking.backend, looking.trust, looking.find_keys)
    snapshots = looking.catalog.snapshots(looking.trust, looking.find_keys)
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger(looking.folder, looking.backend.location)))
        references = stack.enter_context(gathered(looking, snapshots))
        yield Scrub(context, limits, ledger, references, findings)


class Scrub:
    """One run that was planned; see `planned_scrub`.

    Attributes:
        plan: What it will read.
    """

    def __init__(
        self,
        context: ScrubContext,
        limits: ScrubLimits,
        ledger: Ledger,
        references: References,
        findings: list[str],
    ) -> None:
        self._context = context
        self._limits = limits
        self._ledger = ledger
        self._references = references
        self._findings = findings
        self._called_bad = frozenset(called_bad(context.looking.catalog.state()))
        self._agenda = Agenda(references, ledger, context.looking.clock.now_ns())
        self._agenda.suspect(self._called_bad)
        self.plan = self._plan()

    def _plan(self) -> ScrubPlan:
        looking, rule = self._context.looking, self._limits.rule
        now_ns = looking.clock.now_ns()
        spent = self._ledger.spent(now_ns)
        needed = self._references.totals("")
        most = self._limits
        size = needed.size // (1 if most.shard is None else most.shard.of)
        left = max(0, rule.bytes_per_day - spent.size)
        left_requests = max(0, rule.requests_per_day - spent.requests)
        allowance = Allowance(
            size=min(left, _NO_LIMIT if most.max_bytes is None else most.max_bytes),
            requests=min(
                left_requests, _NO_LIMIT if most.max_requests is None else most.max_requests
            ),
            share=daily_share(size, rule) - spent.size,
            fresh=spent == Spent(),
        )
        opened = looking.keys is not None
        self._agenda.choose_due(
            rule, allowance, now_ns, lambda size: most_requests(size, opened=opened), most.shard
        )
        return ScrubPlan(
            snapshots=len(self._references.snapshots),
            needed=needed,
            spent=spent,
            planned=self._agenda.planned(),
            days=size / max(1, rule.bytes_per_day),
            rule=rule,
        )

    def execute(self) -> ScrubReport:
        """Read what was planned, heal what can be, and tell hosts of the rest.

        Raises:
            StorageError: The backend does not answer; what was read until then is remembered.
        """
        looking = self._context.looking
        begun_ns = looking.clock.now_ns()
        note_references(self._ledger, self._references, begun_ns)
        reader = self._reader()
        reader.read(
            self._agenda.chosen(),
            count=sum(one.count for one in self.plan.planned),
            size=sum(one.size for one in self.plan.planned),
        )
        leave_out_forgotten(looking, self._references)
        good = reader.done.good | self._heal()
        bad = self._agenda.bad()
        names = [one.name for one in bad]
        return ScrubReport(
            plan=self.plan,
            objects=reader.done.objects,
            read=reader.done.size,
            requests=reader.done.requests,
            opened=looking.keys is not None,
            damages=self._damages(bad),
            files=files_of(looking, self._references, names),
            healed=tuple(sorted(good)),
            logged=self._tell(bad, good),
            age=self._agenda.age(begun_ns - self._limits.rule.window_s * 10**9, self._limits.shard),
            all_read_ns=self._all_read_ns(),
            hidden=tuple(snapshot.short_id for snapshot in self._references.hidden),
        )

    def _all_read_ns(self) -> int | None:
        whole = self._agenda.age(_NO_LIMIT)
        return None if whole.never or self._references.hidden else whole.oldest_ns

    def _reader(self) -> ObjectReader:
        context = self._context
        watched = self._called_bad | {one.name for one in self._agenda.bad()}
        return ObjectReader(
            reading_context(context.looking, self._ledger, context.workers), watched
        )

    def _heal(self) -> set[str]:
        """Have bad objects replaced, and read those that were: what is said is not enough."""
        self._agenda.refresh(self._context.looking.clock.now_ns())
        bad = {one.name: one.size for one in self._agenda.bad()}
        if not bad:
            return set()
        healed = set(self._context.heal(sorted(bad))) & set(bad)
        if not healed:
            return set()
        self._references.add_listed(self._context.looking.backend, *sorted(healed))
        reader = self._reader()
        wanted = [(name, bad[name]) for name in sorted(healed)]
        reader.read(wanted, count=len(wanted), size=sum(size for _, size in wanted))
        self._agenda.refresh(self._context.looking.clock.now_ns())
        return reader.done.good

    def _damages(self, bad: list[Bad]) -> tuple[Damage, ...]:
        found = [Damage(name="vault", reason=finding) for finding in self._findings]
        found += missed_receipts(self._context.looking, self._references.snapshots)
        for one in self._references.unreadable:
            name = layout.outcome(one.snapshot.session)
            found.append(Damage(name=name, reason=one.reason, snapshots=(one.snapshot.short_id,)))
        for item in bad:
            reading = self._ledger.reading(item.name)
            users = tuple(one.short_id for one in self._references.users(item.name))
            reason = reading.reason if reading is not None else item.result.value
            found.append(Damage(name=item.name, reason=reason, snapshots=users))
        return tuple(found)

    def _tell(self, bad: list[Bad], good: Collection[str]) -> int | None:
        """Tell hosts through the log what they should not rely on, and what they may again."""
        looking, keeper = self._context.looking, self._context.keeper
        if keeper is None:
            return None
        packs = [name for name in good if name.startswith(layout.PACKS)]
        events = plan_avoidance(looking.catalog.state(), bad, packs)
        if not events:
            return 0
        writing = KeeperContext(
            backend=looking.backend,
            trust=looking.trust,
            catalog=looking.catalog,
            keeper=keeper,
            find_keys=looking.find_keys,
            clock=looking.clock,
            observer=looking.observer,
        )
        execute_avoidance(writing, events)
        return len(events)
