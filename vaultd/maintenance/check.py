"""Is everything there that the snapshots need, and does it open: looking only, changing nothing.

What is wrong is returned, not raised; an error means that it could not be looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.compression import Decompressor
from vaultd.core.clock import Clock
from vaultd.core.errors import IntegrityError, ObjectNotFoundError
from vaultd.core.events import Advanced, Observer, PhaseStarted
from vaultd.core.snapshot import SessionId, Snapshot
from vaultd.maintenance.references import References, gather
from vaultd.pipeline.reporting import Progress
from vaultd.pipeline.workers import Crew, bulk_work
from vaultd.vault import layout, receipts
from vaultd.vault.catalog import Catalog, KeyFinder
from vaultd.vault.keyring import ReadKeys
from vaultd.vault.proving import PackProver, TreeProver
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
    """

    snapshots: int
    packs: int
    data: int
    read: int
    opened: bool
    damages: tuple[Damage, ...]
    hidden: tuple[str, ...]


def check(context: CheckContext, *, read_data: bool = False, workers: int = 2) -> CheckReport:
    """Check every live snapshot: its root, its index parts, its packs, and with keys its tree.

    Args:
        context: What checking needs.
        read_data: Read every byte of every pack; without a recovery key their hashes are compared,
            with one every record is opened as well.
        workers: Threads that read.

    Raises:
        BrokenChainError: The log or the key policies were rolled back or rewritten.
        StorageError: The backend does not answer.
    """
    snapshots, findings = _listed(context)
    backend = context.backend
    with gather(backend, context.trust, context.find_keys, snapshots) as references:
        run = _Check(context, references, workers)
        for finding in findings:
            run.damage("vault", finding)
        run.references()
        if context.keys is not None:
            run.trees(context.keys)
        if read_data:
            run.contents()
        return run.report(opened=read_data and context.keys is not None)


def _listed(context: CheckContext) -> tuple[list[Snapshot], list[str]]:
    context.observer(PhaseStarted(name="check references"))
    findings = context.catalog.refresh(context.backend, context.trust, context.find_keys)
    return context.catalog.snapshots(context.trust, context.find_keys), findings


class _Check:
    """One check of what was gathered."""

    def __init__(self, context: CheckContext, references: References, workers: int) -> None:
        self._context = context
        self._references = references
        self._workers = workers
        self._damages: list[Damage] = []
        self._read = 0
        self._lock = threading.Lock()

    def damage(self, name: str, reason: str, harmed: Iterable[Snapshot] = ()) -> None:
        """Note what is wrong."""
        ids = tuple(snapshot.short_id for snapshot in harmed)
        self._damages.append(Damage(name=name, reason=reason, snapshots=ids))

    # References

    def references(self) -> None:
        """Compare what the snapshots need with what is there."""
        self._receipts()
        for lost, stand_in in self._context.catalog.state().reindexed.items():
            session = SessionId(host=stand_in.host, seq=stand_in.part.seq)
            part = stand_in.part
            self._references.replace(
                layout.part(session, lost), layout.part(session, part.sha256), part.size
            )
        for one in self._references.unreadable:
            self.damage(layout.outcome(one.snapshot.session), one.reason, [one.snapshot])
        for needed in self._references.broken():
            found = needed.found
            reason = "is missing" if found is None else f"has {found} bytes, expected {needed.size}"
            self.damage(needed.name, reason, needed.snapshots)

    def _receipts(self) -> None:
        """Compare with what this machine knows to have been committed, whatever the vault says."""
        context = self._context
        known = {snapshot.session: snapshot.id for snapshot in self._references.snapshots}
        gone = context.catalog.forgotten()
        for receipt in receipts.read(context.folder):
            session = SessionId(host=receipt.host, seq=receipt.seq)
            if receipt.vault != context.trust.vault_id.hex() or session in gone:
                continue
            if known.get(session) != receipt.root_sha256:
                reason = (
                    "was committed, as this machine's receipt says, and is gone or replaced "
                    "without having been forgotten"
                )
                self._damages.append(
                    Damage(
                        name=layout.outcome(session),
                        reason=reason,
                        snapshots=(receipt.root_sha256[:8],),
                    )
                )

    # Trees

    def trees(self, keys: ReadKeys) -> None:
        """Read every tree, and look up every chunk that it names."""
        context, snapshots = self._context, self._references.snapshots
        context.observer(PhaseStarted(name="check trees", files=len(snapshots)))
        reading = ReadContext(
            backend=context.backend,
            trust=context.trust,
            keys=keys,
            folder=context.folder,
            observer=context.observer,
            stand_ins=context.catalog.state().stand_ins(),
        )
        prover = TreeProver(reading)
        for number, snapshot in enumerate(snapshots):
            if snapshot in self._references.hidden:
                continue
            for reason in prover.prove(snapshot):
                self.damage(layout.outcome(snapshot.session), reason, [snapshot])
            context.observer(Advanced(files=number + 1, data=0, stored=0))

    # Contents

    def contents(self) -> None:
        """Read every pack and index part that a live snapshot needs."""
        context = self._context
        totals = self._references.totals()
        context.observer(PhaseStarted(name="read data", files=totals.count, data=totals.size))
        prover = PackProver(context.backend, context.trust, context.keys)
        progress = Progress(context.clock, context.observer)
        failures: list[tuple[str, str]] = []
        with bulk_work(), Crew("check", self._workers, 2, Decompressor) as crew:
            for done, (name, size) in enumerate(self._references.needed()):
                crew.submit(partial(self._prove, prover, name, size, failures))
                progress.report(done, self._read, self._read, name.encode())
            crew.drain()
        progress.finish(totals.count, self._read, self._read)
        for name, reason in failures:
            self.damage(name, reason, self._references.users(name))

    def _prove(
        self,
        prover: PackProver,
        name: str,
        size: int,
        failures: list[tuple[str, str]],
        decompressor: Decompressor,
    ) -> None:
        try:
            prover.prove(name, size, decompressor)
        except (IntegrityError, ObjectNotFoundError) as error:
            failures.append((name, error.message))
            return
        with self._lock:
            self._read += size

    def report(self, *, opened: bool) -> CheckReport:
        """Return what was found."""
        totals = self._references.totals()
        return CheckReport(
            snapshots=len(self._references.snapshots),
            packs=totals.count,
            data=totals.size,
            read=self._read,
            opened=opened,
            damages=tuple(self._damages),
            hidden=tuple(snapshot.short_id for snapshot in self._references.hidden),
        )
