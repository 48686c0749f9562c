"""What a bucket that keeps versions can do beyond `vaultd.backends.base.Backend`.

A plain delete leaves a *marker* that hides what was there; a put over a name leaves what was there
beneath it. The oldest version of a name is the object that was created; what came later was put
there by somebody who could not remove it. A lock keeps a version, not a name: it can be hidden and
covered, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class LockMode(StrEnum):
    """Who may take a lock away before its time."""

    GOVERNANCE = "governance"
    """Whoever has the right to bypass it."""
    COMPLIANCE = "compliance"
    """Nobody, not the owner of the account either."""


class Lock(Struct, frozen=True, kw_only=True):
    """The lock of one version.

    Attributes:
        mode: Who may take it away.
        until_ns: When it ends, by the server's clock.
    """

    mode: LockMode
    until_ns: int


class LockRule(Struct, frozen=True, kw_only=True):
    """How long new objects are locked.

    Attributes:
        mode: Who may take a lock away.
        promise_s: How long after its commit a snapshot is promised to be kept.
        generation_s: How much longer locks last than is promised, so that objects which later
            snapshots need as well are extended once in that time and no more.
        periods: Beginning of names, and seconds from the put to the end of the lock; the first that
            fits counts, and what none fits is not locked.
    """

    mode: LockMode
    promise_s: float
    generation_s: float
    periods: tuple[tuple[str, float], ...]

    def lock_for(self, name: str, now_ns: int) -> Lock | None:
        """Return the lock of an object that is put now; ``None``: it is not locked."""
        for prefix, period_s in self.periods:
            if name.startswith(prefix):
                return Lock(mode=self.mode, until_ns=now_ns + int(period_s * 1e9))
        return None


class Version(Struct, frozen=True, kw_only=True):
    """One version of an object, or the marker of its deletion.

    Attributes:
        name: The object.
        id: What the server calls it.
        size: Bytes; 0 for a marker.
        modified_ns: When it was put, or its lock changed, by the server's clock; coarse.
        is_newest: It is what the name stands for now.
        is_marker: It hides the versions before it and has no bytes.
    """

    name: str
    id: str
    size: int
    modified_ns: int
    is_newest: bool
    is_marker: bool = False


class Versions(Protocol):
    """The versions of a bucket's objects, and their locks."""

    @property
    def rule(self) -> LockRule | None:
        """How long new objects are locked; ``None``: they are not."""

    def now_ns(self) -> int:
        """Return the server's time, by which locks end; good to about a second."""

    def are_kept(self) -> bool:
        """Tell whether the bucket keeps versions; one that does not has no locks either.

        Raises:
            AccessDeniedError: The right to ask is missing.
        """

    def list(self, prefix: str) -> Iterator[Version]:
        """Yield all versions and markers of names with a beginning.

        By name; of each the versions in the order in which they were put, oldest first, then the
        markers likewise: servers do not tell how the two follow each other. Which of them is on
        top is told by `Version.is_newest`, and nothing by times: extending a lock may change them.

        Raises:
            AccessDeniedError: The right is missing.
        """

    def get(self, version: Version, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a version; see `Backend.get`."""

    def remove(self, version: Version) -> None:
        """Remove one version or marker for good; one that is not there is fine.

        Raises:
            AccessDeniedError: It is locked, or the right is missing.
        """

    def lock(self, version: Version) -> Lock | None:
        """Return a version's lock; ``None``: it has none.

        Raises:
            ObjectNotFoundError: There is no such version.
            AccessDeniedError: The right is missing.
        """

    def extend(self, version: Version, lock: Lock) -> None:
        """Lock a version, or lock it for longer.

        Raises:
            AccessDeniedError: The right is missing, or it is locked for longer already.
            StorageError: The bucket has no locks.
        """
