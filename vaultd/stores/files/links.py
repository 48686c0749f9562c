"""Which name of a multiply-linked file is written, and which wait to be linked to it."""

from __future__ import annotations

import os
from threading import Lock

from msgspec import Struct, field

from vaultd.core.entry import Entry
from vaultd.stores.files.place import Place


class Made(Struct, frozen=True):
    """A file that this restore has finished.

    Attributes:
        path: Directory that holds it, below the target.
        name: Its name there.
        identity: What tells it from any other file, one that took over its inode included.
    """

    path: bytes
    name: bytes
    identity: tuple[int, ...]


def made_of(status: os.stat_result, path: bytes, name: bytes) -> Made:
    """Return how a file is known again by what ``stat`` says of it."""
    identity = (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
    )
    return Made(path, name, identity)


class _Group(Struct):
    made: Made | None = None
    waiting: list[tuple[Place, Entry]] = field(default_factory=list)


class Links:
    """The link groups of one restore; usable by several threads.

    Only files that this restore made, or found to be the snapshot's, are ever linked to.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._groups: dict[bytes, _Group] = {}

    def join(self, place: Place, entry: Entry) -> Made | bool:
        """Say what to do for one more name of a group.

        Args:
            place: The directory of the name.
            entry: The name; its link group is not empty.

        Returns:
            The file to link to; ``True`` when there will be one and the name waits for it;
            ``False`` when this is the first name, so the file is to be written under it.
        """
        with self._lock:
            group = self._groups.get(entry.extra.link_group)
            if group is None:
                self._groups[entry.extra.link_group] = _Group()
                return False
            if group.made is not None:
                return group.made
            group.waiting.append((place, entry))
            return True

    def keep(self, entry: Entry, there: Made) -> bool:
        """Tell whether a name whose file is unchanged may stay as it is.

        It may when it is the first of its group, which is then linked to it, or when it has the
        file of its group already.

        Args:
            entry: The name.
            there: The file that it names now.
        """
        with self._lock:
            group = self._groups.setdefault(entry.extra.link_group, _Group(made=there))
            return group.made is not None and group.made.identity == there.identity

    def finished(self, entry: Entry, made: Made) -> list[tuple[Place, Entry]]:
        """Note that the first name of a group is there; return the names that waited for it."""
        with self._lock:
            group = self._groups[entry.extra.link_group]
            group.made = made
            waiting, group.waiting = group.waiting, []
            return waiting

    def failed(self, entry: Entry) -> list[tuple[Place, Entry]]:
        """Note that the first name of a group could not be written; return those that waited."""
        with self._lock:
            return self._groups.pop(entry.extra.link_group).waiting
