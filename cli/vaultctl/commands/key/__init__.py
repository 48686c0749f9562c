"""List, test, add, revoke and rotate the keys of the vault.

Recovery keys open backups. The admin key says who may do what. Every domain has keys of its own,
which are sealed to the recovery keys and can be rotated.
"""

from __future__ import annotations

from vaultctl.lazy import LazyGroup

command = LazyGroup(
    name="key",
    help=__doc__,
    package=__name__,
    sections={"Commands": ("list", "test", "sheet", "add", "revoke", "rotate")},
    no_args_is_help=True,
)
