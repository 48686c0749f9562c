"""What the rest of vaultd knows about one snapshot, whoever wrote or read it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """What a snapshot re-reads and what it may depend on (FORMAT.md 9)."""

    FULL = "full"
    DIFFERENTIAL = "differential"
    INCREMENTAL = "incremental"


class SessionId(Struct, frozen=True, kw_only=True, order=True):
    """One numbered run of one host."""

    host: str
    seq: int

    def __str__(self) -> str:
        """Return ``host/0000000001``, the form used in object names."""
        return f"{self.host}/{self.seq:010d}"


class Counts(Struct, frozen=True, kw_only=True):
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


class Snapshot(Struct, frozen=True, kw_only=True):
    """One committed snapshot, as it is listed and chosen.

    Attributes:
        session: Which host's run made it.
        root_sha256: SHA-256 of its root object; its first hex digits are the id that people use.
        kind: Full, differential or incremental.
        chain: Session of the full that its chain begins with.
        base: Session of the snapshot that it was compared with; 0 for none.
        store_id: Which store, 16 bytes.
        epoch: Epoch of the keys it was sealed with.
        started_ns: When the capture began; the recovery instant.
        ended_ns: When the capture ended.
        store: Name of the store; empty when the keys at hand do not show it.
        tags: Tags, later changes included.
        hostname: The machine; empty when not shown.
        username: Who ran it; empty when not shown.
        roots: Captured paths; empty when not shown.
        counts: Numbers; all 0 when not shown.
        stored: Bytes of all packs that it needs.
        previous: Session and root hash of the snapshot of this store before it.
        log_seen: Newest log entry that its host knew.
        software: Program and version.
    """

    session: SessionId
    root_sha256: bytes
    kind: Kind
    chain: int
    base: int
    store_id: bytes
    epoch: int
    started_ns: int
    ended_ns: int
    store: str
    tags: tuple[str, ...]
    hostname: str
    username: str
    roots: tuple[bytes, ...]
    counts: Counts
    stored: int
    software: str
    previous: tuple[int, bytes] | None = None
    log_seen: int = 0

    @property
    def id(self) -> str:
        """The full id, 64 hex digits."""
        return self.root_sha256.hex()

    @property
    def short_id(self) -> str:
        """The first eight digits of the id."""
        return self.root_sha256.hex()[:8]
