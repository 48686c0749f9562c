"""Add tags to snapshots.

vaultctl tag add offsite,2026 latest

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
    change(app, snapshots, chosen, add=split_tags([names]))
