"""What is kept, what is forgotten, and the reasons given: golden tables."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.policy.keeping import DAMAGED, GOOD, fate, made, ns, spread
from vaultd.core.errors import ConfigError
from vaultd.core.snapshot import SessionId
from vaultd.policy.calendar import Span
from vaultd.policy.retention import RetentionPolicy, judge
from vaultd.policy.seats import Candidate

NOW = "2026-11-24T12:00"
LONG_AGO = ("2020-01-01T00:00", "2020-01-02T00:00", "2020-01-03T00:00")
THREE = [made(seq, text, health=GOOD) for seq, text in enumerate(LONG_AGO, -3)]
"""The newest three good ones, of long ago, so that the rule for them is out of the way."""


def policy(**rules: Any) -> RetentionPolicy:
    return RetentionPolicy(**{"min_age_s": 0, **rules})


def kept(candidates: list[Candidate], **rules: Any) -> dict[int, str]:
    """Return the first reason for each snapshot that is kept, without the three of long ago."""
    found = fate([*candidates, *THREE], policy(**rules), NOW)
    return {seq: reasons[0] for seq, reasons in found.items() if seq > 0}


HOURS = spread(*(f"2026-11-23T{hour:02d}:{minute}" for hour in (9, 10, 11) for minute in (10, 50)))
DAYS = spread(
    *(f"2026-{day}T{hour:02d}:00" for day in ("11-20", "11-22", "11-23") for hour in (1, 13))
)
WEEKS = spread(*(f"2026-{day}T03:00" for day in ("11-01", "11-02", "11-08", "11-09", "11-22")))
MONTHS = spread(*(f"2026-{day}T03:00" for day in ("01-31", "02-01", "02-28", "03-31", "10-01")))
YEARS = spread("2023-06-01T03:00", "2024-02-29T03:00", "2024-12-31T03:00", "2026-01-01T03:00")

GOLDEN = [
    (
        HOURS,
        {"keep_hourly": 2},
        {4: "hourly of 2026-11-23 10:00 UTC", 6: "hourly of 2026-11-23 11:00 UTC"},
    ),
    (DAYS, {"keep_daily": 2}, {4: "daily of 2026-11-22", 6: "daily of 2026-11-23"}),
    (
        DAYS,
        {"keep_daily": 3},
        {2: "daily of 2026-11-20", 4: "daily of 2026-11-22", 6: "daily of 2026-11-23"},
    ),
    (
        WEEKS,
        {"keep_weekly": 3},
        {3: "weekly of 2026-W45", 4: "weekly of 2026-W46", 5: "weekly of 2026-W47"},
    ),
    (
        WEEKS,
        {"keep_weekly": 9},
        {
            1: "weekly of 2026-W44",
            3: "weekly of 2026-W45",
            4: "weekly of 2026-W46",
            5: "weekly of 2026-W47",
        },
    ),
    (
        MONTHS,
        {"keep_monthly": 3},
        {3: "monthly of 2026-02", 4: "monthly of 2026-03", 5: "monthly of 2026-10"},
    ),
    (YEARS, {"keep_yearly": 2}, {3: "yearly of 2024", 4: "yearly of 2026"}),
    (YEARS, {"keep_yearly": 5}, {1: "yearly of 2023", 3: "yearly of 2024", 4: "yearly of 2026"}),
    (
        DAYS,
        {"keep_within": Span(days=1)},
        {4: "within 1d of the newest", 5: "within 1d of the newest", 6: "within 1d of the newest"},
    ),
    (
        DAYS,
        {"keep_within": Span(hours=12)},
        {5: "within 12h of the newest", 6: "within 12h of the newest"},
    ),
    (
        DAYS,
        {"keep_within_daily": Span(days=2)},
        {4: "daily of 2026-11-22, within 2d", 6: "daily of 2026-11-23, within 2d"},
    ),
    (
        HOURS,
        {"keep_within_hourly": Span(hours=1)},
        {
            4: "hourly of 2026-11-23 10:00 UTC, within 1h",
            6: "hourly of 2026-11-23 11:00 UTC, within 1h",
        },
    ),
    (
        WEEKS,
        {"keep_within_weekly": Span(days=14)},
        {
            3: "weekly of 2026-W45, within 14d",
            4: "weekly of 2026-W46, within 14d",
            5: "weekly of 2026-W47, within 14d",
        },
    ),
    (
        MONTHS,
        {"keep_within_monthly": Span(months=7)},
        {4: "monthly of 2026-03, within 7m", 5: "monthly of 2026-10, within 7m"},
    ),
    (
        YEARS,
        {"keep_within_yearly": Span(years=2)},
        {3: "yearly of 2024, within 2y", 4: "yearly of 2026, within 2y"},
    ),
]


@pytest.mark.parametrize(("candidates", "rules", "expected"), GOLDEN)
def test_each_rule_keeps_what_it_says(
    candidates: list[Candidate], rules: dict[str, object], expected: dict[int, str]
) -> None:
    assert expected == kept(candidates, **rules)


def test_the_last_are_counted_from_the_newest() -> None:
    reasons = fate(DAYS, policy(keep_last=2), NOW)

    assert "1st of the last 2" == reasons[6][0]
    assert "2nd of the last 2" == reasons[5][0]
    assert {4, 5, 6} == set(reasons)


@pytest.mark.parametrize(
    ("place", "words"), [(3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st")]
)
def test_places_are_told_as_people_say_them(place: int, words: str) -> None:
    many = [made(seq, f"2026-11-{seq:02d}T03:00") for seq in range(1, 25)]

    reasons = fate(many, policy(keep_last=24), NOW)

    assert f"{words} of the last 24" in reasons[25 - place]


def test_rules_are_joined_and_every_reason_is_given() -> None:
    reasons = fate([*DAYS, *THREE], policy(keep_daily=1, keep_monthly=1, keep_last=2), NOW)

    assert ("1st of the last 2", "daily of 2026-11-23", "monthly of 2026-11") == reasons[6]
    assert {-3, -2, -1, 5, 6} == set(reasons)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", {2: "daily of 2026-10-24", 3: "daily of 2026-10-25"}),
        ("Europe/Berlin", {1: "daily of 2026-10-24", 3: "daily of 2026-10-25"}),
    ],
)
def test_days_begin_in_the_zone_of_the_store(zone: str, expected: dict[int, str]) -> None:
    # 22:30 UTC is half past midnight in Berlin, on the last day of summer time.
    late = spread("2026-10-24T21:00", "2026-10-24T22:30", "2026-10-25T22:00")

    assert expected == kept(late, keep_daily=2, timezone=zone)


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    twice = spread("2026-10-25T00:30", "2026-10-25T01:30")

    assert {
        1: "hourly of 2026-10-25 02:00 CEST",
        2: "hourly of 2026-10-25 02:00 CET",
    } == kept(twice, keep_hourly=9, timezone="Europe/Berlin")
    # Their clocks show the same; the second is the newer.
    assert {2} == set(kept(twice, keep_daily=1, timezone="Europe/Berlin"))


def test_a_tag_keeps() -> None:
    tagged = [made(1, "2021-01-01T00:00", tags=("audit", "b")), made(2, "2021-01-02T00:00")]

    assert {1: "tagged audit"} == kept(tagged, keep_tags=("audit",))


def test_a_pin_keeps() -> None:
    pinned = [made(1, "2021-01-01T00:00", held_by="pinned"), made(2, "2021-01-02T00:00")]

    assert {1: "pinned", 2: "1st of the last 1"} == {
        seq: reasons[0] for seq, reasons in fate([*pinned], policy(keep_last=1), NOW).items()
    }


@pytest.mark.parametrize(
    ("committed", "is_kept"), [("2026-11-10T12:00", False), ("2026-11-10T12:01", True)]
)
def test_nothing_young_is_forgotten_by_the_storage_s_clock(
    committed: str, *, is_kept: bool
) -> None:
    # The host says that it was long ago.
    young = [made(1, committed, started="2001-01-01T00:00")]

    found = kept(young, keep_tags=("none",), min_age_s=14 * 86_400)

    assert ({1: "younger than 14 days"} if is_kept else {}) == found


def test_the_newest_three_proven_good_stay() -> None:
    states = [GOOD, GOOD, GOOD, GOOD, DAMAGED, DAMAGED]
    checked = [replace(one, health=state) for one, state in zip(DAYS, states, strict=True)]

    reasons = fate(checked, policy(keep_tags=("none",)), NOW)

    assert dict.fromkeys((2, 3, 4), ("one of the newest 3 proven good",)) == reasons


def test_others_stand_in_where_fewer_are_proven() -> None:
    states = [DAMAGED, GOOD, DAMAGED]
    checked = [replace(one, health=state) for one, state in zip(DAYS[:3], states, strict=True)]

    assert {
        1: ("damaged, but fewer than 3 are not",),
        2: ("one of the newest 3 proven good",),
        3: ("damaged, but fewer than 3 are not",),
    } == fate(checked, policy(keep_tags=("none",)), NOW)
    assert ("one of the newest 3 not known to be damaged",) == fate(
        DAYS, policy(keep_tags=("none",)), NOW
    )[6]


def test_stores_and_hosts_are_judged_each_for_itself() -> None:
    mine = made(1, "2026-11-23T01:00")
    all_of_them = [
        mine,
        replace(mine, session=SessionId(host="web1", seq=3), store="etc"),
        replace(mine, session=SessionId(host="db1", seq=1)),
        made(2, "2026-11-23T02:00"),
    ]

    verdicts = judge(all_of_them, policy(keep_daily=1), ns(NOW))

    by_day = ("daily of 2026-11-23", "one of the newest 3 not known to be damaged")
    assert [by_day[1:], by_day, by_day, by_day] == [verdict.reasons for verdict in verdicts]
    assert all_of_them == [verdict.candidate for verdict in verdicts]


def test_what_is_forgotten_says_so() -> None:
    verdicts = judge([*DAYS, *THREE], policy(keep_last=1), ns(NOW))

    assert (False, ("no rule keeps it",)) == (verdicts[0].kept, verdicts[0].reasons)


def test_nothing_is_judged_where_nothing_is() -> None:
    assert [] == judge([], policy(keep_last=1), ns(NOW))


CHAIN = [
    made(1, "2026-11-01T03:00"),
    made(2, "2026-11-02T03:00", kind="I", base=1, chain=1),
    made(3, "2026-11-03T03:00", kind="D", base=1, chain=1),
    made(4, "2026-11-04T03:00", kind="I", base=3, chain=1),
    made(5, "2026-11-05T03:00", kind="I", base=4, chain=1),
    made(6, "2026-11-06T03:00"),
    made(7, "2026-11-07T03:00", kind="I", base=6, chain=6),
]


def tagged(seq: int) -> list[Candidate]:
    return [replace(one, tags=("x",) if one.session.seq == seq else ()) for one in CHAIN]


@pytest.mark.parametrize(
    ("seq", "expected"),
    [
        (1, {1: "tagged x"}),
        (2, {2: "tagged x", 1: "incremental 2, kept, needs it"}),
        (3, {3: "tagged x", 1: "differential 3, kept, needs it"}),
        (
            5,
            {
                5: "tagged x",
                4: "incremental 5, kept, needs it",
                3: "incremental 4, kept, needs it",
                1: "differential 3, kept, needs it",
            },
        ),
        (7, {7: "tagged x", 6: "incremental 7, kept, needs it"}),
        (99, {}),
    ],
)
def test_a_kept_snapshot_keeps_what_it_was_built_on(seq: int, expected: dict[int, str]) -> None:
    assert expected == kept(tagged(seq), keep_tags=("x",))


def test_a_chain_goes_as_a_whole_when_nothing_of_it_is_kept() -> None:
    assert {6, 7} == set(kept(CHAIN, keep_last=1) | kept(tagged(7), keep_tags=("x",)))


def test_the_full_stays_when_a_link_between_was_forgotten_by_name() -> None:
    without = [one for one in tagged(5) if one.session.seq not in (3, 4)]

    assert {1: "incremental 5, kept, needs it", 5: "tagged x"} == kept(without, keep_tags=("x",))


def test_links_that_a_host_invented_end_somewhere() -> None:
    circle = [
        made(1, "2026-11-01T03:00", kind="I", base=2, chain=77, tags=("x",)),
        made(2, "2026-11-02T03:00", kind="I", base=1, chain=2),
        made(3, "2026-11-02T03:00", kind="I", base=3, chain=3, tags=("x",)),
        made(4, "2026-11-02T03:00", kind="I", base=88, chain=99, tags=("x",)),
    ]

    assert {1, 2, 3, 4} == set(kept(circle, keep_tags=("x",)))


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"keep_daily": -1},
        {"keep_last": -1, "keep_daily": 1},
        {"keep_last": 1, "min_age_s": -1},
        {"keep_within": Span()},
        {"keep_last": 1, "timezone": "Mars"},
    ],
)
def test_a_policy_that_keeps_nothing_or_makes_no_sense_is_refused(rules: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        policy(**rules)


def test_a_policy_is_told_in_one_line() -> None:
    told = RetentionPolicy(
        keep_last=3,
        keep_daily=7,
        keep_within=Span(days=2),
        keep_within_yearly=Span(years=10),
        keep_tags=("a", "b"),
    ).words()

    assert (
        "keep-last 3, keep-daily 7, keep-within 2d, keep-within-yearly 10y, "
        "keep-tag a, keep-tag b, min-age 14 days"
    ) == told


def test_counting_snapshots_alone_is_warned_of() -> None:
    assert "add keep-daily" in RetentionPolicy(keep_last=9, keep_tags=("a",)).warnings()[0]
    assert [] == RetentionPolicy(keep_last=9, keep_within=Span(days=9)).warnings()
    assert [] == RetentionPolicy(keep_last=9, keep_weekly=1).warnings()
    assert [] == RetentionPolicy(keep_daily=9).warnings()
