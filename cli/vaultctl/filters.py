"""Options that choose snapshots, the same for every command."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from vaultctl.context import App
from vaultctl.times import parse_instant
from vaultd.vault.select import Filter

F = TypeVar("F", bound=Callable[..., Any])

_HOST = click.option(
    "-H", "--host", "hosts", multiple=True, metavar="NAME", help="Only of this host; repeatable."
)
_STORE = click.option(
    "--store", "stores", multiple=True, metavar="NAME", help="Only of this store; repeatable."
)
_PATH = click.option(
    "--path", "paths", multiple=True, metavar="DIR", help="Only where this path was captured."
)
_TAG = click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="A,B",
    help="Only with all of these tags; repeat for one or the other; '' for none.",
)
_AT = click.option(
    "--at",
    metavar="TIME",
    help="As of then: the newest at or before '2026-11-23 09:40', '3d ago' or an RFC 3339 time.",
)


def filter_options(function: F) -> F:
    """Add the options of `filter_of`, which come as ``hosts``, ``stores``, ``paths``…."""
    for option in (_AT, _TAG, _PATH, _STORE, _HOST):
        function = option(function)
    return function


def filter_of(app: App, chosen: dict[str, Any]) -> Filter:
    """Return the filter that options ask for.

    Args:
        app: The run.
        chosen: What `filter_options` added, by name.

    Raises:
        ConfigError: The time cannot be understood.
    """
    at = chosen["at"]
    return Filter(
        hosts=chosen["hosts"],
        stores=chosen["stores"],
        paths=tuple(_absolute(path) for path in chosen["paths"]),
        tags=tuple(split_tags([tags]) for tags in chosen["tags"]),
        not_after_ns=None if at is None else parse_instant(at, app.clock.now_ns()),
    )


def split_tags(texts: Sequence[str]) -> tuple[str, ...]:
    """Return tags from texts with commas, each once, in their order."""
    names = (name.strip() for text in texts for name in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _absolute(path: str) -> bytes:
    return os.fsencode(os.path.abspath(path))
