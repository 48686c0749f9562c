"""Look at object locks, and extend them.

A bucket with object lock keeps what was put in it until a date, by whatever credentials somebody
comes. `[vault.lock]` of the configuration file says how long.
"""

from __future__ import annotations

from vaultctl.lazy import LazyGroup

command = LazyGroup(
    name="lock",
    help=__doc__,
    package=__name__,
    sections={"Commands": ("check", "extend")},
    no_args_is_help=True,
)
