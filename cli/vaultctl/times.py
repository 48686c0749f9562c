"""Instants as people write them: ``2026-11-23T09:40:00Z``, ``2026-11-23 09:40``, ``3d ago``."""

from __future__ import annotations

import re
from datetime import datetime

from vaultd.core.errors import ConfigError

_SECOND_NS = 1_000_000_000
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_NAMES = {
    "sec": "s",
    "second": "s",
    "min": "m",
    "minute": "m",
    "hour": "h",
    "day": "d",
    "week": "w",
}
_RELATIVE = re.compile(
    r"((?:\d+\s*(?:[smhdw]|sec|second|min|minute|hour|day|week)s?\s*)+)(?:ago)?", re.IGNORECASE
)
_DAY = re.compile(r"\d{4}-?\d{2}-?\d{2}")
_PIECE = re.compile(r"(\d+)\s*([a-z]+)", re.IGNORECASE)


def parse_instant(text: str, now_ns: int) -> int:
    """Return the instant that a text means, nanoseconds since 1970.

    Without a zone, a date is local. A date without a time means the end of that day, because who
    asks for yesterday's state wants what was there last. ``2h``, ``3d ago`` and ``1d12h`` count
    back from now, ``now`` is now.

    Args:
        text: As typed.
        now_ns: The time now.

    Raises:
        ConfigError: It cannot be understood.
    """
    words = " ".join(text.split())
    if words.lower() == "now":
        return now_ns
    match = _RELATIVE.fullmatch(words)
    if match is not None:
        return now_ns - _seconds(match[1]) * _SECOND_NS
    try:
        moment = datetime.fromisoformat(words.upper().replace(" UTC", "Z").replace(" Z", "Z"))
    except ValueError as exc:
        raise ConfigError(
            f"cannot read {text!r} as a time",
            hint="Write it like 2026-11-23T09:40:00Z, '2026-11-23 09:40' (local time) or '3d ago'.",
        ) from exc
    if _DAY.fullmatch(words):
        moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
    aware = moment if moment.tzinfo is not None else moment.astimezone()
    seconds = int(aware.timestamp())
    return seconds * _SECOND_NS + aware.microsecond * 1000


def _seconds(text: str) -> int:
    total = 0
    for count, unit in _PIECE.findall(text):
        name = unit.lower()
        short = name if name in _UNITS_S else _NAMES.get(name) or _NAMES[name.removesuffix("s")]
        total += int(count) * _UNITS_S[short]
    return total
