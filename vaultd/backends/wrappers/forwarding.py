"""A wrapper that changes nothing, for others to build on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vaultd.backends.base import Backend, Body, ObjectInfo
from vaultd.backends.versions import Versions


class Forwarding:
    """Hands every call on.

    Args:
        inner: The backend that does the work.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    @property
    def location(self) -> str:
        """Where the objects lie, for people."""
        return self._inner.location

    @property
    def spool(self) -> Path | None:
        """The folder for big bodies: see `Backend.spool`."""
        return self._inner.spool

    @property
    def read_ahead_bytes(self) -> int:
        """How much to read at once: see `Backend.read_ahead_bytes`."""
        return self._inner.read_ahead_bytes

    @property
    def versions(self) -> Versions | None:
        """Older versions, and locks: see `Backend.versions`."""
        return self._inner.versions

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        """Create an object: see `Backend.put`."""
        self._inner.put(name, body, sha256=sha256)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""
        return self._inner.get(name, offset=offset, length=length)

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object: see `Backend.head`."""
        return self._inner.head(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield objects in order: see `Backend.list`."""
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        """Remove an object: see `Backend.delete`."""
        self._inner.delete(name)
