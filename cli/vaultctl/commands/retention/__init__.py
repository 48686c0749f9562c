"""Try rules of what is kept.

The rules stand in the configuration file, and `vaultctl forget --policy` goes by them.
"""

from __future__ import annotations

from vaultctl.lazy import LazyGroup

command = LazyGroup(
    name="retention",
    help=__doc__,
    package=__name__,
    sections={"Commands": ("simulate",)},
    no_args_is_help=True,
)
