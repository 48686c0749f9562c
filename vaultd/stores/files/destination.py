"""Where files are restored to: a directory and the options for it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from vaultd.core.events import Observer
from vaultd.stores.base import OwnerNames
from vaultd.stores.files.comparison import FilesComparison
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.stores.files.target import FilesTarget, Preview


class FilesDestination(Struct, frozen=True):
    """Implements `vaultd.stores.base.Destination` for directories.

    Attributes:
        path: The directory; made when it is not there.
        options: How to restore; names of owners are filled in from the snapshot.
    """

    path: Path
    options: TargetOptions

    @property
    def overwrites(self) -> bool:
        """Something was said about what is there already."""
        return self.options.overwrite is not None

    @property
    def deletes(self) -> bool:
        """What the snapshot does not have is to be removed."""
        return self.options.delete

    def open(self, names: OwnerNames, observer: Observer, *, resume: bool) -> FilesTarget:
        """Open the directory for writing; see `vaultd.stores.base.Destination.open`."""
        options = self._with(names)
        if resume and options.overwrite is None:
            options = replace(options, overwrite=Overwrite.IF_CHANGED)
        return FilesTarget(self.path, options, observer)

    def preview(self, names: OwnerNames) -> Preview:
        """Open the directory to ask what would be done."""
        return Preview(self.path, self._with(names))

    def compare(self, names: OwnerNames, observer: Observer) -> FilesComparison:
        """Open the directory to compare what is in it."""
        return FilesComparison(self.path, self._with(names), observer)

    def _with(self, names: OwnerNames) -> TargetOptions:
        return replace(self.options, users=names.users, groups=names.groups)
