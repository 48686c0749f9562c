"""Numbers for people: bytes and durations, parsed and rendered in one place."""

from __future__ import annotations

import re

from vaultd.core.errors import ConfigError

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_FACTOR = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}


def parse_size(text: str) -> int:
    """Return the bytes that a text such as ``512``, ``10K``, ``1.5GiB`` means; powers of 1024.

    Raises:
        ConfigError: The text is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"cannot read {text!r} as a size",
            hint="Write a number with an optional K, M, G or T, such as 1.5G.",
        )
    return int(float(match[1]) * _FACTOR[match[2].lower()])


def format_size(count: float) -> str:
    """Return bytes for people: ``0 B``, ``312 B``, ``4.0 KiB``, ``1.2 GiB``."""
    if count < KIB:
        return f"{int(count)} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:  # noqa: PLR2004 - the step between units
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.2f} TiB"


def parse_duration(text: str) -> int:
    """Return the seconds that a text such as ``90s``, ``15m``, ``12h``, ``30d``, ``2w`` means.

    Raises:
        ConfigError: The text is not a duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"cannot read {text!r} as a duration",
            hint="Write a number with s, m, h, d or w, such as 30d.",
        )
    return int(float(match[1]) * _SECONDS[match[2]])


def format_duration(seconds: float) -> str:
    """Return a duration for people: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 10:  # noqa: PLR2004 - below this a tenth matters
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes == 0:
        return f"{whole} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
