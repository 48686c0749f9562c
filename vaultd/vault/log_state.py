"""What the log says, taken together: what is dead, pinned, condemned, deleted and to be avoided.

This is a pure fold over entries in their order; who reads them is `vaultd.vault.catalog`.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from vaultd.core.errors import MalformedObjectError
from vaultd.core.snapshot import SessionId
from vaultd.format.log import (
    AvoidBody,
    CheckpointBody,
    CondemnBody,
    Event,
    ForgetBody,
    HeadsBody,
    Listed,
    LogBody,
    PinBody,
    RecallBody,
    ReindexBody,
    RevokeBody,
    SweepBody,
    TagBody,
    names_in,
    seqs_of,
)
from vaultd.format.session import PartRef

HEALED, SPARSE = "healed", "sparse"


class Forgotten(Struct, frozen=True):
    """A snapshot that was forgotten: the entry that says so, and the hash of its root.

    The hash is empty when only a checkpoint says so.
    """

    number: int
    root_sha256: bytes


class Pin(Struct, frozen=True):
    """A snapshot that no rule may forget: the entry that says so, and why."""

    number: int
    reason: str


class Avoided(Struct, frozen=True):
    """A pack to avoid: the entry that says so, and why."""

    number: int
    why: str


class Reindexed(Struct, frozen=True):
    """An index part in place of a lost one: the entry that says so, whose it is, and the part."""

    number: int
    host: str
    part: PartRef


class Mark(Struct, kw_only=True):
    """One condemnation, and how it ended.

    Attributes:
        number: Of the log entry.
        body: What was condemned.
        sweep: What of it is deleted, and all else rescued; ``None``: not decided yet.
        swept_by: Number of the entry that says so.
    """

    number: int
    body: CondemnBody
    sweep: SweepBody | None = None
    swept_by: int = 0

    @property
    def names(self) -> Iterator[Listed]:
        """Everything that it names: condemned, or after its sweep what is deleted."""
        said = self.body if self.sweep is None else self.sweep
        for columns in (said.packs, said.parts, said.roots):
            yield from names_in(columns, what=f"log entry {self.number}")

    @property
    def blocked(self) -> Iterator[Listed]:
        """Packs that nothing new may rely on: condemned and not rescued."""
        columns = self.body.packs if self.sweep is None else self.sweep.packs
        return names_in(columns, what=f"log entry {self.number}")


class LogState:
    """The log folded up to some entry.

    Attributes:
        forgotten: Dead snapshots.
        pinned: Snapshots that no rule may forget.
        marks: Condemnations by number.
        avoided: Of each host, packs to avoid by session and hash.
        revoked: Sessions closed by keepers.
        reindexed: Index parts in place of lost ones, by the SHA-256 of these.
        tags: Changes of tags in order, each with the number of its entry.
        heads: What a keeper saw last.
        checkpoint: Number of the newest checkpoint; 0 for none.
    """

    def __init__(self) -> None:
        self.forgotten: dict[SessionId, Forgotten] = {}
        self.pinned: dict[SessionId, Pin] = {}
        self.marks: dict[int, Mark] = {}
        self.avoided: dict[str, dict[Listed, Avoided]] = {}
        self.revoked: set[SessionId] = set()
        self.reindexed: dict[bytes, Reindexed] = {}
        self.tags: list[tuple[int, TagBody]] = []
        self.heads: HeadsBody | None = None
        self._heads_by = 0
        self.checkpoint = 0

    def apply(self, body: LogBody) -> None:
        """Take in the next entry.

        Raises:
            MalformedObjectError: It cannot follow what was before it.
        """
        event = body.event
        match event:
            case TagBody():
                self.tags.append((body.number, event))
            case HeadsBody():
                self.heads, self._heads_by = event, body.number
            case CheckpointBody():
                self._begin_at(body.number, event)
            case CondemnBody():
                self.marks[body.number] = Mark(number=body.number, body=event)
            case SweepBody():
                self._sweep(body.number, event)
            case AvoidBody():
                self._avoid(body.number, event)
            case _:
                self._of_session(body.number, event)

    def _of_session(self, number: int, event: Event) -> None:
        match event:
            case ForgetBody():
                session = SessionId(host=event.host, seq=event.seq)
                self.forgotten.setdefault(session, Forgotten(number, event.root_sha256))
            case RecallBody():
                self.forgotten.pop(SessionId(host=event.host, seq=event.seq), None)
            case PinBody():
                session = SessionId(host=event.host, seq=event.seq)
                self.pinned.pop(session, None)
                if event.pinned:
                    self.pinned[session] = Pin(number, event.reason)
            case RevokeBody():
                self.revoked.add(SessionId(host=event.host, seq=event.seq))
            case ReindexBody():
                self.reindexed[event.lost] = Reindexed(number, event.host, event.part)

    def _sweep(self, number: int, event: SweepBody) -> None:
        mark = self.marks.get(event.of)
        if mark is None:
            raise MalformedObjectError(
                f"log entry {number}: sweeps {event.of}, which condemns nothing"
            )
        if mark.sweep is None:  # of two keepers the first one counts
            mark.sweep, mark.swept_by = event, number

    def _begin_at(self, number: int, event: CheckpointBody) -> None:
        self.checkpoint = number
        for dead in event.dead:
            for seq in seqs_of(dead, what=f"log entry {number}"):
                session = SessionId(host=dead.host, seq=seq)
                self.forgotten.setdefault(session, Forgotten(number, b""))

    def _avoid(self, number: int, event: AvoidBody) -> None:
        known = self.avoided.setdefault(event.host, {})
        for name in names_in(event.packs, what=f"log entry {number}"):
            known.pop(name, None)
            if event.why != HEALED:
                known[name] = Avoided(number, event.why)

    def blocked(self, host: str) -> set[bytes]:
        """Return the hashes of a host's packs that nothing new may rely on."""
        found = {sha256 for _, sha256 in self.avoided.get(host, ())}
        for mark in self.marks.values():
            if mark.body.host == host:
                found.update(sha256 for _, sha256 in mark.blocked)
        return found

    def stand_ins(self) -> dict[bytes, PartRef]:
        """Return the index parts in place of lost ones, by the SHA-256 of these."""
        return {lost: one.part for lost, one in self.reindexed.items()}

    def standing(self, since: int, finished: set[int]) -> list[int]:
        """Return the numbers of the entries that still count, ascending.

        Args:
            since: Snapshots forgotten by this entry or a later one can be recalled.
            finished: Condemnations of which nothing is left to delete.
        """
        numbers = {pin.number for pin in self.pinned.values()}
        numbers |= {one.number for found in self.avoided.values() for one in found.values()}
        numbers |= {one.number for one in self.reindexed.values()}
        numbers |= {one.number for one in self.forgotten.values() if one.number >= since}
        dead = self.forgotten.keys()
        numbers |= {
            number
            for number, event in self.tags
            if SessionId(host=event.host, seq=event.seq) not in dead
        }
        for mark in self.marks.values():
            if mark.number not in finished:
                numbers |= {mark.number, mark.swept_by}
        return sorted((numbers | {self._heads_by}) - {0, self.checkpoint})
