"""Parts of a vault to be read: a numbered share that is the same every time, or a sample."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from vaultd.core.errors import ConfigError
from vaultd.core.units import parse_size
from vaultd.vault import layout

_SHARE = re.compile(r"(\d{1,9})/(\d{1,9})")
_RATIO = re.compile(r"(\d{1,3}(?:\.\d+)?) ?%")


class Share(Struct, frozen=True):
    """The ``number``-th of ``of`` shares that are about equal, counted from 1."""

    number: int
    of: int


class Ratio(Struct, frozen=True):
    """A sample of so much of all bytes, between 0 and 1."""

    ratio: float


class Amount(Struct, frozen=True):
    """A sample of so many bytes."""

    size: int


Subset = Share | Ratio | Amount


class Sample(Struct, frozen=True, kw_only=True):
    """What to read of all that is needed.

    Attributes:
        subset: A share, or a sample: what was never read comes first, the rest is drawn by lot.
        shard: Besides, only what one of several machines has to read.
        random: Draws the lots.
    """

    subset: Subset | None = None
    shard: Share | None = None
    random: Callable[[int], bytes]


def parse_share(text: str) -> Share:
    """Return the share that ``2/7`` means.

    Raises:
        ConfigError: It means none.
    """
    match = _SHARE.fullmatch(text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(
            f"cannot read {text!r} as a share", hint="Write the number of one of several: 2/7."
        )
    return Share(int(match[1]), int(match[2]))


def parse_subset(text: str) -> Subset:
    """Return what ``2/7``, ``5%`` or ``10G`` means.

    Raises:
        ConfigError: Nothing.
    """
    if "/" in text:
        return parse_share(text)
    match = _RATIO.fullmatch(text.strip())
    if match is None:
        return Amount(parse_size(text))
    ratio = float(match[1]) / 100
    if not 0 < ratio <= 1:
        raise ConfigError(f"{text!r} is no part of a whole", hint="Write a number up to 100%.")
    return Ratio(ratio)


def is_in(name: str, share: Share | None, *, lot: int) -> bool:
    """Tell whether a pack or index part belongs to a share.

    Args:
        name: Of the object; the hash in it decides, so that the answer is always the same.
        share: The share; ``None``: everything belongs to it.
        lot: 0 or 1: shares of different lots have nothing to do with each other.
    """
    if share is None:
        return True
    _, sha256 = layout.hashed_of(name)
    number = int.from_bytes(sha256[8 * lot : 8 * lot + 8], "big")
    return number % share.of == share.number - 1
