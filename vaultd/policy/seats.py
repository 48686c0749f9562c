"""Who holds the place of a day, a week, a year: the calendar's part of retention. Pure.

The newest snapshot of a period holds its place, as people expect. Which period a snapshot belongs
to must not be for its host to say alone, because a host that was broken into says what it likes:

- A snapshot belongs to the period in which its capture began, when the storage took it at most
  `DEVIATION_NS` later; the storage's time counts otherwise. So a period that is over can be
  claimed by nobody any more.
- No snapshot lies after the storage's time or after now, whatever its host says. So claiming n
  periods takes as long as n periods last.
- A vault that was copied has the storage's times of the copy. So a snapshot that the storage took
  much later than its host says also has a second seat, in the period that its host names; of those
  the one that the storage took *first* holds the place, and it does so beside the other holder.
- A damaged snapshot holds a place only when no other is there for it, and does not count then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from enum import StrEnum

from msgspec import Struct

from vaultd.core.snapshot import Kind, SessionId
from vaultd.policy.calendar import Period, Unit, local_time, period_name, period_of

DEVIATION_NS = 86_400 * 10**9
"""How much later than its beginning a capture may be committed, to be believed about it."""


class Health(StrEnum):
    """What is known about the bytes that a snapshot needs, best first."""

    GOOD = "good"
    UNKNOWN = "unknown"
    DAMAGED = "damaged"


class Candidate(Struct, frozen=True, kw_only=True):
    """One live snapshot, as far as retention is concerned.

    Attributes:
        session: Which.
        store: Tells the stores of one host apart.
        kind: Its kind.
        chain: Session of its chain's full.
        base: Session that it was compared with; 0 for none.
        committed_ns: When the storage took its outcome, by the storage's clock.
        started_ns: When its host says that the capture began.
        tags: Its tags.
        held_by: Why it stays whatever rules say, such as ``pinned``; empty for nothing.
        health: What is known about its bytes.
    """

    session: SessionId
    store: str
    kind: Kind
    chain: int
    base: int
    committed_ns: int
    started_ns: int
    tags: tuple[str, ...] = ()
    held_by: str = ""
    health: Health = Health.UNKNOWN


class Seated(Struct, frozen=True, kw_only=True):
    """A candidate and where in time it lies.

    Attributes:
        candidate: The candidate.
        at_ns: When it counts as made.
        at: The same, in the zone whose calendar counts.
        claimed: When its host says, where the storage's time is much later; ``None`` otherwise.
    """

    candidate: Candidate
    at_ns: int
    at: datetime
    claimed: datetime | None


class Seat(Struct, frozen=True, kw_only=True):
    """One period and who holds its place.

    Attributes:
        name: The period's, for people.
        holders: One or two candidates, each with a word on why it lies here; may be empty.
        counts: Whether one of them is not known to be damaged.
    """

    name: str
    holders: tuple[tuple[Candidate, str], ...]
    counts: bool


def seated(candidates: Iterable[Candidate], zone: tzinfo, now_ns: int) -> list[Seated]:
    """Say where in time candidates lie.

    Args:
        candidates: Of one store.
        zone: Whose calendar counts.
        now_ns: The time; nothing lies after it.
    """
    found = []
    for one in candidates:
        is_late = one.committed_ns - one.started_ns > DEVIATION_NS
        at_ns = min(one.committed_ns if is_late else one.started_ns, one.committed_ns, now_ns)
        claimed = local_time(min(one.started_ns, now_ns), zone) if is_late else None
        at = local_time(at_ns, zone)
        found.append(Seated(candidate=one, at_ns=at_ns, at=at, claimed=claimed))
    return found


def seats(unit: Unit, guests: Iterable[Seated]) -> Iterator[Seat]:
    """Yield the periods in which something was made, newest first, and who holds each.

    Args:
        unit: How long a period is.
        guests: Candidates of one store, as `seated` returns them.
    """
    newest: dict[Period, Seated] = {}
    earliest: dict[Period, Seated] = {}
    for guest in guests:
        period = period_of(unit, guest.at)
        held = newest.get(period)
        if held is None or _recency(held) < _recency(guest):
            newest[period] = guest
        if guest.claimed is not None:
            period = period_of(unit, guest.claimed)
            held = earliest.get(period)
            if held is None or _arrival(guest) < _arrival(held):
                earliest[period] = guest
    for period in sorted(newest.keys() | earliest.keys(), reverse=True):
        yield _seat(unit, newest.get(period), earliest.get(period))


def first_seats(rows: Iterable[Seat], count: int) -> Iterator[Seat]:
    """Yield seats until ``count`` of them counted."""
    for row in rows:
        if count == 0:
            return
        yield row
        count -= row.counts


def _seat(unit: Unit, newest: Seated | None, earliest: Seated | None) -> Seat:
    name, holders = "", {}
    if earliest is not None and earliest.claimed is not None:
        name = period_name(unit, earliest.claimed)
        holders[earliest.candidate] = " by its host's clock"
    if newest is not None:
        name = period_name(unit, newest.at)
        holders[newest.candidate] = ""
    sound = [pair for pair in holders.items() if pair[0].health is not Health.DAMAGED]
    return Seat(name=name, holders=tuple(sound or holders.items()), counts=bool(sound))


def _recency(guest: Seated) -> tuple[bool, int, int]:
    one = guest.candidate
    return one.health is not Health.DAMAGED, guest.at_ns, one.session.seq


def _arrival(guest: Seated) -> tuple[bool, int, int]:
    one = guest.candidate
    return one.health is Health.DAMAGED, one.committed_ns, one.session.seq
