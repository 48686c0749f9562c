"""What a store is: customer data that can be captured and restored.

A store knows its own kind (files, a database) and nothing of chunks, packs or keys. Capturing, it
hands out directories as `Listing` values and opens the entries that the pipeline asks for;
restoring, it takes decoded entries and bytes and puts them in place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from vaultd.core.entry import Entry
from vaultd.core.events import Observer, ProblemKind
from vaultd.core.tree import Listing


class Scanned(Struct):
    """A listing as it was seen, with what the pipeline must know beside it.

    Attributes:
        listing: Names and stat columns; link groups are set, other extras not yet.
        racy: Positions whose change time is so close to the time of the scan that a later change
            might not show in it; they must be read, and read again next time.
        dropped: Positions that are not to be stored (vanished or unreadable since they were seen).
    """

    listing: Listing
    racy: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)


class SourceFacts(Struct, frozen=True, kw_only=True):
    """What is recorded once per snapshot about where it came from.

    Attributes:
        roots: Absolute paths that were captured.
        hostname: The machine.
        users: Numeric user id to name, of all owners seen.
        groups: Numeric group id to name, of all owners seen.
    """

    roots: tuple[bytes, ...]
    hostname: str
    users: dict[int, str]
    groups: dict[int, str]


class Capture(Protocol):
    """One pass over a store, used by one thread."""

    def scan(self) -> Iterator[Scanned]:
        """Yield every directory part, parents before children, names ascending (`path_key` order).

        The directory stays open until the next value is asked for, so `complete` and `open` work
        only on the listing yielded last. Problems go to the observer; what cannot be listed is
        left out.

        Raises:
            SourceUnreadableError: A root itself is missing or unreadable.
        """

    def complete(self, scanned: Scanned, positions: Sequence[int]) -> None:
        """Fill in the extras of entries that are not regular files."""

    def open(self, scanned: Scanned, positions: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield (position, descriptor) for regular files, in order, and fill in their extras.

        Looks ahead, so that a cold disk is kept busy. The descriptor is at offset 0 and is closed
        by this method when the next pair is asked for. Files that cannot be opened are put into
        ``scanned.dropped``, reported, and skipped.
        """

    def settle(self, scanned: Scanned, position: int, fd: int) -> bool:
        """Tell whether a file is still as the listing says, now that it has been read.

        When it is not, the listing takes over what the file looks like now, so that the caller can
        read it once more from offset 0.
        """

    def flag_changed(self, scanned: Scanned, position: int) -> None:
        """Mark a file that changed at every try: it is stored, flagged and reported."""

    def fail(self, scanned: Scanned, position: int, error: OSError) -> None:
        """Drop a file that could not be read, and report why."""

    def facts(self) -> SourceFacts:
        """Return what is known once the scan has ended."""


class TargetFile(Protocol):
    """A regular file that is being put back; its pieces come from several threads, in any order."""

    def write(self, offset: int, piece: bytes | bytearray | memoryview) -> None:
        """Write one of the announced pieces; the last one finishes the file."""

    def abandon(self, kind: ProblemKind, reason: str) -> None:
        """Give the file up and report why; further pieces are ignored."""


class TargetFolder(Protocol):
    """A directory of a target, used by the thread that walks the snapshot."""

    def begin_file(self, entry: Entry, pieces: int = 1) -> TargetFile | None:
        """Begin a regular file of so many pieces; ``None`` when there is nothing to write."""

    def add(self, entry: Entry) -> None:
        """Add a directory, link or special file."""

    def surplus(self, names: Collection[bytes]) -> list[bytes]:
        """Return names that are here and not in the snapshot's directory."""

    def remove(self, name: bytes) -> None:
        """Remove an entry and everything in it."""


class Target(Protocol):
    """Where a snapshot is put back, used by one walking thread and several writing ones."""

    def folder(self, path: bytes) -> TargetFolder | None:
        """Open a directory, in walking order; ``None`` when what is in it must be left out."""

    def finish(self) -> object:
        """End the restore: metadata of directories, summaries."""


class Preview(Protocol):
    """Says what a restore would do about an entry, without doing it."""

    def decide(self, entry: Entry) -> str:
        """Return ``create``, ``replace``, ``keep``, ``enter`` or ``blocked``."""

    def surplus(self, path: bytes, names: Collection[bytes]) -> list[bytes]:
        """Return what a directory holds beyond the names that a snapshot has for it."""


class OwnerNames(Struct, frozen=True, kw_only=True):
    """Names of the owners in a snapshot, by number."""

    users: dict[int, str]
    groups: dict[int, str]


class Destination(Protocol):
    """A place to restore to and the rules for it, before anything is opened."""

    @property
    def path(self) -> Path:
        """The directory."""

    @property
    def overwrites(self) -> bool:
        """Something was said about what is there already; otherwise it must be empty."""

    @property
    def deletes(self) -> bool:
        """What the snapshot does not have is to be removed."""

    def open(
        self, names: OwnerNames, observer: Observer, *, resume: bool
    ) -> AbstractContextManager[Target]:
        """Open it for writing; with ``resume`` what is there and unchanged is kept.

        Raises:
            TargetNotEmptyError: It holds something and nothing was said about it.
            TargetError: It cannot be used.
        """

    def preview(self, names: OwnerNames) -> AbstractContextManager[Preview]:
        """Open it to ask what would be done."""

    def compare(self, names: OwnerNames, observer: Observer) -> AbstractContextManager[Target]:
        """Open it to compare what was restored with what should be there; nothing is written."""
