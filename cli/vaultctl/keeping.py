"""Options that say what to keep, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from msgspec import Struct

from vaultctl.filters import split_tags
from vaultd.core.errors import ConfigError
from vaultd.settings.file import RetentionTable

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month", "yearly": "year"}


class Keeping(Struct, frozen=True, kw_only=True):
    """What options say about keeping.

    Attributes:
        table: Their values.
        given: Whether any rule was typed.
    """

    table: RetentionTable
    given: bool

    @property
    def has_terms(self) -> bool:
        """Whether something was typed that makes sense with rules only."""
        return bool(self.table.min_age or self.table.timezone)


def _options() -> list[Callable[[F], F]]:
    numbers = [("last", "The newest N.")]
    numbers += [(name, f"The newest of each of the last N {one}s.") for name, one in _UNITS.items()]
    found = [
        click.option(f"--keep-{name}", type=click.IntRange(0), metavar="N", help=text)
        for name, text in numbers
    ]
    spans = [("within", "All within this span before the newest, such as 1y5m7d2h.")]
    spans += [
        (f"within-{name}", f"The newest of each {one} in it.") for name, one in _UNITS.items()
    ]
    found += [click.option(f"--keep-{name}", metavar="SPAN", help=text) for name, text in spans]
    found.append(
        click.option(
            "--keep-tag",
            "keep_tags",
            multiple=True,
            metavar="A,B",
            help="All with one of these tags; repeatable.",
        )
    )
    found.append(
        click.option(
            "--min-age",
            metavar="SPAN",
            help="Whatever is younger, in days and hours; 14d when not given.",
        )
    )
    found.append(
        click.option("--timezone", metavar="ZONE", help="Whose days and weeks; UTC by default.")
    )
    return found


def keep_options(function: F) -> F:
    """Add the options of `taken_keeping`, which come as ``keep_last``, ``keep_within``…."""
    for option in reversed(_options()):
        function = option(function)
    return function


def taken_keeping(chosen: dict[str, Any]) -> Keeping:
    """Take what options say about keeping out of everything that was chosen.

    Args:
        chosen: By name; what `keep_options` added is removed.

    Raises:
        ConfigError: There are rules, and they keep nothing.
    """
    typed = {name: chosen.pop(name) for name in RetentionTable.__struct_fields__}
    given = any(
        value not in (None, ()) for name, value in typed.items() if name.startswith("keep_")
    )
    values = {name: value for name, value in typed.items() if value is not None}
    values["keep_tags"] = split_tags(typed["keep_tags"])
    table = RetentionTable(**values)
    if given and not table.has_rules:
        raise ConfigError("the rules that are given keep nothing", hint="Give numbers above 0.")
    return Keeping(table=table, given=given)
