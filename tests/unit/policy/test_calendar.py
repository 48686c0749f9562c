"""Periods and spans, where calendars are awkward: clock changes, ISO weeks, ends of years."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from vaultd.core.errors import ConfigError
from vaultd.policy.calendar import (
    Span,
    Unit,
    age_words,
    local_time,
    parse_age,
    parse_span,
    period_name,
    period_of,
    zone_named,
)

BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone(ZoneInfo(zone))


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", Span(days=30)),
        ("1y5m7d2h", Span(years=1, months=5, days=7, hours=2)),
        (" 36h ", Span(hours=36)),
        ("2m", Span(months=2)),
        ("0d", Span()),
    ],
)
def test_a_span_is_read_as_restic_writes_it(text: str, span: Span) -> None:
    assert span == parse_span(text)
    assert span == parse_span(str(span))


@pytest.mark.parametrize("text", ["", "d", "7", "7w", "2h7d", "-1d", "1.5d", "9999999d", "1d 2h"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="as a span of time"):
        parse_span(text)


def test_a_span_of_nothing_is_false() -> None:
    assert not Span()
    assert Span(hours=1)
    assert "0h" == str(Span())


@pytest.mark.parametrize(
    ("text", "seconds"), [("14d", 14 * 86_400), ("1d12h", 129_600), ("0d", 0), ("5h", 18_000)]
)
def test_an_age_is_counted_in_seconds(text: str, seconds: int) -> None:
    assert seconds == parse_age(text)


@pytest.mark.parametrize("text", ["1y", "2m", "1m1d"])
def test_an_age_in_months_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot count"):
        parse_age(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(14 * 86_400, "14 days"), (86_400, "1 day"), (129_600, "36 hours"), (3600, "1 hour")],
)
def test_an_age_is_told_in_days_or_hours(seconds: int, words: str) -> None:
    assert words == age_words(seconds)


@pytest.mark.parametrize(
    ("moment", "zone", "span", "expected"),
    [
        # A month that lacks the day gives its last one; leap years have one more.
        ("2026-03-31T10:00", "UTC", Span(months=1), "2026-02-28T10:00"),
        ("2024-03-31T10:00", "UTC", Span(months=1), "2024-02-29T10:00"),
        ("2024-02-29T10:00", "UTC", Span(years=1), "2023-02-28T10:00"),
        ("2026-01-15T10:00", "UTC", Span(months=1), "2025-12-15T10:00"),
        ("2026-12-31T10:00", "UTC", Span(months=13), "2025-11-30T10:00"),
        ("2026-01-01T00:00", "UTC", Span(days=1), "2025-12-31T00:00"),
        ("2026-11-24T10:00", "UTC", Span(years=1, months=2, days=3, hours=4), "2025-09-21T06:00"),
        # A day back over the clock change is the same time of the day; 24 hours are not.
        ("2026-03-29T10:00", "Europe/Berlin", Span(days=1), "2026-03-28T11:00"),
        ("2026-03-29T10:00", "Europe/Berlin", Span(hours=24), "2026-03-28T10:00"),
        ("2026-10-25T10:00", "Europe/Berlin", Span(days=1), "2026-10-24T09:00"),
        # Nothing was made before 1970.
        ("2026-11-24T10:00", "UTC", Span(years=99_999), "1970-01-01T00:00"),
        ("2026-11-24T10:00", "UTC", Span(days=99_999), "1970-01-01T00:00"),
        ("2026-11-24T10:00", "UTC", Span(months=99_999), "1970-01-01T00:00"),
    ],
)
def test_a_span_counts_back_by_the_calendar(
    moment: str, zone: str, span: Span, expected: str
) -> None:
    assert at(expected) == span.before(at(moment, zone))


NAMES = [
    # moment in UTC, zone, hour, day, week, month, year
    ("2026-11-23T22:59", "Europe/Berlin", "2026-11-23 23:00 CET", "2026-11-23", "2026-W48"),
    ("2026-11-23T23:01", "Europe/Berlin", "2026-11-24 00:00 CET", "2026-11-24", "2026-W48"),
    ("2026-11-23T23:01", "UTC", "2026-11-23 23:00 UTC", "2026-11-23", "2026-W48"),
    ("2026-11-23T23:01", "Asia/Kathmandu", "2026-11-24 04:00 +0545", "2026-11-24", "2026-W48"),
    # The week of new year belongs to the year that has its Thursday.
    ("2027-01-03T12:00", "UTC", "2027-01-03 12:00 UTC", "2027-01-03", "2026-W53"),
    ("2027-01-04T12:00", "UTC", "2027-01-04 12:00 UTC", "2027-01-04", "2027-W01"),
    ("2024-12-30T12:00", "UTC", "2024-12-30 12:00 UTC", "2024-12-30", "2025-W01"),
    ("2024-02-29T12:00", "UTC", "2024-02-29 12:00 UTC", "2024-02-29", "2024-W09"),
    # 02:30 comes twice when summer ends, and not at all when it begins.
    ("2026-10-25T00:30", "Europe/Berlin", "2026-10-25 02:00 CEST", "2026-10-25", "2026-W43"),
    ("2026-10-25T01:30", "Europe/Berlin", "2026-10-25 02:00 CET", "2026-10-25", "2026-W43"),
    ("2026-03-29T00:59", "Europe/Berlin", "2026-03-29 01:00 CET", "2026-03-29", "2026-W13"),
    ("2026-03-29T01:00", "Europe/Berlin", "2026-03-29 03:00 CEST", "2026-03-29", "2026-W13"),
]


@pytest.mark.parametrize(("moment", "zone", "hour", "day", "week"), NAMES)
def test_periods_are_those_of_the_zone(
    moment: str, zone: str, hour: str, day: str, week: str
) -> None:
    names = [period_name(unit, at(moment, zone)) for unit in Unit]

    assert [hour, day, week, day[:7], day[:4]] == names


@pytest.mark.parametrize(
    ("one", "other", "zone", "shared"),
    [
        ("2026-10-25T00:30", "2026-10-25T01:30", "Europe/Berlin", "daily weekly monthly yearly"),
        ("2026-10-25T00:05", "2026-10-25T00:55", "Europe/Berlin", " ".join(Unit)),
        ("2026-10-24T21:59", "2026-10-24T22:01", "Europe/Berlin", "weekly monthly yearly"),
        ("2026-12-31T22:59", "2026-12-31T23:01", "Europe/Berlin", "weekly"),
        ("2026-12-31T23:59", "2027-01-01T00:01", "UTC", "weekly"),
        ("2026-11-22T23:59", "2026-11-23T00:01", "UTC", "monthly yearly"),
        ("2025-12-29T12:00", "2026-01-04T12:00", "UTC", "weekly"),
    ],
)
def test_two_times_share_the_periods_that_people_expect(
    one: str, other: str, zone: str, shared: str
) -> None:
    moments = at(one, zone), at(other, zone)

    found = [unit for unit in Unit if len({period_of(unit, moment) for moment in moments}) == 1]

    assert shared.split() == found


@pytest.mark.parametrize("unit", Unit)
def test_periods_are_ordered_by_time(unit: Unit) -> None:
    moments = [at(f"{year}-06-15T12:00", "Europe/Berlin") for year in range(2020, 2030)]

    periods = [period_of(unit, moment) for moment in moments]

    assert periods == sorted(set(periods))


@pytest.mark.parametrize("name", ["Europe/Nowhere", "Europe", "/etc/passwd", "../UTC", "", "a\0b"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not known on this machine"):
        zone_named(name)


def test_a_time_is_shown_in_its_zone() -> None:
    assert (
        "2026-11-24T00:30:00+05:30"
        == local_time(int(at("2026-11-23T19:00").timestamp()) * 10**9, KOLKATA).isoformat()
    )
    assert BERLIN == zone_named("Europe/Berlin")
