"""A bucket in memory that keeps versions and locks them, with a clock that is told.

What a server does with versions and locks is tried on a real one; this is for stories that take
months, and it follows what SeaweedFS was seen to do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from vaultd.backends.base import Body, ObjectInfo
from vaultd.backends.bodies import bytes_of
from vaultd.backends.names import check_name
from vaultd.backends.versions import Lock, LockMode, LockRule, Version
from vaultd.core.clock import Clock, SystemClock
from vaultd.core.errors import AccessDeniedError, ObjectExistsError, ObjectNotFoundError


class Kept:
    """One version, its bytes and its lock."""

    def __init__(
        self, version: str, data: bytes | None, modified_ns: int, lock: Lock | None
    ) -> None:
        self.id = version
        self.data = data
        self.modified_ns = modified_ns
        self.lock = lock


class VersionedMemory:
    """A backend that forgets nothing; its ``versions`` are itself in another dress.

    Args:
        rule: How long new objects are locked.
        clock: The server's.
    """

    read_ahead_bytes = 0

    def __init__(self, *, rule: LockRule | None = None, clock: Clock | None = None) -> None:
        self.clock = SystemClock() if clock is None else clock
        self.kept: dict[str, list[Kept]] = {}
        self.versions = MemoryVersions(self, rule)
        self._numbers = itertools.count(1)

    @property
    def location(self) -> str:
        return "versioned memory"

    @property
    def spool(self) -> Path | None:
        return None

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        check_name(name)
        if self._newest(name) is not None:
            raise ObjectExistsError(f"object {name}: exists already")
        self.cover(name, bytes_of(body))

    def cover(self, name: str, data: bytes | None) -> None:
        """Put over a name, as whoever stole the credentials can; ``None``: a marker."""
        rule, now_ns = self.versions.rule, self.clock.now_ns()
        lock = rule.lock_for(name, now_ns) if rule is not None and data is not None else None
        number = f"v{next(self._numbers)}"
        self.kept.setdefault(name, []).append(Kept(number, data, now_ns, lock))

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        data = self._found(name).data or b""
        return data[offset:] if length is None else data[offset : offset + length]

    def head(self, name: str) -> ObjectInfo:
        found = self._found(name)
        return ObjectInfo(name=name, size=len(found.data or b""), modified_ns=found.modified_ns)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for name in sorted(self.kept):
            if name.startswith(prefix) and self._newest(name) is not None:
                yield self.head(name)

    def delete(self, name: str) -> None:
        check_name(name)
        if self._newest(name) is not None:
            self.cover(name, None)

    def _newest(self, name: str) -> Kept | None:
        versions = self.kept.get(name)
        return versions[-1] if versions and versions[-1].data is not None else None

    def _found(self, name: str) -> Kept:
        check_name(name)
        found = self._newest(name)
        if found is None:
            raise ObjectNotFoundError(f"object {name}: not found in memory")
        return found


class MemoryVersions:
    """The versions of a `VersionedMemory`.

    Attributes:
        asked: How often a lock was looked up.
        extended: Names whose locks were extended, each time.
    """

    def __init__(self, memory: VersionedMemory, rule: LockRule | None) -> None:
        self._memory = memory
        self.rule = rule
        self.asked = 0
        self.extended: list[str] = []

    def now_ns(self) -> int:
        return self._memory.clock.now_ns()

    def are_kept(self) -> bool:
        return True

    def list(self, prefix: str) -> Iterator[Version]:
        for name in sorted(self._memory.kept):
            if name.startswith(prefix):
                versions = self._memory.kept[name]
                for kept in sorted(versions, key=lambda one: one.data is None):
                    yield Version(
                        name=name,
                        id=kept.id,
                        size=len(kept.data or b""),
                        modified_ns=kept.modified_ns,
                        is_newest=kept is versions[-1],
                        is_marker=kept.data is None,
                    )

    def get(self, version: Version, *, offset: int = 0, length: int | None = None) -> bytes:
        data = self._find(version).data or b""
        return data[offset:] if length is None else data[offset : offset + length]

    def remove(self, version: Version) -> None:
        lock = self.lock(version)
        if lock is not None and lock.until_ns > self.now_ns():
            raise AccessDeniedError(f"object {version.name}: retained until {lock.until_ns}")
        self._memory.kept[version.name].remove(self._find(version))

    def lock(self, version: Version) -> Lock | None:
        self.asked += 1
        return self._find(version).lock

    def extend(self, version: Version, lock: Lock) -> None:
        kept = self._find(version)
        weaker = kept.lock is not None and (
            lock.until_ns < kept.lock.until_ns
            or (kept.lock.mode is LockMode.COMPLIANCE and lock.mode is LockMode.GOVERNANCE)
        )
        if weaker:
            raise AccessDeniedError(f"object {version.name}: locked for longer")
        kept.lock = lock
        self.extended.append(version.name)

    def _find(self, version: Version) -> Kept:
        for kept in self._memory.kept.get(version.name, ()):
            if kept.id == version.id:
                return kept
        raise ObjectNotFoundError(f"object {version.name}: no version {version.id}")
