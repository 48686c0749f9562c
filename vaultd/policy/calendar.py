"""Natural periods of a calendar in a time zone, and spans of time such as ``1y5m7d2h``. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from msgspec import Struct

from vaultd.core.clock import utc
from vaultd.core.errors import ConfigError

_SPAN = re.compile(r"(?:(\d{1,5})y)?(?:(\d{1,5})m)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?")
_MONTHS = 12
_HOUR_S, _DAY_S = 3600, 86_400
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class Span(Struct, frozen=True, kw_only=True):
    """A length of time by the calendar; all 0 means none.

    Attributes:
        years: Calendar years.
        months: Calendar months.
        days: Calendar days: 23 or 25 hours long when clocks change.
        hours: Hours.
    """

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def __bool__(self) -> bool:
        """Tell whether it is longer than nothing."""
        return self != Span()

    def __str__(self) -> str:
        """Return the text that `parse_span` reads: ``1y5m7d2h``."""
        parts = zip((self.years, self.months, self.days, self.hours), "ymdh", strict=True)
        return "".join(f"{count}{unit}" for count, unit in parts if count) or "0h"

    def before(self, moment: datetime) -> datetime:
        """Return the instant that lies this span before another, in UTC.

        A day that the earlier month does not have becomes its last one.

        Args:
            moment: An aware time, in the zone whose calendar counts.
        """
        total = moment.year * _MONTHS + moment.month - 1 - self.years * _MONTHS - self.months
        year, month = divmod(total, _MONTHS)
        if year <= _EARLIEST.year:
            return _EARLIEST
        day = min(moment.day, _last_day(year, month + 1))
        shifted = moment.replace(year=year, month=month + 1, day=day)
        if self.days >= (shifted.replace(tzinfo=UTC) - _EARLIEST).days:
            return _EARLIEST
        return (shifted - timedelta(days=self.days)).astimezone(UTC) - timedelta(hours=self.hours)


def parse_span(text: str) -> Span:
    """Return what a text such as ``30d`` or ``1y5m7d2h`` means: years, months, days, hours.

    Raises:
        ConfigError: The text is no such span.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ConfigError(
            f"cannot read {text!r} as a span of time",
            hint="Write years, months, days and hours, such as 30d, 36h or 1y5m7d2h.",
        )
    years, months, days, hours = (int(count or 0) for count in match.groups())
    return Span(years=years, months=months, days=days, hours=hours)


def parse_age(text: str) -> int:
    """Return the seconds that a text such as ``14d`` or ``1d12h`` means.

    Raises:
        ConfigError: The text is no span, or has years or months, which differ in length.
    """
    span = parse_span(text)
    if span.years or span.months:
        raise ConfigError(
            f"cannot count {text!r} in seconds", hint="Write days and hours, such as 14d or 36h."
        )
    return span.days * _DAY_S + span.hours * _HOUR_S


def age_words(seconds: int) -> str:
    """Return an age for people, without a fraction: ``14 days``, ``36 hours``."""
    days, rest = divmod(seconds, _DAY_S)
    count, unit = (days, "day") if not rest else (seconds // _HOUR_S, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}"


def zone_named(name: str) -> tzinfo:
    """Return the time zone of a name such as ``Europe/Berlin``.

    Raises:
        ConfigError: This machine knows no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as exc:
        raise ConfigError(
            f"time zone {name!r} is not known on this machine",
            hint="Write a name such as UTC or Europe/Berlin; Debian's package tzdata has them.",
        ) from exc


def local_time(ns: int, zone: tzinfo) -> datetime:
    """Return nanoseconds since 1970 as the time that clocks of a zone show."""
    return utc(ns).astimezone(zone)


class Unit(StrEnum):
    """A period of the calendar; the value is its adjective."""

    HOUR = "hourly"
    DAY = "daily"
    WEEK = "weekly"
    MONTH = "monthly"
    YEAR = "yearly"


Period = tuple[int, ...]
"""Tells an hour, day, week, month or year from the others of its unit; ordered by time."""


def period_of(unit: Unit, moment: datetime) -> Period:
    """Return the period in which a time lies.

    The hour that clocks show twice when summer ends is two hours; a week is that of ISO 8601.

    Args:
        unit: How long the period is.
        moment: An aware time, in the zone whose calendar counts.
    """
    if unit is Unit.HOUR:
        return (int(_hour(moment).timestamp()),)
    if unit is Unit.DAY:
        return (moment.toordinal(),)
    if unit is Unit.WEEK:
        return moment.isocalendar()[:2]
    return (moment.year, moment.month) if unit is Unit.MONTH else (moment.year,)


def period_name(unit: Unit, moment: datetime) -> str:
    """Return the name of the period in which a time lies: ``2026-11-23``, ``2026-W48``."""
    if unit is Unit.HOUR:
        return f"{_hour(moment):%Y-%m-%d %H:%M %Z}"
    if unit is Unit.DAY:
        return f"{moment:%Y-%m-%d}"
    if unit is Unit.WEEK:
        return f"{moment:%G-W%V}"
    return f"{moment:%Y-%m}" if unit is Unit.MONTH else f"{moment:%Y}"


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _last_day(year: int, month: int) -> int:
    following = datetime(year + month // _MONTHS, month % _MONTHS + 1, 1, tzinfo=UTC)
    return (following - timedelta(days=1)).day
