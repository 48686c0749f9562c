"""Bringing back what a thief hid or covered, in a bucket that keeps versions.

The right version of an object is the oldest one that its name or a signature vouches for. It is
never removed; markers and whatever else was put over it are, as far as no lock forbids.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby

from msgspec import Struct

from vaultd.backends.versions import Version, Versions
from vaultd.core.errors import AccessDeniedError, ObjectNotFoundError
from vaultd.core.events import Advanced, Observer, PhaseStarted
from vaultd.core.snapshot import SessionId
from vaultd.format.log import names_in
from vaultd.pipeline.workers import Crew
from vaultd.vault import layout
from vaultd.vault.bundles import replaced_copies
from vaultd.vault.genuine import is_genuine, is_object
from vaultd.vault.log_state import LogState
from vaultd.vault.trust import Trust

_WORKERS = 4


class MarkerContext(Struct, frozen=True, kw_only=True):
    """What bringing back needs.

    Attributes:
        versions: What was there, and is.
        trust: Whom to believe.
        is_deleted: Tells of a name whether the log says that it was deleted on purpose.
        observer: Takes progress.
    """

    versions: Versions
    trust: Trust
    is_deleted: Callable[[str], bool]
    observer: Observer


class Revival(Struct, frozen=True, kw_only=True):
    """One object that is to be brought back.

    Attributes:
        version: The right one, which stays.
        above: What is to be removed: markers, and what covers it, newest first.
    """

    version: Version
    above: tuple[Version, ...]

    @property
    def covers(self) -> int:
        """How many other objects lie above it."""
        return sum(not one.is_marker for one in self.above)


class MarkerPlan(Struct, frozen=True, kw_only=True):
    """What is to be brought back.

    Attributes:
        revivals: By name.
        lost: Names of which no version is right.
        deleted: How many stay hidden, because they were deleted on purpose.
    """

    revivals: tuple[Revival, ...]
    lost: tuple[str, ...]
    deleted: int


class Kept(Struct, frozen=True, kw_only=True):
    """Something above a right version that could not be removed.

    Attributes:
        version: What it is.
        reason: Why not.
    """

    version: Version
    reason: str


class MarkerReport(Struct, frozen=True, kw_only=True):
    """What was brought back.

    Attributes:
        revived: How many objects are there again.
        kept: What could not be removed.
    """

    revived: int
    kept: tuple[Kept, ...]


def deleted_names(state: LogState) -> set[str]:
    """Return the names of all objects that the log says were deleted."""
    found: set[str] = set()
    for mark in state.marks.values():
        if mark.sweep is None:
            continue
        host, what = mark.body.host, f"log entry {mark.swept_by}"
        for seq, sha256 in names_in(mark.sweep.packs, what=what):
            found.add(layout.pack(SessionId(host=host, seq=seq), sha256))
        for seq, sha256 in names_in(mark.sweep.parts, what=what):
            found.add(layout.part(SessionId(host=host, seq=seq), sha256))
        for seq, _ in names_in(mark.sweep.roots, what=what):
            found.add(layout.outcome(SessionId(host=host, seq=seq)))
    return found


def plan_revival(context: MarkerContext) -> MarkerPlan:
    """Find what is hidden or covered; nothing is changed.

    What has several versions is read, the oldest first, until one is right.

    Raises:
        AccessDeniedError: The right to list or read versions is missing.
        StorageError: The storage does not answer.
    """
    context.observer(PhaseStarted(name="look beneath markers"))
    groups = list(_altered(context.versions))
    replaced = replaced_copies([name for name, _ in groups])
    wanted = [group for name, group in groups if not _is_gone(context, name, replaced)]
    revivals: list[Revival] = []
    lost: list[str] = []
    turn = threading.Lock()

    def judge(group: tuple[Version, ...], _: None) -> None:
        at = _right(context, group)
        with turn:
            if at is None:
                lost.append(group[0].name)
            elif not group[at].is_newest:
                above = tuple(reversed(group[at + 1 :]))  # all markers, and what was put later
                revivals.append(Revival(version=group[at], above=above))
            context.observer(Advanced(files=len(revivals), data=0, stored=0))

    with Crew("markers", _WORKERS, _WORKERS, lambda: None) as crew:
        for group in wanted:
            crew.submit(partial(judge, group))
        crew.drain()
    return MarkerPlan(
        revivals=tuple(sorted(revivals, key=lambda one: one.version.name)),
        lost=tuple(sorted(lost)),
        deleted=len(groups) - len(wanted),
    )


def execute_revival(context: MarkerContext, plan: MarkerPlan) -> MarkerReport:
    """Bring back as planned; run it again after an interruption, with a new plan.

    Raises:
        StorageError: The storage does not answer.
    """
    context.observer(PhaseStarted(name="bring back", files=len(plan.revivals)))
    revived = 0
    kept: list[Kept] = []
    for done, revival in enumerate(plan.revivals, 1):
        refused = [found for one in revival.above if (found := _remove(context, one)) is not None]
        kept += refused
        revived += not refused
        context.observer(Advanced(files=done, data=0, stored=0))
    return MarkerReport(revived=revived, kept=tuple(kept))


def _altered(versions: Versions) -> Iterator[tuple[str, tuple[Version, ...]]]:
    """Yield the versions of each object of the vault that has more than one, markers counted."""
    for name, found in groupby(versions.list(""), key=lambda version: version.name):
        group = tuple(found)
        if len(group) > 1 and is_object(name):
            yield name, group


def _is_gone(context: MarkerContext, name: str, replaced: set[str]) -> bool:
    return name in replaced or context.is_deleted(name)


def _right(context: MarkerContext, group: tuple[Version, ...]) -> int | None:
    """Return the position of the right version; ``None``: there is none."""
    candidates = [at for at, one in enumerate(group) if not one.is_marker]
    if len(candidates) == 1:  # to be read by whoever checks the vault
        return candidates[0]
    for at in candidates:
        try:
            data = context.versions.get(group[at])
        except ObjectNotFoundError:
            continue
        if is_genuine(group[at].name, data, context.trust):
            return at
    return None


def _remove(context: MarkerContext, version: Version) -> Kept | None:
    try:
        context.versions.remove(version)
    except AccessDeniedError as error:
        return Kept(version=version, reason=error.message)
    return None
