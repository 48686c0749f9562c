"""A directory of a restore target while something is still to be put into it."""

from __future__ import annotations

import errno
import os

from vaultd.core.entry import Entry
from vaultd.stores.files.descriptors import DIRECTORY_FLAGS
from vaultd.stores.files.metadata import Born
from vaultd.stores.files.safewalk import is_same


class Place:
    """One directory; its metadata is set when nothing refers to it any more.

    Args:
        path: Path below the target, ``b""`` for the target itself.
        name: Its name in its parent.
        parent: The directory that holds it; ``None`` for the target itself.
        entry: What it shall be like in the end; ``None`` when nothing is known of that.

    Attributes:
        fd: Descriptor; belongs to the pool.
        pins: Uses of the descriptor now; belongs to the pool.
        refs: Unfinished files, directories below and expectations that need it.
        identity: Device and inode once it was opened.
        fresh: This restore made it, so nothing is in it that this restore did not put there.
        blocked: It could not be made; what belongs below it is left out.
        born: What a new file in it is like, once one was made.
        mode_before: Mode to go back to when nothing says what it shall be like, else -1.
    """

    __slots__ = (
        "blocked",
        "born",
        "entry",
        "fd",
        "fresh",
        "identity",
        "mode_before",
        "name",
        "parent",
        "path",
        "pins",
        "refs",
    )

    def __init__(self, path: bytes, name: bytes, parent: Place | None, entry: Entry | None) -> None:
        self.path = path
        self.name = name
        self.parent = parent
        self.entry = entry
        self.fd = -1
        self.pins = 0
        self.refs = 0
        self.identity: tuple[int, int] | None = None
        self.fresh = False
        self.blocked = False
        self.born: Born | None = None
        self.mode_before = -1

    def open_again(self) -> int:
        """Open the directory once more; the pool asks for this under its lock.

        Raises:
            OSError: It, or one above it, is gone or was replaced.
        """
        closed = [self]
        while closed[-1].parent is not None and closed[-1].parent.fd < 0:
            closed.append(closed[-1].parent)
        start = closed[-1].parent
        fd = start.fd if start is not None else -1
        owned = False
        for place in reversed(closed):
            try:
                below = os.open(place.name, DIRECTORY_FLAGS, dir_fd=fd)
            finally:
                if owned:
                    os.close(fd)
            fd, owned = below, True
            if place.identity is not None and not is_same(fd, place.identity):
                os.close(fd)
                raise OSError(errno.ESTALE, "replaced")
        return fd
