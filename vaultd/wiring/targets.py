"""Where a restore goes: the stores, opened for writing."""

from __future__ import annotations

from pathlib import Path

from vaultd.stores.base import Destination
from vaultd.stores.files.destination import FilesDestination
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.stores.files.owners import OwnerRule

__all__ = ["Overwrite", "OwnerRule", "TargetOptions", "files_destination"]


def files_destination(path: Path, options: TargetOptions) -> Destination:
    """Return a directory as a place to restore to.

    Args:
        path: The directory; made when it is not there.
        options: What to do with what is there, and with owners.
    """
    return FilesDestination(path, options)
