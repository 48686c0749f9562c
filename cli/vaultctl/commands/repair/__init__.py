"""Repair what is lost or damaged in the vault."""

from __future__ import annotations

from vaultctl.lazy import LazyGroup

command = LazyGroup(
    name="repair",
    help=__doc__,
    package=__name__,
    sections={"Commands": ("objects", "index")},
    no_args_is_help=True,
)
