"""What policies hold after a year, by a simulation that needs no vault."""

from __future__ import annotations

import pytest

from tests.unit.policy.keeping import ns
from vaultd.core.errors import ConfigError
from vaultd.core.snapshot import Kind
from vaultd.policy.retention import RetentionPolicy
from vaultd.policy.simulation import Rhythm, simulate

END = ns("2026-11-24T00:00")
HOUR_S, DAY_S = 3600, 86_400


def test_days_weeks_and_months_add_up() -> None:
    policy = RetentionPolicy(keep_daily=7, keep_weekly=5, keep_monthly=12, min_age_s=0)
    fulls = Rhythm(days=400, every_s=DAY_S, full_every_s=DAY_S)

    result = simulate(policy, fulls, END)

    reasons = [reason.split()[0] for verdict in result.held for reason in verdict.reasons]
    assert (7, 5, 12) == tuple(map(reasons.count, ("daily", "weekly", "monthly")))
    assert 400 == result.made == len(result.samples)
    last = result.samples[-1]
    assert (len(result.held), 0, 0) == (last.fulls, last.incrementals, last.chained)
    # The newest of December 2025 is the oldest of twelve months.
    assert (END - ns("2025-12-31T00:00")) // 10**9 == last.oldest_s


def test_a_chain_of_incrementals_costs_more_than_one_of_differentials() -> None:
    policy = RetentionPolicy(keep_monthly=6, min_age_s=0)

    incrementals = simulate(policy, Rhythm(days=200), END).samples[-1]
    differentials = simulate(policy, Rhythm(days=200, between=Kind.DIFFERENTIAL), END).samples[-1]

    assert incrementals.held > differentials.held
    assert 0 == incrementals.differentials == differentials.incrementals
    assert incrementals.chained > differentials.chained > 0


def test_nothing_is_forgotten_before_its_time() -> None:
    policy = RetentionPolicy(keep_last=1)

    samples = simulate(policy, Rhythm(days=30, every_s=12 * HOUR_S), END).samples

    assert [2 * day for day in range(1, 15)] == [sample.held for sample in samples[:14]]
    assert samples[-1].oldest_s <= 21 * DAY_S


def test_nothing_is_held_before_the_first_is_made() -> None:
    samples = simulate(
        RetentionPolicy(keep_last=1), Rhythm(days=3, every_s=2 * DAY_S, full_every_s=2 * DAY_S), END
    ).samples

    assert [(0, 0), (1, 0), (1, DAY_S)] == [(one.held, one.oldest_s) for one in samples]


@pytest.mark.parametrize(
    ("days", "every_s", "full_every_s"),
    [
        (0, DAY_S, DAY_S),
        (10, 60, DAY_S),
        (10, DAY_S, HOUR_S),
        (10_000_000, HOUR_S, DAY_S),
    ],
)
def test_a_rhythm_that_makes_no_sense_is_refused(
    days: int, every_s: int, full_every_s: int
) -> None:
    with pytest.raises(ConfigError):
        Rhythm(days=days, every_s=every_s, full_every_s=full_every_s)
