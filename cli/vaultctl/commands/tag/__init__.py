"""Add tags to snapshots, remove them, or set them.

Tags are sealed: the storage provider cannot read them. Changing them needs this machine to be a
keeper of the vault, and the keys of the snapshots' host.
"""

from __future__ import annotations

from vaultctl.lazy import LazyGroup

command = LazyGroup(
    name="tag",
    help=__doc__,
    package=__name__,
    sections={"Commands": ("add", "remove", "set")},
    no_args_is_help=True,
)
