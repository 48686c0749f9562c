"""One entry of a snapshot, as a restore, a listing or a comparison sees it."""

from __future__ import annotations

from msgspec import Struct, field

from vaultd.core.tree import Extra

NO_EXTRA = Extra()


class Entry(Struct):
    """One file, directory, link or special file.

    Attributes:
        path: Path of the directory that holds it, below the snapshot's top; ``b""`` is the top.
        name: Its name.
        mode: Type and permission bits, as in ``st_mode``.
        uid: Owner.
        gid: Group.
        size: Bytes of a regular file, holes included.
        mtime_ns: Modification time, nanoseconds since 1970.
        extra: What few entries have; shared and not to be changed.
    """

    path: bytes
    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    extra: Extra = field(default_factory=lambda: NO_EXTRA)

    @property
    def full_path(self) -> bytes:
        """The path of the entry itself, below the snapshot's top."""
        return self.path + b"/" + self.name if self.path else self.name
