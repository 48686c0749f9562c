"""What a backend is: a flat space of named, write-once objects.

Names are ASCII, ``/``-separated, relative, made by `vaultd.vault.layout`. Five methods and no more;
retry, throttling and faults are wrappers with the same five (`vaultd.backends.wrappers`).
Every method is safe to call from several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from vaultd.backends.versions import Versions


class ObjectInfo(Struct, frozen=True, kw_only=True):
    """One object as a backend lists it.

    Attributes:
        name: The full name.
        size: Bytes stored.
        modified_ns: When the backend says it was written, in its own clock; coarse.
    """

    name: str
    size: int
    modified_ns: int


class Spooled(Struct, frozen=True, kw_only=True):
    """An object's bytes in an open file, from offset 0 to ``size``.

    The descriptor belongs to the caller, who closes it after `Backend.put` has returned or raised.
    It may be shared by several attempts: a backend reads it with ``pread`` and never moves its
    offset. When the file was made by `Backend.spool`, a backend may adopt it instead of copying.
    """

    fd: int
    size: int


Body = bytes | Spooled


class Backend(Protocol):
    """A place where objects lie."""

    @property
    def location(self) -> str:
        """The place for people: a path or a URL without secrets."""

    @property
    def spool(self) -> Path | None:
        """Folder where a caller should make big bodies (unnamed files), or ``None``: anywhere."""

    @property
    def read_ahead_bytes(self) -> int:
        """How much to read at once where more may be wanted; 0: a request costs next to nothing."""

    @property
    def versions(self) -> Versions | None:
        """Older versions of objects, and locks; ``None``: it has none of that."""

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        """Create an object; durable when this returns; never replaces.

        Args:
            name: The object's name.
            body: The bytes; at most 64 MiB.
            sha256: SHA-256 of the bytes when the caller knows it, so that it is not computed twice;
                sent to the server where it can check it.

        Raises:
            ObjectExistsError: The name is taken (by whatever bytes).
            NoSpaceError: No room; nothing was created.
            AccessDeniedError: The right to create is missing.
            StorageUnavailableError: No answer; the object may or may not exist now.
        """

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return an object's bytes, or ``length`` bytes from ``offset``.

        Fewer bytes than asked for are an error, not a result, unless the object ends there.

        Raises:
            ObjectNotFoundError: There is no such object.
            StorageError: It could not be read.
        """

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object without reading it.

        Raises:
            ObjectNotFoundError: There is no such object.
        """

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects whose names start with ``prefix``, each once, ascending by name."""

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is fine.

        Raises:
            AccessDeniedError: The right is missing, or the object is locked.
        """
