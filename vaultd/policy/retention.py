"""What is kept and what may be forgotten, with reasons in words. Pure.

Rules are joined by *or*: what one of them keeps is kept. On top of them, whatever the rules say,
stays what is pinned or held otherwise, what is younger than the least age, the newest three good
snapshots of each store, and what a kept incremental or differential snapshot was built on.

What holds when somebody adds snapshots (FORMAT.md and docs/security.md tell who could). Let the
attack begin at T by the storage's clock, so that all that is added was committed at T or later,
with whatever host times, sessions, kinds, bases, tags and contents. A snapshot committed before T

1. is kept while it is younger than ``min_age_s``, has a kept tag or is held;
2. is kept by ``keep_within`` for that span;
3. that held the place of a period which was over `seats.DEVIATION_NS` before T, and is not known to
   be damaged, holds it as long as fewer than n of these periods have gone by (``keep_daily`` n and
   its like), or for the span (``keep_within_daily`` and its like).

So good snapshots go no faster than on a host that works and backs up in every period. What can be
lost is the place of periods still running at T, once ``min_age_s`` is over, and whatever
``keep_last`` alone kept: it counts snapshots, and snapshots are made quickly. `tests/property`
shows all three for generated attacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from vaultd.core.clock import utc
from vaultd.core.errors import ConfigError
from vaultd.core.snapshot import Kind, SessionId
from vaultd.policy.calendar import Span, Unit, age_words, local_time, zone_named
from vaultd.policy.seats import Candidate, Health, Seated, first_seats, seated, seats

MIN_AGE_S = 14 * 86_400
"""How old a snapshot must be to be forgotten by a rule, unless somebody says otherwise."""

_ALWAYS = 3
"""Good snapshots of a store that no rule takes away."""

_NOT_KEPT = "no rule keeps it"


class RetentionPolicy(Struct, frozen=True, kw_only=True):
    """What to keep of each store.

    Attributes:
        keep_last: The newest so many snapshots; 0 for none, here and below.
        keep_hourly: The newest snapshot of each of the last so many hours that have one.
        keep_daily: The same for days.
        keep_weekly: For ISO weeks, Monday to Sunday.
        keep_monthly: For months.
        keep_yearly: For years.
        keep_within: All made within this span before the newest.
        keep_within_hourly: The newest of each hour, within this span before the newest.
        keep_within_daily: The same for days.
        keep_within_weekly: For weeks.
        keep_within_monthly: For months.
        keep_within_yearly: For years.
        keep_tags: All that have one of these tags.
        min_age_s: Nothing younger than this is forgotten, in seconds.
        timezone: Whose days and weeks: a name such as ``Europe/Berlin``.

    Raises:
        ConfigError: It would keep nothing, a number is negative, or the zone is not known.
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: Span = Span()
    keep_within_hourly: Span = Span()
    keep_within_daily: Span = Span()
    keep_within_weekly: Span = Span()
    keep_within_monthly: Span = Span()
    keep_within_yearly: Span = Span()
    keep_tags: tuple[str, ...] = ()
    min_age_s: int = MIN_AGE_S
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        zone_named(self.timezone)
        numbers = {f"keep-{unit}": count for unit, count in self.counts()}
        for name, count in {
            "keep-last": self.keep_last,
            **numbers,
            "min-age": self.min_age_s,
        }.items():
            if count < 0:
                raise ConfigError(f"{name} of {count}, expected 0 or more")
        if not any((self.keep_last, self.keep_tags, self._counts_time())):
            raise ConfigError(
                "the retention policy keeps nothing, so everything would be forgotten",
                hint="Say what to keep, such as --keep-daily 7 --keep-weekly 5 --keep-monthly 12.",
            )

    def counts(self) -> tuple[tuple[Unit, int], ...]:
        """Return how many periods of each length are kept."""
        numbers = (
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        )
        return tuple(zip(Unit, numbers, strict=True))

    def spans(self) -> tuple[tuple[Unit, Span], ...]:
        """Return for how long the newest of each period is kept."""
        spans = (
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_yearly,
        )
        return tuple(zip(Unit, spans, strict=True))

    def _counts_time(self) -> bool:
        periods = [*self.counts(), *self.spans()]
        return bool(self.keep_within) or any(amount for _, amount in periods)

    def words(self) -> str:
        """Return the rules in one line: ``keep-last 3, keep-daily 7, min-age 14 days``."""
        rules: list[tuple[str, object]] = [("last", self.keep_last), *self.counts()]
        rules.append(("within", self.keep_within))
        rules += [(f"within-{unit}", span) for unit, span in self.spans()]
        rules += [("tag", tag) for tag in self.keep_tags]
        parts = [f"keep-{name} {amount}" for name, amount in rules if amount]
        return ", ".join([*parts, f"min-age {age_words(self.min_age_s)}"])

    def warnings(self) -> list[str]:
        """Return what a person should know before relying on this policy, one clause each."""
        if self.keep_last and not self._counts_time():
            warning = (
                "keep-last counts snapshots, not days: whoever can add snapshots drives good ones "
                f"out as soon as they are {age_words(self.min_age_s)} old; "
                "add keep-daily, keep-weekly or keep-within"
            )
            return [warning]
        return []


class Verdict(Struct, frozen=True, kw_only=True):
    """What becomes of one snapshot.

    Attributes:
        candidate: The snapshot.
        kept: Whether it stays.
        reasons: Why, one clause each; never empty.
    """

    candidate: Candidate
    kept: bool
    reasons: tuple[str, ...]


