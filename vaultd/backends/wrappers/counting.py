"""Counting what a backend is asked for: for reports, cost, and tests that promise few requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from vaultd.backends.base import Backend, Body, ObjectInfo
from vaultd.backends.bodies import size_of
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.errors import VaultdError


class Traffic(Struct, frozen=True, kw_only=True):
    """What went to and from a backend.

    Attributes:
        puts: Objects asked to be created.
        gets: Reads.
        heads: Looks at one object.
        lists: Listings; a server makes one request for every 1000 names.
        deletes: Objects asked to be removed.
        errors: How many of these failed, not found and taken names included.
        put_bytes: Bytes of the objects that were created.
        got_bytes: Bytes read.
        listed: Names that listings brought.
    """

    puts: int = 0
    gets: int = 0
    heads: int = 0
    lists: int = 0
    deletes: int = 0
    errors: int = 0
    put_bytes: int = 0
    got_bytes: int = 0
    listed: int = 0


class Counting(Forwarding):
    """Counts calls and bytes.

    Args:
        inner: The backend that does the work.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Traffic.__struct_fields__, 0)

    @property
    def traffic(self) -> Traffic:
        """What has been counted so far."""
        with self._lock:
            return Traffic(**self._counts)

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        """Create an object: see `Backend.put`."""
        with self._counted("puts"):
            self._inner.put(name, body, sha256=sha256)
        self._add("put_bytes", size_of(name, body))

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""
        with self._counted("gets"):
            found = self._inner.get(name, offset=offset, length=length)
        self._add("got_bytes", len(found))
        return found

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object: see `Backend.head`."""
        with self._counted("heads"):
            return self._inner.head(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield objects in order: see `Backend.list`."""
        listed = 0
        try:
            with self._counted("lists"):
                for info in self._inner.list(prefix):
                    listed += 1
                    yield info
        finally:
            self._add("listed", listed)

    def delete(self, name: str) -> None:
        """Remove an object: see `Backend.delete`."""
        with self._counted("deletes"):
            self._inner.delete(name)

    def _add(self, what: str, count: int) -> None:
        with self._lock:
            self._counts[what] += count

    @contextmanager
    def _counted(self, what: str) -> Iterator[None]:
        self._add(what, 1)
        try:
            yield
        except VaultdError:
            self._add("errors", 1)
            raise
