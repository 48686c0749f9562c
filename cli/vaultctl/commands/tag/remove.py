"""Remove tags from snapshots.

vaultctl tag remove offsite 1a2b3c4d

Snapshots are named by references, or chosen by filters.
"""

from __future__ import annotations

from typing import Any

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.filters import filter_options, split_tags
from vaultctl.tagging import change, tag_arguments


@make_command(__doc__)
@filter_options
@tag_arguments
def command(app: App, names: str, snapshots: tuple[str, ...], **chosen: Any) -> None:
    """Change tags; see the module's docstring."""
    change(app, snapshots, chosen, remove=split_tags([names]))
