"""What people read: paths that cannot harm a terminal, times in their own zone."""

from __future__ import annotations

import os
import re
import shlex
import stat

from vaultd.core.clock import utc
from vaultd.core.entry import Entry

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "chardev",
    stat.S_IFBLK: "dev",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\udc80-\udcff]"
)


def shown(path: bytes) -> str:
    """Return a path for a terminal: one line, nothing that could move the cursor or mislead.

    Control characters, marks that turn the direction of text and bytes that are not UTF-8 are
    written as escapes.
    """
    return plain(os.fsdecode(path))


def plain(text: str) -> str:
    """Return text from outside (a path, a tag, a host's name) for a terminal; see `shown`."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - one byte


def local(ns: int) -> str:
    """Return an instant in the local zone, to the second: ``2026-11-23 18:55:07``."""
    return utc(ns).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def zone(ns: int) -> str:
    """Return the name of the local zone at an instant: ``CET``."""
    return utc(ns).astimezone().tzname() or ""


def kind(bits: int) -> str:
    """Return the type of an entry as one word: ``file``, ``dir``, ``symlink``, ``fifo``…."""
    return _KINDS.get(stat.S_IFMT(bits), "unknown")


def long_line(entry: Entry) -> str:
    """Return an entry as `ls -l` shows it: mode, owner, group, size, time, path, link target."""
    target = f" -> {shown(entry.extra.link_target)}" if entry.extra.link_target else ""
    return (
        f"{stat.filemode(entry.mode)} {entry.uid:>5} {entry.gid:>5} {entry.size:>12} "
        f"{local(entry.mtime_ns)} {shown(b'/' + entry.full_path)}{target}"
    )


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: ``1 file``, ``1,204 files``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def quoted(text: str) -> str:
    """Return text as one word of a shell's command line, for people to copy."""
    return shlex.quote(plain(text))
