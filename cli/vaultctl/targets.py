"""Options that say what a restore takes, and what it does with what is there already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from vaultd.core.errors import ConfigError
from vaultd.pipeline.select import Selection
from vaultd.wiring.targets import Overwrite, OwnerRule, TargetOptions

F = TypeVar("F", bound=Callable[..., Any])

_IS_ROOT = os.geteuid() == 0


def targeting(function: F) -> F:
    """Add the options of `selection_of` and `target_options`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _many(*names: str, metavar: str, text: str) -> Callable[[F], F]:
    return click.option(*names, multiple=True, metavar=metavar, help=text)


_OPTIONS = (
    _many("-i", "--include", metavar="GLOB", text="Only what matches, with what lies below it."),
    _many("-e", "--exclude", metavar="GLOB", text="Not what matches, nor what lies below it."),
    _many("--include-file", metavar="FILE", text="Globs from a file, one a line."),
    _many("--exclude-file", metavar="FILE", text="The same for --exclude."),
    click.option("--ignore-case", is_flag=True, help="Globs match whatever the case."),
    click.option(
        "--overwrite",
        type=click.Choice([str(rule) for rule in Overwrite]),
        help="What to do with files that are there already.",
    ),
    click.option("--delete", is_flag=True, help="Remove what the snapshot does not have."),
    click.option(
        "--owner",
        type=click.Choice([str(rule) for rule in OwnerRule]),
        help="Owners by number, by name, or none at all; root: ids, others: none.",
    ),
    _many("--map-user", metavar="OLD=NEW", text="Another owner here; names or numbers."),
    _many("--map-group", metavar="OLD=NEW", text="The same for groups."),
    click.option("--sparse", is_flag=True, help="Leave holes for blocks of zeros."),
    click.option("--no-suid", is_flag=True, help="Leave out set-id bits and capabilities."),
    click.option("--devices", is_flag=True, help="Make device files; needs root."),
)


def selection_of(subdir: bytes, chosen: dict[str, Any]) -> Selection:
    """Return what to take of a snapshot.

    Args:
        subdir: Path that was named with the snapshot.
        chosen: What `targeting` added, by name.

    Raises:
        ConfigError: A file of globs cannot be read.
    """
    return Selection(
        subdir=subdir,
        include=(*chosen["include"], *_globs(chosen["include_file"])),
        exclude=(*chosen["exclude"], *_globs(chosen["exclude_file"])),
        ignore_case=chosen["ignore_case"],
    )


def target_options(chosen: dict[str, Any], *, is_root: bool = _IS_ROOT) -> TargetOptions:
    """Return how to restore.

    Args:
        chosen: What `targeting` added, by name.
        is_root: Owners and devices can be restored.

    Raises:
        ConfigError: A map cannot be understood.
    """
    overwrite, owner = chosen["overwrite"], chosen["owner"]
    return TargetOptions(
        overwrite=None if overwrite is None else Overwrite(overwrite),
        delete=chosen["delete"],
        owner=OwnerRule(owner) if owner else OwnerRule.IDS if is_root else OwnerRule.NONE,
        user_map=_map(chosen["map_user"]),
        group_map=_map(chosen["map_group"]),
        allow_suid=is_root and not chosen["no_suid"],
        allow_devices=chosen["devices"],
        sparse=chosen["sparse"],
    )


def _map(texts: Iterable[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        old, _, new = text.partition("=")
        if not old or not new:
            raise ConfigError(f"cannot read {text!r} as a map", hint="Write OLD=NEW.")
        found[old] = new
    return found


def _globs(files: Iterable[str]) -> list[str]:
    found = []
    for name in files:
        try:
            text = Path(name).read_text("utf-8", "surrogateescape")
        except OSError as exc:
            raise ConfigError(f"list of globs {name}: cannot be read: {exc.strerror}") from exc
        found += [line for line in text.splitlines() if line and not line.startswith("#")]
    return found
