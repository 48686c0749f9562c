"""Whose word counts about when a snapshot was made, and who holds a place that two want."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.policy.keeping import DAMAGED, GOOD, fate, made, spread
from vaultd.policy.retention import RetentionPolicy
from vaultd.policy.seats import Candidate

NOW = "2026-11-24T12:00"
OLD_GOOD = [made(seq, "2020-01-01T00:00", health=GOOD) for seq in (-3, -2, -1)]

RULES = RetentionPolicy(keep_monthly=9, min_age_s=0)


def kept(candidates: list[Candidate], **rules: Any) -> dict[int, str]:
    """Return the first reason for each snapshot that is kept."""
    policy = RetentionPolicy(min_age_s=0, **rules)
    found = fate([*candidates, *OLD_GOOD], policy, NOW)
    return {seq: reasons[0] for seq, reasons in found.items() if seq > 0}


@pytest.mark.parametrize(
    ("committed", "started", "day"),
    [
        # A run over midnight belongs to the day on which it began.
        ("2026-11-23T04:00", "2026-11-22T23:00", "2026-11-22"),
        ("2026-11-23T23:00", "2026-11-22T23:00", "2026-11-22"),
        # What lies in the future of the storage does not.
        ("2026-11-22T23:00", "2026-11-23T01:00", "2026-11-22"),
        ("2026-11-22T23:00", "2036-01-01T00:00", "2026-11-22"),
    ],
)
def test_a_snapshot_belongs_to_the_day_on_which_it_began(
    committed: str, started: str, day: str
) -> None:
    assert {1: f"daily of {day}"} == kept([made(1, committed, started=started)], keep_daily=1)


def test_nothing_lies_after_now() -> None:
    # This machine's clock is behind the storage's.
    ahead = spread("2026-11-26T03:00", "2026-11-25T03:00", "2026-11-23T03:00")

    assert {2: "daily of 2026-11-24", 3: "daily of 2026-11-23"} == kept(ahead, keep_daily=2)


GOOD_ONES = spread(*(f"2026-11-{day}T03:00" for day in range(10, 20)))
FLOODS = {
    "times in the future": [
        made(seq, "2026-11-20T04:00", started=f"20{seq}-01-01T00:00") for seq in range(30, 60)
    ],
    "times in the past": [
        made(seq, "2026-11-20T04:00", started=f"2026-11-{seq - 20}T23:59") for seq in range(30, 40)
    ],
    "times of its own": [
        made(seq, "2026-11-20T04:00", started=f"2026-11-20T{seq - 30:02d}:00")
        for seq in range(30, 35)
    ],
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_many_snapshots_at_once_take_the_day_s_place_and_that_of_a_day_before(
    flood: list[Candidate],
) -> None:
    found = kept([*GOOD_ONES, *flood], keep_daily=7)

    # The last good one was made less than a day before: a slow run may have begun after it.
    assert {5, 6, 7, 8, 9} == {seq for seq in found if seq < 30} - {10}


def test_a_vault_that_was_copied_keeps_its_calendar() -> None:
    # The storage took all of them on one day, in any order.
    copied = [
        made(seq, f"2026-11-20T04:{59 - seq:02d}", started=f"2026-{month:02d}-{day:02d}T03:00")
        for seq, (month, day) in enumerate(
            [(8, 30), (8, 31), (9, 30), (10, 30), (10, 31), (11, 1)], 1
        )
    ]
    new = [made(8, "2026-11-23T03:00")]

    found = kept([*copied, *new], keep_monthly=3)

    assert {
        3: "monthly of 2026-09 by its host's clock",
        5: "monthly of 2026-10 by its host's clock",
        6: "monthly of 2026-11 by its host's clock",
        8: "monthly of 2026-11",
    } == found


def test_what_comes_later_does_not_take_a_place_by_its_host_s_clock() -> None:
    copied = [made(1, "2026-11-20T04:00", started="2026-09-30T03:00")]
    forged = [made(2, "2026-11-21T04:00", started="2026-09-30T23:00")]

    found = kept([*copied, *forged], keep_monthly=3)

    assert {1: "monthly of 2026-09 by its host's clock", 2: "monthly of 2026-11"} == found


def test_a_host_without_a_clock_is_placed_by_the_storage() -> None:
    blind = [
        made(seq, f"2026-11-{day}T03:00", started="1970-01-01T00:01")
        for seq, day in enumerate((20, 21, 22, 23), 1)
    ]

    found = kept(blind, keep_daily=3)

    assert {2: "daily of 2026-11-21", 3: "daily of 2026-11-22", 4: "daily of 2026-11-23"} == found


def test_one_that_is_both_holds_one_place() -> None:
    late = [made(1, "2026-11-20T04:00", started="2026-11-10T03:00")]

    assert {1: "monthly of 2026-11"} == kept(late, keep_monthly=2)


def test_a_damaged_one_gives_way_to_another_of_its_day() -> None:
    day = spread("2026-11-23T03:00", "2026-11-23T15:00")
    states = [day[0], replace(day[1], health=DAMAGED)]

    assert {1: "daily of 2026-11-23"} == kept(states, keep_daily=1)


def test_a_damaged_one_alone_in_its_day_stays_and_does_not_count() -> None:
    days = spread("2026-11-20T03:00", "2026-11-21T03:00", "2026-11-22T03:00", "2026-11-23T03:00")
    states = [*days[:2], *(replace(one, health=DAMAGED) for one in days[2:])]

    assert {
        2: "daily of 2026-11-21",
        3: "daily of 2026-11-22",
        4: "daily of 2026-11-23",
    } == kept(states, keep_daily=1)


def test_a_damaged_one_gives_way_to_one_by_its_host_s_clock() -> None:
    damaged = made(1, "2026-09-30T03:00", health=DAMAGED)
    copied = made(2, "2026-11-20T04:00", started="2026-09-29T03:00")
    worse = made(3, "2026-11-20T03:00", started="2026-09-28T03:00", health=DAMAGED)

    reasons = fate([damaged, copied, worse, *OLD_GOOD], RULES, NOW)

    assert ("monthly of 2026-11", "monthly of 2026-09 by its host's clock") == reasons[2]
    assert {2} == {seq for seq in reasons if seq > 0}
