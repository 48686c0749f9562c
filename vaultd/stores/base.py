"""What a store is: customer data that can be captured and restored.

A store knows its own kind (files, a database) and nothing of chunks, packs or keys. Capturing, it
hands out directories as `Listing` values and opens the entries that the pipeline asks for;
restoring, it takes decoded entries and bytes and puts them in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vaultd.core.tree import Listing


@dataclass(slots=True)
class Scanned:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
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
        """Fill in the extras of entries that are not regular files (link target, device, xattrs, flags)."""

    def open(self, scanned: Scanned, positions: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield (position, descriptor) for regular files, in the order given, and fill in their extras.

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
