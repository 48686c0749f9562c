"""What a retention policy would hold after months of backups, without a vault. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from vaultd.core.errors import ConfigError
from vaultd.core.snapshot import Kind, SessionId
from vaultd.policy.retention import RetentionPolicy, Verdict, judge
from vaultd.policy.seats import Candidate

_DAY_S, _HOUR_S = 86_400, 3_600
_MOST = 100_000
"""Snapshots beyond which nobody waits for the end."""


class Rhythm(Struct, frozen=True, kw_only=True):
    """When what is backed up.

    Attributes:
        days: For how long; retention runs once a day.
        every_s: From one snapshot to the next, seconds.
        full_every_s: From one full snapshot to the next, seconds.
        between: What is made between two fulls.

    Raises:
        ConfigError: Something is too short or too long.
    """

    days: int
    every_s: int = _DAY_S
    full_every_s: int = 7 * _DAY_S
    between: Kind = Kind.INCREMENTAL

    def __post_init__(self) -> None:
        if self.days < 1 or self.every_s < _HOUR_S or self.full_every_s < self.every_s:
            raise ConfigError(
                "the rhythm cannot be simulated: expected one day or more, an hour or more between "
                "snapshots, and at least as long between full ones"
            )
        if self.days * _DAY_S // self.every_s > _MOST:
            raise ConfigError(f"that makes more than {_MOST:,} snapshots", hint="Give fewer days.")


class Sample(Struct, frozen=True, kw_only=True):
    """What is held at the end of one day.

    Attributes:
        day: Days since the beginning.
        fulls: Full snapshots.
        differentials: Differential ones.
        incrementals: Incremental ones.
        chained: Those of them that no rule keeps and a kept one needs.
        oldest_s: Age of the oldest, seconds.
    """

    day: int
    fulls: int
    differentials: int
    incrementals: int
    chained: int
    oldest_s: int

    @property
    def held(self) -> int:
        """All snapshots together."""
        return self.fulls + self.differentials + self.incrementals


class Simulation(Struct, frozen=True, kw_only=True):
    """What a policy did.

    Attributes:
        made: Snapshots made.
        samples: One for each day.
        held: What is left in the end and why, oldest first.
        end_ns: The end.
    """

    made: int
    samples: tuple[Sample, ...]
    held: tuple[Verdict, ...]
    end_ns: int


def simulate(policy: RetentionPolicy, rhythm: Rhythm, end_ns: int) -> Simulation:
    """Back up and forget day after day.

    Args:
        policy: What to keep.
        rhythm: When what is backed up.
        end_ns: When the last day ends.
    """
    begin_ns = end_ns - rhythm.days * _DAY_S * 10**9
    coming = _made(rhythm, begin_ns)
    upcoming = next(coming, None)
    kept: list[Verdict] = []
    made, samples = 0, []
    for day in range(1, rhythm.days + 1):
        now_ns = begin_ns + day * _DAY_S * 10**9
        live = [verdict.candidate for verdict in kept]
        while upcoming is not None and upcoming.committed_ns <= now_ns:
            live.append(upcoming)
            made += 1
            upcoming = next(coming, None)
        kept = [verdict for verdict in judge(live, policy, now_ns) if verdict.kept]
        samples.append(_sample(day, kept, now_ns))
    return Simulation(made=made, samples=tuple(samples), held=tuple(kept), end_ns=end_ns)


def _made(rhythm: Rhythm, begin_ns: int) -> Iterator[Candidate]:
    """Yield the snapshots in their order, the first one period after the beginning."""
    full = base = 0
    full_due_s = 0
    for seq in range(1, rhythm.days * _DAY_S // rhythm.every_s + 1):
        at_s = seq * rhythm.every_s
        is_full = at_s >= full_due_s
        if is_full:
            full, full_due_s = seq, at_s + rhythm.full_every_s
        at_ns = begin_ns + at_s * 10**9
        yield Candidate(
            session=SessionId(host="simulated", seq=seq),
            store="simulated",
            kind=Kind.FULL if is_full else rhythm.between,
            chain=full,
            base=0 if is_full else base,
            committed_ns=at_ns,
            started_ns=at_ns,
        )
        base = seq if is_full or rhythm.between is Kind.INCREMENTAL else full


def _sample(day: int, kept: list[Verdict], now_ns: int) -> Sample:
    kinds = [verdict.candidate.kind for verdict in kept]
    # What a chain alone keeps says so in its only reason.
    chained = sum(verdict.reasons[0].endswith(", kept, needs it") for verdict in kept)
    oldest_ns = min((verdict.candidate.committed_ns for verdict in kept), default=now_ns)
    return Sample(
        day=day,
        fulls=kinds.count(Kind.FULL),
        differentials=kinds.count(Kind.DIFFERENTIAL),
        incrementals=kinds.count(Kind.INCREMENTAL),
        chained=chained,
        oldest_s=(now_ns - oldest_ns) // 10**9,
    )
