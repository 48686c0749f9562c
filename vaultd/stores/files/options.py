"""What a capture of files leaves out and takes along."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

_SCHEME = "files-capture/1"
_NOT_IN_RESULT = frozenset({"hostname", "warn_live_databases"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """Options of a `FilesCapture`.

    Attributes:
        hostname: Name of this machine, recorded in the snapshot.
        exclude: Patterns (see `vaultd.stores.files.exclude`), later ones win.
        iexclude: The same without regard to case; they come after ``exclude``.
        exclude_if_present: Names; of a directory that holds one of them only that entry is kept.
        exclude_caches: The same for directories with a ``CACHEDIR.TAG`` that has the signature.
        exclude_larger_than_bytes: Leave out regular files that are larger; 0 means no limit.
        exclude_nodump: Leave out files and directories with the ``nodump`` flag (``chattr +d``);
            costs one more open per entry.
        one_file_system: Do not enter mount points below a root; they stay as empty directories.
        xattrs: Take extended attributes, POSIX ACLs included.
        flags: Take inode flags (``chattr``).
        warn_live_databases: Report database files that may be in use.
    """

    hostname: str = ""
    exclude: tuple[str, ...] = ()
    iexclude: tuple[str, ...] = ()
    exclude_if_present: tuple[str, ...] = ()
    exclude_caches: bool = False
    exclude_larger_than_bytes: int = 0
    exclude_nodump: bool = False
    one_file_system: bool = False
    xattrs: bool = True
    flags: bool = True
    warn_live_databases: bool = True

    def fingerprint(self) -> bytes:
        """Return 32 bytes that differ whenever other options could give another snapshot."""
        lines = [_SCHEME]
        names = [field.name for field in fields(self) if field.name not in _NOT_IN_RESULT]
        lines += [f"{name}={getattr(self, name)!r}" for name in names]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).digest()
