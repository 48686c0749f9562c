"""A backend in memory: the model that the others are compared with, and where most tests run."""

from __future__ import annotations

import bisect
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

from vaultd.backends.base import Body, ObjectInfo
from vaultd.backends.bodies import bytes_of, check_range, size_of, span
from vaultd.backends.names import check_name, check_prefix
from vaultd.core.clock import Clock, SystemClock
from vaultd.core.errors import CorruptObjectError, ObjectExistsError, ObjectNotFoundError


class MemoryBackend:
    """Objects in a dictionary, gone with the process.

    Args:
        clock: Says when an object was written; the system's by default.
    """

    read_ahead_bytes = 0
    versions = None

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, int]] = {}
        self._names: list[str] = []  # ascending

    @property
    def location(self) -> str:
        """The word ``memory``."""
        return "memory"

    @property
    def spool(self) -> Path | None:
        """No folder: bodies are copied anyway."""
        return None

    def copy(self) -> MemoryBackend:
        """Return another backend with the same objects, as a crash would leave them now."""
        other = MemoryBackend(clock=self._clock)
        with self._lock:
            other._objects = dict(self._objects)
            other._names = list(self._names)
        return other

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        """Create an object: see `Backend.put`.

        Raises:
            CorruptObjectError: The bytes do not have the SHA-256 that was given.
        """
        check_name(name)
        size_of(name, body)
        contents = bytes_of(body)
        if sha256 is not None and hashlib.sha256(contents).digest() != sha256:
            raise CorruptObjectError(f"object {name}: the body is not what its SHA-256 says")
        with self._lock:
            if name in self._objects:
                raise ObjectExistsError(f"object {name}: exists already")
            self._objects[name] = contents, self._clock.now_ns()
            bisect.insort(self._names, name)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""
        check_range(name, offset, length)
        contents, _ = self._find(name)
        return contents[offset : offset + span(name, len(contents), offset, length)]

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object: see `Backend.head`."""
        contents, modified_ns = self._find(name)
        return ObjectInfo(name=name, size=len(contents), modified_ns=modified_ns)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield objects in order: see `Backend.list`; those that were there at the first step."""
        check_prefix(prefix)
        found = []
        with self._lock:
            for at in range(bisect.bisect_left(self._names, prefix), len(self._names)):
                name = self._names[at]
                if not name.startswith(prefix):
                    break
                contents, modified_ns = self._objects[name]
                found.append(ObjectInfo(name=name, size=len(contents), modified_ns=modified_ns))
        yield from found

    def delete(self, name: str) -> None:
        """Remove an object: see `Backend.delete`."""
        check_name(name)
        with self._lock:
            if self._objects.pop(name, None) is not None:
                del self._names[bisect.bisect_left(self._names, name)]

    def _find(self, name: str) -> tuple[bytes, int]:
        check_name(name)
        try:
            return self._objects[name]  # one step: no lock needed
        except KeyError:
            raise ObjectNotFoundError(f"object {name}: not found in memory") from None
