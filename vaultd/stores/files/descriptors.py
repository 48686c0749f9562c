"""Opening entries below a directory descriptor without following links or touching access times."""

from __future__ import annotations

import errno
import os

FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
DIRECTORY_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
WAY_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY


class Opener:
    """Opens with ``O_NOATIME`` where that is allowed: only the owner of a file and root may.

    Which owners refuse is learnt once each, so a service that reads everybody's files by a
    capability does not try in vain for each of them.
    """

    def __init__(self) -> None:
        self._refused: set[int] = set()

    @property
    def flags_to_try(self) -> int:
        """Flags to try on any file; when they fail, `open` knows what is right for its owner."""
        return FILE_FLAGS | os.O_NOATIME

    def open(self, name: bytes, folder: int, flags: int, owner: int = -1) -> int:
        """Open an entry for reading and return the descriptor.

        Args:
            name: Name in the directory.
            folder: Descriptor of the directory.
            flags: ``FILE_FLAGS`` or ``DIRECTORY_FLAGS``.
            owner: User id of the entry as far as known; it is what refusals are remembered by.

        Raises:
            OSError: It cannot be opened.
        """
        if owner not in self._refused:
            try:
                return os.open(name, flags | os.O_NOATIME, dir_fd=folder)
            except OSError as error:
                if error.errno != errno.EPERM:
                    raise
            self._refused.add(owner)
        return os.open(name, flags, dir_fd=folder)
