"""What a capture of files leaves out, and how a restore deals with what it finds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from vaultd.stores.files.owners import OwnerRule

_SCHEME = "files-capture/1"
_NOT_IN_RESULT = frozenset({"hostname", "warn_live_databases"})


class CaptureOptions(Struct, frozen=True, kw_only=True):
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
        names = [name for name in self.__struct_fields__ if name not in _NOT_IN_RESULT]
        lines += [f"{name}={getattr(self, name)!r}" for name in names]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).digest()


class Overwrite(StrEnum):
    """What happens to an entry that is there already.

    ``if-changed`` keeps a file whose type, size, modification time, mode and (where owners are
    restored) owner are those of the snapshot; ``if-newer`` keeps it unless the snapshot's
    modification time is later. Directories are entered in any case; ``never`` leaves the
    metadata of those that were there.
    """

    ALWAYS = "always"
    IF_CHANGED = "if-changed"
    IF_NEWER = "if-newer"
    NEVER = "never"


class TargetOptions(Struct, frozen=True, kw_only=True):
    """Options of a `FilesTarget`.

    Attributes:
        overwrite: What to do with what is there; ``None`` demands an empty target.
        delete: Directories that are not empty may be removed where something else must go.
        owner: Where owners come from.
        users: Names of the snapshot's users, by number.
        groups: Names of its groups, by number.
        user_map: From a name or decimal id of the snapshot to a local one.
        group_map: The same for groups.
        allow_suid: Put back set-id bits and file capabilities where the owner is right; sensible
            for root, who restores systems.
        allow_devices: Make device files.
        sparse: Leave holes for blocks of zeros, besides the holes that the snapshot records.
    """

    overwrite: Overwrite | None = None
    delete: bool = False
    owner: OwnerRule = OwnerRule.IDS
    users: Mapping[int, str] = field(default_factory=dict)
    groups: Mapping[int, str] = field(default_factory=dict)
    user_map: Mapping[str, str] = field(default_factory=dict)
    group_map: Mapping[str, str] = field(default_factory=dict)
    allow_suid: bool = False
    allow_devices: bool = False
    sparse: bool = False