Reason = tuple[Candidate, str]


class _Store(Struct, frozen=True, kw_only=True):
    """All that rules look at, for one store of one host.

    Attributes:
        policy: The rules.
        members: Newest session first: sessions are numbered, and times may be wrong.
        guests: The same, with their places in the calendar.
        now_ns: The time.
        newest_ns: When the newest was committed, or now if that is earlier.
    """

    policy: RetentionPolicy
    members: list[Candidate]
    guests: list[Seated]
    now_ns: int
    newest_ns: int


def judge(candidates: Sequence[Candidate], policy: RetentionPolicy, now_ns: int) -> list[Verdict]:
    """Say of each snapshot whether it is kept, and why.

    Args:
        candidates: All live snapshots of one or more stores, in any order.
        policy: What to keep of each store of each host.
        now_ns: The time.

    Returns:
        One verdict for each candidate, in their order.
    """
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for one in candidates:
        groups.setdefault((one.session.host, one.store), []).append(one)
    reasons: dict[SessionId, list[str]] = {}
    for members in groups.values():
        for one, reason in _kept(_store(members, policy, now_ns)):
            reasons.setdefault(one.session, []).append(reason)
    return [
        Verdict(
            candidate=one,
            kept=one.session in reasons,
            reasons=tuple(reasons.get(one.session, [_NOT_KEPT])),
        )
        for one in candidates
    ]


def _store(members: Iterable[Candidate], policy: RetentionPolicy, now_ns: int) -> _Store:
    newest_first = sorted(members, key=lambda one: one.session.seq, reverse=True)
    return _Store(
        policy=policy,
        members=newest_first,
        guests=seated(newest_first, zone_named(policy.timezone), now_ns),
        now_ns=now_ns,
        newest_ns=min(now_ns, max(one.committed_ns for one in newest_first)),
    )


def _kept(store: _Store) -> list[Reason]:
    found = [reason for rule in _RULES for reason in rule(store)]
    return found + list(_needed(store, [one for one, _ in found]))


def _held(store: _Store) -> Iterator[Reason]:
    return ((one, one.held_by) for one in store.members if one.held_by)


def _last(store: _Store) -> Iterator[Reason]:
    count = store.policy.keep_last
    sound = [one for one in store.members if one.health is not Health.DAMAGED]
    for place, one in enumerate(sound[:count], 1):
        yield one, f"{_ordinal(place)} of the last {count}"


def _periods(store: _Store) -> Iterator[Reason]:
    for unit, count in store.policy.counts():
        if not count:
            continue
        for seat in first_seats(seats(unit, store.guests), count):
            for one, how in seat.holders:
                yield one, f"{unit} of {seat.name}{how}"


def _within(store: _Store) -> Iterator[Reason]:
    span = store.policy.keep_within
    if span:
        for guest in _since(store, span):
            yield guest.candidate, f"within {span} of the newest"


def _periods_within(store: _Store) -> Iterator[Reason]:
    for unit, span in store.policy.spans():
        if not span:
            continue
        for seat in seats(unit, _since(store, span)):
            for one, how in seat.holders:
                yield one, f"{unit} of {seat.name}{how}, within {span}"


def _since(store: _Store, span: Span) -> list[Seated]:
    """Return what the storage took within a span before the newest.

    The newest is never later than now, so nobody shortens a span by adding something; and where
    nothing is made any more, nothing goes.
    """
    zone = zone_named(store.policy.timezone)
    cutoff = span.before(local_time(store.newest_ns, zone))
    return [guest for guest in store.guests if utc(guest.candidate.committed_ns) >= cutoff]


def _tagged(store: _Store) -> Iterator[Reason]:
    for one in store.members:
        for tag in sorted(set(one.tags) & set(store.policy.keep_tags)):
            yield one, f"tagged {tag}"


def _young(store: _Store) -> Iterator[Reason]:
    least_s = store.policy.min_age_s
    for one in store.members:
        if least_s and store.now_ns - one.committed_ns < least_s * 10**9:
            yield one, f"younger than {age_words(least_s)}"


def _newest_good(store: _Store) -> Iterator[Reason]:
    order = list(Health)
    best = sorted(store.members, key=lambda one: order.index(one.health))
    words = {
        Health.GOOD: f"one of the newest {_ALWAYS} proven good",
        Health.UNKNOWN: f"one of the newest {_ALWAYS} not known to be damaged",
        Health.DAMAGED: f"damaged, but fewer than {_ALWAYS} are not",
    }
    return ((one, words[one.health]) for one in best[:_ALWAYS])


_RULES: tuple[Callable[[_Store], Iterator[Reason]], ...] = (
    _held,
    _last,
    _periods,
    _within,
    _periods_within,
    _tagged,
    _newest_good,
    _young,
)


def _needed(store: _Store, kept: Iterable[Candidate]) -> Iterator[Reason]:
    """Yield what kept snapshots were built on, and is not kept anyway."""
    by_seq = {one.session.seq: one for one in store.members}
    done = {one.session.seq for one in kept}
    waiting = [by_seq[seq] for seq in sorted(done)]
    while waiting:
        one = waiting.pop()
        # Without its base, which somebody forgot by name, there is still the chain's full.
        below = by_seq.get(one.base) or by_seq.get(one.chain)
        if one.kind is Kind.FULL or below is None or below.session.seq in done:
            continue
        done.add(below.session.seq)
        waiting.append(below)
        yield below, f"{one.kind} {one.session.seq}, kept, needs it"


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}  # codespell:ignore nd
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else endings.get(number % 10, 'th')}"
