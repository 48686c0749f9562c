"""Whoever adds snapshots cannot make good ones go faster than the policy's own time.

The three promises of `vaultd.policy.retention`, for generated stores, policies and attacks.
Retention runs several times while the attack goes on.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from vaultd.core.clock import utc
from vaultd.core.snapshot import Kind, SessionId
from vaultd.policy.calendar import Span, Unit, local_time, period_of, zone_named
from vaultd.policy.retention import RetentionPolicy, judge
from vaultd.policy.seats import DEVIATION_NS, Candidate, Health, seated, seats

HOUR_NS, DAY_NS = 3600 * 10**9, 86_400 * 10**9
T_NS = 1_795_000_000 * 10**9  # a day in November 2026
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")

hours = st.integers(0, 400 * 24)
counts = st.integers(0, 5)
spans = st.builds(Span, months=st.integers(0, 3), days=st.integers(0, 20))


class Siege(Struct, frozen=True):
    """A store, what an attacker adds to it, and when retention runs."""

    good: list[Candidate]
    added: list[Candidate]
    runs_ns: list[int]


@st.composite
def candidates(
    draw: st.DrawFn, seqs: list[int], committed: st.SearchStrategy[int]
) -> list[Candidate]:
    return [
        Candidate(
            session=SessionId(host="web1", seq=seq),
            store="crm",
            kind=draw(st.sampled_from(Kind)),
            chain=draw(st.sampled_from(seqs)),
            base=draw(st.sampled_from([0, *seqs])),
            committed_ns=draw(committed),
            started_ns=T_NS + draw(st.integers(-400 * 24, 100 * 24)) * HOUR_NS,
            tags=draw(st.sampled_from([(), ("kept",), ("other",)])),
            health=draw(st.sampled_from(Health)),
        )
        for seq in seqs
    ]


def timely(one: Candidate, hours_before: int) -> Candidate:
    """Return a snapshot of a host whose clock is right."""
    return replace(one, started_ns=one.committed_ns - hours_before * HOUR_NS)


@st.composite
def sieges(draw: st.DrawFn) -> Siege:
    seqs = draw(st.lists(st.integers(1, 60), min_size=2, max_size=24, unique=True))
    cut = draw(st.integers(1, len(seqs)))
    before = hours.map(lambda hour: T_NS - HOUR_NS - hour * HOUR_NS)
    good = draw(candidates(seqs[:cut], before))
    # Most clocks are right, and copied vaults have all their times at once.
    how = draw(st.sampled_from(["right", "copied", "any"]))
    if how == "right":
        good = [timely(one, draw(st.integers(0, 20))) for one in good]
    if how == "copied":
        good = [replace(one, committed_ns=T_NS - HOUR_NS + one.session.seq) for one in good]
    after = st.integers(0, 60 * 24).map(lambda hour: T_NS + hour * HOUR_NS)
    added = draw(candidates(seqs[cut:], after))
    runs = draw(st.lists(after, min_size=1, max_size=5))
    return Siege(good, added, sorted(runs))


@st.composite
def policies(draw: st.DrawFn) -> RetentionPolicy:
    rules: dict[str, Any] = {f"keep_{unit}": draw(counts) for unit in Unit}
    rules |= {f"keep_within_{unit}": draw(spans) for unit in Unit}
    return RetentionPolicy(
        keep_last=draw(st.integers(1, 3)),
        keep_within=draw(spans),
        keep_tags=("kept",),
        min_age_s=draw(st.integers(0, 20)) * 86_400,
        timezone=draw(st.sampled_from(ZONES)),
        **rules,
    )


def left_after(siege: Siege, policy: RetentionPolicy) -> set[SessionId]:
    """Return what is left when retention has run again and again."""
    live = siege.good
    seen: set[SessionId] = set()
    for now_ns in siege.runs_ns:
        there = [one for one in siege.added if one.committed_ns <= now_ns]
        live = [*live, *(one for one in there if one.session not in seen)]
        seen |= {one.session for one in there}
        live = [verdict.candidate for verdict in judge(live, policy, now_ns) if verdict.kept]
    return {one.session for one in live}


@given(sieges(), policies())
def test_the_young_and_the_tagged_stay(siege: Siege, policy: RetentionPolicy) -> None:
    now_ns = siege.runs_ns[-1]
    promised = {
        one.session
        for one in siege.good
        if now_ns - one.committed_ns < policy.min_age_s * 10**9 or "kept" in one.tags
    }

    assert set() == promised - left_after(siege, policy)


@given(sieges(), policies())
def test_what_lies_within_the_span_stays(siege: Siege, policy: RetentionPolicy) -> None:
    assume(policy.keep_within)
    end = local_time(siege.runs_ns[-1], zone_named(policy.timezone))
    cutoff = policy.keep_within.before(end)
    promised = {one.session for one in siege.good if utc(one.committed_ns) >= cutoff}

    assert set() == promised - left_after(siege, policy)


@given(sieges(), policies(), st.sampled_from(Unit))
def test_the_holder_of_a_period_that_was_over_stays_for_its_time(
    siege: Siege, policy: RetentionPolicy, unit: Unit
) -> None:
    zone = zone_named(policy.timezone)
    end = local_time(siege.runs_ns[-1], zone)
    count, span = dict(policy.counts())[unit], dict(policy.spans())[unit]
    cutoff = span.before(end)
    left = left_after(siege, policy)
    for one, moment in holders_before(siege.good, policy, unit):
        by_count = elapsed(unit, moment, end) < count
        by_span = bool(span) and utc(one.committed_ns) >= cutoff
        if by_count or by_span:
            assert one.session in left


LONG_H = {Unit.HOUR: 1, Unit.DAY: 24, Unit.WEEK: 168, Unit.MONTH: 731, Unit.YEAR: 8767}


@st.composite
def aimed(draw: st.DrawFn, unit: Unit) -> Siege:
    """Draw a store with about one snapshot a period, and an attack on exactly these periods."""
    plain: dict[str, Any] = {"store": "crm", "kind": Kind.FULL, "chain": 0, "base": 0}
    step_ns = LONG_H[unit] * HOUR_NS
    first_ns = T_NS - draw(st.sampled_from([1, 23, 25, 49, 800])) * HOUR_NS
    copied = draw(st.booleans())
    good = [
        Candidate(
            session=SessionId(host="web1", seq=100 - back),
            committed_ns=T_NS - HOUR_NS - back if copied else first_ns - back * step_ns,
            started_ns=first_ns - back * step_ns,
            **plain,
        )
        for back in range(draw(st.integers(2, 8)))
    ]
    victims = st.sampled_from(good).map(lambda one: one.started_ns)
    claims = st.one_of(
        st.builds(int.__add__, victims, st.integers(-1, 3).map(lambda count: count * HOUR_NS // 4)),
        st.integers(-8, 8).map(lambda count: T_NS + count * step_ns),
    )
    added = [
        Candidate(
            session=SessionId(host="web1", seq=seq),
            committed_ns=T_NS + draw(st.integers(0, 30)) * HOUR_NS,
            started_ns=draw(claims),
            **plain,
        )
        for seq in range(200, 200 + draw(st.integers(3, 12)))
    ]
    runs = st.lists(st.integers(0, 3 * LONG_H[unit]), min_size=1, max_size=3)
    return Siege(good, added, sorted(T_NS + hour * HOUR_NS for hour in draw(runs)))


@given(st.data(), st.sampled_from(Unit), st.integers(1, 5), st.sampled_from(ZONES))
def test_an_attack_on_the_places_themselves_takes_none_that_was_over(
    data: st.DataObject, unit: Unit, count: int, zone_name: str
) -> None:
    zone = zone_named(zone_name)
    siege = data.draw(aimed(unit))
    span = Span(hours=count * LONG_H[unit])
    by_count = policy_of(f"keep_{unit}", count, zone_name)
    by_span = policy_of(f"keep_within_{unit}", span, zone_name)
    end = local_time(siege.runs_ns[-1], zone)
    left_by_count, left_by_span = left_after(siege, by_count), left_after(siege, by_span)
    for one, moment in holders_before(siege.good, by_count, unit):
        assert elapsed(unit, moment, end) >= count or one.session in left_by_count
        assert utc(one.committed_ns) < span.before(end) or one.session in left_by_span


def policy_of(rule: str, amount: object, zone_name: str) -> RetentionPolicy:
    rules: dict[str, Any] = {rule: amount, "min_age_s": 0, "timezone": zone_name}
    return RetentionPolicy(**rules)


def holders_before(
    good: list[Candidate], policy: RetentionPolicy, unit: Unit
) -> list[tuple[Candidate, datetime]]:
    """Return who held places that nobody can take any more, and when they were made."""
    zone = zone_named(policy.timezone)
    over = period_of(unit, local_time(T_NS - DEVIATION_NS, zone))
    guests = {guest.candidate: guest for guest in seated(good, zone, T_NS)}
    found = []
    for seat in seats(unit, guests.values()):
        for one, how in seat.holders:
            moment = guests[one].claimed if how else guests[one].at
            assert moment is not None
            if one.health is not Health.DAMAGED and (how or period_of(unit, moment) < over):
                found.append((one, moment))
    return found


def elapsed(unit: Unit, begin: datetime, end: datetime) -> int:
    """Return how many periods after that of ``begin`` there are up to that of ``end``."""
    if unit is Unit.HOUR:
        return (period_of(unit, end)[0] - period_of(unit, begin)[0]) // 3600
    return number(unit, end.date()) - number(unit, begin.date())


def number(unit: Unit, day: date) -> int:
    if unit is Unit.DAY:
        return day.toordinal()
    if unit is Unit.WEEK:
        return (day - timedelta(days=day.weekday())).toordinal() // 7
    return day.year * 12 + day.month if unit is Unit.MONTH else day.year


@given(sieges(), policies())
def test_a_store_never_loses_its_newest_three_good_ones(
    siege: Siege, policy: RetentionPolicy
) -> None:
    quiet = replace(siege, added=[])
    proven = [one for one in siege.good if one.health is Health.GOOD]
    newest = sorted(proven, key=lambda one: one.session.seq)[-3:]

    assert {one.session for one in newest} <= left_after(quiet, policy)


@given(sieges(), policies())
def test_nothing_is_kept_without_what_it_was_built_on(
    siege: Siege, policy: RetentionPolicy
) -> None:
    everything = [*siege.good, *siege.added]
    there = {one.session.seq for one in everything}

    verdicts = judge(everything, policy, siege.runs_ns[-1])

    kept = {verdict.candidate.session.seq for verdict in verdicts if verdict.kept}
    for verdict in verdicts:
        one = verdict.candidate
        assert verdict.reasons
        if verdict.kept and one.kind is not Kind.FULL and one.base in there:
            assert one.base in kept
