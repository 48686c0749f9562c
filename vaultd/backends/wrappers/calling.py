"""Old versions behind a wrapper: every request is made as the wrapper makes its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from vaultd.backends.versions import Lock, LockRule, Version, Versions

Call = Callable[[Callable[[], Any]], Any]
"""Makes a request and returns its result: trying again, or after waiting for a turn."""


class CallingVersions:
    """Hands every request to a function that makes it.

    Args:
        inner: What does the work.
        call: Makes requests.
    """

    def __init__(self, inner: Versions, call: Call) -> None:
        self._inner = inner
        self._call = call

    @property
    def rule(self) -> LockRule | None:
        """How long new objects are locked: see `Versions.rule`."""
        return self._inner.rule

    def now_ns(self) -> int:
        """Return the server's time: see `Versions.now_ns`."""
        return int(self._call(self._inner.now_ns))

    def are_kept(self) -> bool:
        """Tell whether versions are kept: see `Versions.are_kept`."""
        return bool(self._call(self._inner.are_kept))

    def list(self, prefix: str) -> Iterator[Version]:
        """Yield versions: see `Versions.list`; the whole list is fetched first."""
        yield from self._call(lambda: tuple(self._inner.list(prefix)))

    def get(self, version: Version, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a version: see `Versions.get`."""
        found = self._call(lambda: self._inner.get(version, offset=offset, length=length))
        return bytes(found)

    def remove(self, version: Version) -> None:
        """Remove a version: see `Versions.remove`."""
        self._call(lambda: self._inner.remove(version))

    def lock(self, version: Version) -> Lock | None:
        """Return a version's lock: see `Versions.lock`."""
        found: Lock | None = self._call(lambda: self._inner.lock(version))
        return found

    def extend(self, version: Version, lock: Lock) -> None:
        """Lock a version for longer: see `Versions.extend`."""
        self._call(lambda: self._inner.extend(version, lock))
