"""Is everything there that the snapshots need, and does it open: looking only, changing nothing.

What is wrong is returned, not raised; an error means that it could not be looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.clock import Clock
from vaultd.core.events import Advanced, Observer, PhaseStarted
from vaultd.core.snapshot import SessionId, Snapshot
from vaultd.maintenance.agenda import Age, Agenda, proven
from vaultd.maintenance.harm import HarmedFile, harmed_files
from vaultd.maintenance.ledger import Ledger, Reading, Result
from vaultd.maintenance.reading import ObjectReader, ReadingContext
from vaultd.maintenance.references import References, gather
from vaultd.maintenance.subsets import Sample
from vaultd.policy.seats import Health
from vaultd.vault import layout, receipts
from vaultd.vault.catalog import Catalog, KeyFinder
from vaultd.vault.keyring import ReadKeys
from vaultd.vault.proving import TreeProver
from vaultd.vault.reader import ReadContext
from vaultd.vault.trust import Trust


class CheckContext(Struct, frozen=True, kw_only=True):
    """What checking needs.

    Attributes:
        backend: Where the vault lies.
        trust: Whom to believe.
        catalog: What this machine remembers.
        find_keys: Keys of domains, as far as they are at hand.
        keys: What a recovery key opens; ``None``: nothing can be decrypted, hashes still tell.
        folder: Where indexes are kept on this machine.
        clock: For progress.
        observer: Takes progress.
    """

    backend: Backend
    trust: Trust
    catalog: Catalog
    find_keys: KeyFinder
    keys: ReadKeys | None
    folder: Path
    clock: Clock
    observer: Observer


class Damage(Struct, frozen=True, kw_only=True):
    """One thing that is wrong.

    Attributes:
        name: The object.
        reason: Lower-case clause without final stop.
        snapshots: Short ids of the snapshots that it harms; empty when it harms none by itself.
    """

    name: str
    reason: str
    snapshots: tuple[str, ...] = ()


class CheckReport(Struct, frozen=True, kw_only=True):
    """What was looked at, and what is wrong.

    Attributes:
        snapshots: Live snapshots looked at.
        packs: Packs that they need.
        data: Bytes of these packs.
        read: Bytes that were read and proven.
        opened: Contents were decrypted and compared with their ids, not only hashed.
        damages: What is wrong; empty means that everything looked at is good.
        hidden: Short ids of snapshots whose keys were not at hand.
        files: The files that this costs, when a recovery key is at hand.
        age: What was read in this run, and what is known of the rest.
        suspects: Objects that were bad when they were last read, and were not read in this run.
    """

    snapshots: int
    packs: int
    data: int
    read: int
    opened: bool
    damages: tuple[Damage, ...]
    hidden: tuple[str, ...]
    files: tuple[HarmedFile, ...]
    age: Age
    suspects: tuple[str, ...]


def check(
    context: CheckContext,
    *,
    read_data: bool = False,
    sample: Sample | None = None,
    workers: int = 2,
) -> CheckReport:
    """Check every live snapshot: its root, its index parts, its packs, and with keys its tree.

    Args:
        context: What checking needs.
        read_data: Read every byte of every pack; without a recovery key their hashes are compared,
            with one every record is opened as well.
        sample: Of these read a part only.
        workers: Threads that read.

    Raises:
        BrokenChainError: The log or the key policies were rolled back or rewritten.
        StorageError: The backend does not answer.
    """
    context.observer(PhaseStarted(name="check references"))
    findings = context.catalog.refresh(context.backend, context.trust, context.find_keys)
    snapshots = context.catalog.snapshots(context.trust, context.find_keys)
    with (
        closing(Ledger(context.folder, context.backend.location)) as ledger,
        gathered(context, snapshots) as references,
    ):
        run = _Check(context, references, ledger)
        run.references(findings)
        if context.keys is not None:
            run.trees(context.keys)
        if read_data:
            run.contents(sample, workers)
        return run.report(opened=read_data and context.keys is not None)


class _Check:
    """One check of what was gathered."""

    def __init__(self, context: CheckContext, references: References, ledger: Ledger) -> None:
        self._context = context
        self._references = references
        self._ledger = ledger
        self._begun_ns = context.clock.now_ns()
        self._agenda = Agenda(references, ledger, self._begun_ns)
        self._damages: list[Damage] = []
        self._bad: set[str] = set()
        self._read = 0

    def _damage(self, name: str, reason: str, harmed: Iterable[Snapshot] = ()) -> None:
        ids = tuple(snapshot.short_id for snapshot in harmed)
        self._damages.append(Damage(name=name, reason=reason, snapshots=ids))

    def references(self, findings: Iterable[str]) -> None:
        """Compare what the snapshots need with what is there."""
        leave_out_forgotten(self._context, self._references)
        for finding in findings:
            self._damage("vault", finding)
        self._damages += missed_receipts(self._context, self._references.snapshots)
        for one in self._references.unreadable:
            self._damage(layout.outcome(one.snapshot.session), one.reason, [one.snapshot])
        for needed in self._references.broken():
            self._damage(needed.name, needed.reason, needed.snapshots)
            self._bad.add(needed.name)
        note_references(self._ledger, self._references, self._begun_ns)

    def trees(self, keys: ReadKeys) -> None:
        """Read every tree, and look up every chunk that it names."""
        context, snapshots = self._context, self._references.live
        context.observer(PhaseStarted(name="check trees", files=len(snapshots)))
        prover = TreeProver(read_context(context, keys))
        for number, snapshot in enumerate(snapshots):
            if snapshot in self._references.hidden:
                continue
            reasons = list(prover.prove(snapshot))
            if reasons:
                leave_out_forgotten(context, self._references)
            for reason in reasons if snapshot in self._references.live else ():
                self._damage(layout.outcome(snapshot.session), reason, [snapshot])
            context.observer(Advanced(files=number + 1, data=0, stored=0))

    def contents(self, sample: Sample | None, workers: int) -> None:
        """Read the packs and index parts that live snapshots need, or some of them."""
        self._agenda.choose(sample)
        planned = self._agenda.planned()
        reader = ObjectReader(reading_context(self._context, self._ledger, workers))
        reader.read(
            self._agenda.chosen(),
            count=sum(one.count for one in planned),
            size=sum(one.size for one in planned),
        )
        self._read = reader.done.size
        leave_out_forgotten(self._context, self._references)
        for name, reading in sorted(reader.done.bad.items()):
            if users := self._references.users(name):
                self._damage(name, reading.reason, users)
                self._bad.add(name)

    def report(self, *, opened: bool) -> CheckReport:
        """Return what was found."""
        totals = self._references.totals()
        self._agenda.refresh(self._context.clock.now_ns())
        suspects = {bad.name for bad in self._agenda.bad()} - self._bad
        return CheckReport(
            snapshots=len(self._references.live),
            packs=totals.count,
            data=totals.size,
            read=self._read,
            opened=opened,
            damages=tuple(self._damages),
            hidden=tuple(snapshot.short_id for snapshot in self._references.hidden),
            files=files_of(self._context, self._references, self._bad),
            age=self._agenda.age(self._begun_ns),
            suspects=tuple(sorted(suspects)),
        )


def gathered(context: CheckContext, snapshots: Sequence[Snapshot]) -> References:
    """Return what snapshots need, with what stands in for lost index parts.

    Raises:
        StorageError: The backend does not answer.
    """
    references = gather(context.backend, context.trust, context.find_keys, snapshots)
    for lost, stand_in in context.catalog.state().reindexed.items():
        session = SessionId(host=stand_in.host, seq=stand_in.part.seq)
        part = stand_in.part
        references.replace(layout.part(session, lost), layout.part(session, part.sha256), part.size)
    return references


def known_health(
    context: CheckContext, snapshots: Sequence[Snapshot], within_s: int
) -> dict[SessionId, Health]:
    """Return what this machine has learned of snapshots by reading what they need.

    Args:
        context: What checking needs.
        snapshots: The live ones, oldest first.
        within_s: Readings that are older, in seconds, do not count.

    Raises:
        StorageError: The backend does not answer.
    """
    with closing(Ledger(context.folder, context.backend.location)) as ledger:
        if next(ledger.readings(), None) is None:
            return {}  # nothing was ever read here: no root needs to be looked at
        with gathered(context, snapshots) as references:
            return proven(ledger, references, now_ns=context.clock.now_ns(), within_s=within_s)


def leave_out_forgotten(context: CheckContext, references: References) -> None:
    """Leave out snapshots that were forgotten meanwhile: what they needed may be deleted by now."""
    context.catalog.refresh_log(context.backend, context.trust)
    references.leave_out(context.catalog.forgotten())


def missed_receipts(context: CheckContext, snapshots: Iterable[Snapshot]) -> list[Damage]:
    """Return what this machine knows to have been committed, and the vault does not show."""
    known = {snapshot.session: snapshot.id for snapshot in snapshots}
    gone = context.catalog.forgotten()
    found = []
    for receipt in receipts.read(context.folder):
        session = SessionId(host=receipt.host, seq=receipt.seq)
        if receipt.vault != context.trust.vault_id.hex() or session in gone:
            continue
        if known.get(session) != receipt.root_sha256:
            reason = (
                "was committed, as this machine's receipt says, and is gone or replaced "
                "without having been forgotten"
            )
            harmed = (receipt.root_sha256[:8],)
            found.append(Damage(name=layout.outcome(session), reason=reason, snapshots=harmed))
    return found


def note_references(ledger: Ledger, references: References, now_ns: int) -> None:
    """Let the ledger know the roots that were read, and what is missing or of another length."""

    def seen() -> Iterator[Reading]:
        for name in references.roots:
            yield Reading(name=name, size=0, read_ns=now_ns, result=Result.GOOD)
        for one in references.unreadable:
            name = layout.outcome(one.snapshot.session)
            yield Reading(
                name=name, size=0, read_ns=now_ns, result=Result.DAMAGED, reason=one.reason
            )
        for needed in references.broken():
            result = Result.LOST if needed.found is None else Result.DAMAGED
            yield Reading(
                name=needed.name,
                size=needed.size,
                read_ns=now_ns,
                result=result,
                reason=needed.reason,
            )

    ledger.note(seen())


def files_of(
    context: CheckContext, references: References, bad: Collection[str]
) -> tuple[HarmedFile, ...]:
    """Return the files that bad objects cost, as far as a recovery key shows them."""
    if context.keys is None or not bad:
        return ()
    users = {user.session for name in bad for user in references.users(name)}
    hit = [snapshot for snapshot in references.live if snapshot.session in users]
    context.observer(PhaseStarted(name="look for harmed files", files=len(hit)))
    return harmed_files(read_context(context, context.keys), hit, bad)


def reading_context(context: CheckContext, ledger: Ledger, workers: int) -> ReadingContext:
    """Return what reading objects needs."""
    return ReadingContext(
        backend=context.backend,
        trust=context.trust,
        keys=context.keys,
        ledger=ledger,
        clock=context.clock,
        observer=context.observer,
        workers=workers,
    )


def read_context(context: CheckContext, keys: ReadKeys) -> ReadContext:
    """Return what reading snapshots needs."""
    return ReadContext(
        backend=context.backend,
        trust=context.trust,
        keys=keys,
        folder=context.folder,
        observer=context.observer,
        stand_ins=context.catalog.state().stand_ins(),
    )
