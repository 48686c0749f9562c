"""What a restored tree must be, as JSON that every later version can still read."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

Facts = dict[str, list[object]]


def facts_of(top: Path) -> Facts:
    """Return path to type, mode, time, and contents of all that lies below a folder.

    Owners are left out: only root can restore them. Paths are text with escaped bytes; the names of
    one file are told apart from copies by the first of them.
    """
    found: Facts = {}
    first: dict[int, str] = {}
    for folder, _, _ in sorted(os.walk(os.fsencode(top))):
        for name in [b"", *sorted(os.listdir(folder))]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if name and stat.S_ISDIR(status.st_mode):
                continue
            key = os.fsdecode(os.path.relpath(path, os.fsencode(top)))
            same = first.setdefault(status.st_ino, key)
            kind = stat.filemode(status.st_mode)
            found[key] = [kind, status.st_mtime_ns, _contents(path, status), same, _xattrs(path)]
    return found


def _contents(path: bytes, status: os.stat_result) -> object:
    if stat.S_ISLNK(status.st_mode):
        return os.fsdecode(os.readlink(path))
    if not stat.S_ISREG(status.st_mode):
        return None
    with open(path, "rb") as stream:
        return [status.st_size, hashlib.sha256(stream.read()).hexdigest()]


def _xattrs(path: bytes) -> dict[str, str]:
    names = [name for name in os.listxattr(path, follow_symlinks=False) if name.startswith("user.")]
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in sorted(names)}
