"""Scrubs in tests: a desk whose clock is told, with or without the recovery key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.vaults import Desk, Scene
from vaultd.backends.base import Backend
from vaultd.core.events import ignore
from vaultd.core.snapshot import SessionId
from vaultd.maintenance.agenda import proven
from vaultd.maintenance.check import CheckContext
from vaultd.maintenance.ledger import Ledger, Reading
from vaultd.maintenance.references import gather
from vaultd.maintenance.scrub import (
    Heal,
    Scrub,
    ScrubContext,
    ScrubLimits,
    ScrubPlan,
    ScrubReport,
    heal_nothing,
    planned_scrub,
)
from vaultd.policy.seats import Health
from vaultd.vault.log import Keeper

DAY_NS = 86_400 * 10**9
USUAL = ScrubLimits()


@dataclass
class TurnedClock:
    """A clock that stands still, in the middle of a day, until a test turns it."""

    ns: int = 20_800 * DAY_NS + DAY_NS // 2

    def now_ns(self) -> int:
        return self.ns

    def monotonic_s(self) -> float:
        return self.ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


@dataclass(kw_only=True)
class Scrubber:
    """A machine that scrubs.

    Attributes:
        desk: What it knows of the vault.
        clock: What it takes for the time.
        is_keeper: It writes the log.
        opens: It holds the recovery key; else it has index keys only.
    """

    desk: Desk
    clock: TurnedClock = field(default_factory=TurnedClock)
    is_keeper: bool = True
    opens: bool = False

    @contextmanager
    def looking(self) -> Iterator[CheckContext]:
        keys = self.desk.keys
        with self.desk.catalog() as catalog:
            yield CheckContext(
                backend=self.desk.backend,
                trust=self.desk.trust,
                catalog=catalog,
                find_keys=keys.domain,
                keys=keys if self.opens else None,
                folder=self.desk.folder,
                clock=self.clock,
                observer=ignore,
            )

    @contextmanager
    def planned(self, limits: ScrubLimits, heal: Heal = heal_nothing) -> Iterator[Scrub]:
        keeper = Keeper(name="keeper", signer=self.desk.vault.keeper) if self.is_keeper else None
        with self.looking() as looking:
            context = ScrubContext(
                looking=looking, keeper=keeper, heal=heal, workers=self.desk.workers
            )
            with planned_scrub(context, limits) as scrub:
                yield scrub

    def plan(self, limits: ScrubLimits = USUAL) -> ScrubPlan:
        with self.planned(limits) as scrub:
            return scrub.plan

    def run(self, limits: ScrubLimits = USUAL, heal: Heal = heal_nothing) -> ScrubReport:
        with self.planned(limits, heal) as scrub:
            return scrub.execute()

    def readings(self) -> dict[str, Reading]:
        with closing(Ledger(self.desk.folder, self.desk.backend.location)) as ledger:
            return {reading.name: reading for reading in ledger.readings()}

    def proofs(self, within_s: int = 86_400) -> dict[SessionId, Health]:
        desk = self.desk
        with (
            closing(Ledger(desk.folder, desk.backend.location)) as ledger,
            gather(desk.backend, desk.trust, desk.keys.domain, desk.snapshots()) as references,
        ):
            return proven(ledger, references, now_ns=self.clock.ns, within_s=within_s)

    def avoided(self) -> dict[str, str]:
        """Return what the log says of packs: the hash of each, and why it is avoided."""
        with self.desk.catalog() as catalog:
            catalog.refresh_log(self.desk.backend, self.desk.trust)
            avoided = catalog.state().avoided
        return {
            sha256.hex(): one.why
            for packs in avoided.values()
            for (_, sha256), one in packs.items()
        }


def scrubber_of(
    scene: Scene, backend: Backend | None = None, *, is_keeper: bool = True, opens: bool = False
) -> Scrubber:
    """Return a scrubber that knows nothing yet."""
    desk = scene.new_desk()
    desk.backend = backend or scene.backend
    Path(desk.folder).mkdir(mode=0o700)
    return Scrubber(desk=desk, is_keeper=is_keeper, opens=opens)


def replace_object(backend: Backend, name: str, contents: bytes | None) -> bytes:
    """Put something else in the place of an object, or nothing; return what was there."""
    before = backend.get(name)
    backend.delete(name)
    if contents is not None:
        backend.put(name, contents)
    return before
