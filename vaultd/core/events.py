"""Progress and findings as typed values.

Long work reports to an `Observer`; the CLI renders, the daemon logs and exports. Nothing below
them prints or logs its progress. Observers may be called from several threads at once.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct


class ProblemKind(StrEnum):
    """Why one entry of a store is not in the snapshot as it should be, or not restored."""

    VANISHED = "vanished"
    DENIED = "denied"
    IO_ERROR = "io-error"
    CHANGED = "changed-while-reading"
    DAMAGED = "damaged"
    METADATA = "metadata"
    UNSUPPORTED = "unsupported"
    LIVE_DATABASE = "live-database"


class Problem(Struct, frozen=True, kw_only=True):
    """One finding about one entry.

    Attributes:
        kind: What is wrong.
        path: The entry, as bytes of the source or of the snapshot.
        reason: Lower-case sentence without final stop, with the system's own word for it.
        warning: It does not make the snapshot incomplete (a live database file, for example).
    """

    kind: ProblemKind
    path: bytes
    reason: str
    warning: bool = False


class PhaseStarted(Struct, frozen=True, kw_only=True):
    """A phase began.

    Attributes:
        name: For people, lower case: ``scan and store``, ``commit``, ``restore``, ``verify``.
        files: Expected number of files, 0 when unknown.
        data: Expected bytes, 0 when unknown.
    """

    name: str
    files: int = 0
    data: int = 0


class Advanced(Struct, frozen=True, kw_only=True):
    """Work moved on; numbers are totals since the phase began.

    Attributes:
        files: Files handled.
        data: Bytes of contents handled, before compression.
        stored: Bytes put into (or fetched from) the backend.
        path: What is being worked on, ``b""`` when not known.
    """

    files: int
    data: int
    stored: int
    path: bytes = b""


class Found(Struct, frozen=True, kw_only=True):
    """A problem was found; the work goes on."""

    problem: Problem


class Note(Struct, frozen=True, kw_only=True):
    """Something a person should read once (an adopted session, a retry, a base that is missing).

    Attributes:
        text: Lower-case sentence without final stop.
        warning: It deserves attention even when output is quiet.
    """

    text: str
    warning: bool = False


Event = PhaseStarted | Advanced | Found | Note
Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Take an event and do nothing: the observer of those who do not watch."""
