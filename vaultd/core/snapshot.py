"""What the rest of vaultd knows about one snapshot, whoever wrote or read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a snapshot re-reads and what it may depend on (FORMAT.md 9)."""

    FULL = "full"
    DIFFERENTIAL = "differential"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SessionId:
    """One numbered run of one host."""

    host: str
    seq: int

    def __str__(self) -> str:
        """Return ``host/0000000001``, the form used in object names."""
        return f"{self.host}/{self.seq:010d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a snapshot holds and what it cost.

    Attributes:
        files: Regular files.
        directories: Directories.
        others: Links, devices, fifos, sockets.
        data: Bytes of file contents (sparse holes not counted).
        files_new: Files not in the base.
        files_changed: Files in the base with other contents or metadata.
        files_read: Files whose contents were read.
        data_added: Bytes of new chunks, before compression.
        stored_added: Bytes put into the backend by this session.
        problems: Entries that are missing or flagged; not 0 means incomplete.
    """

    files: int = 0
    directories: int = 0
    others: int = 0
    data: int = 0
    files_new: int = 0
    files_changed: int = 0
    files_read: int = 0
    data_added: int = 0
    stored_added: int = 0
    problems: int = 0
