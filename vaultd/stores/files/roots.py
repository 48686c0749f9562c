"""From the roots that were asked for to the way there.

A snapshot's top is ``/`` and no entry in it lies beyond a symbolic link. A root whose path goes
through links therefore brings along each link on the way, as an entry, and is itself captured
where it really lies; so restoring everything gives back the path that was asked for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from vaultd.core.errors import SourceUnreadableError
from vaultd.stores.files.problems import words_of

_MAX_LINKS = 40  # as the kernel's own limit


class Way(Struct):
    """A directory on the way to roots, or a root.

    Attributes:
        whole: This is a root: everything in it is captured.
        below: What lies on the way below it, by name; empty for a root.
    """

    whole: bool = False
    below: dict[bytes, Way] = field(default_factory=dict)

    def add(self, parts: Sequence[bytes]) -> None:
        """Add a root by the components of its path; within another it changes nothing."""
        node = self
        for part in parts:
            if node.whole:
                return
            node = node.below.setdefault(part, Way())
        node.whole = True
        node.below.clear()

    def ends(self, path: bytes = b"") -> Iterator[bytes]:
        """Yield the path of every root, ascending, without leading slash."""
        if self.whole:
            yield path
        for name in sorted(self.below):
            yield from self.below[name].ends(path + b"/" + name if path else name)


def plan_way(roots: Sequence[bytes]) -> tuple[Way, tuple[bytes, ...]]:
    """Find out where roots really lie.

    Args:
        roots: Absolute paths.

    Returns:
        The way from ``/`` to all of them, links included; and the absolute real paths of the
        roots themselves, ascending, those within others left out.

    Raises:
        SourceUnreadableError: A root is missing, not absolute, or cannot be opened for reading.
    """
    way, real = Way(), Way()
    for root in roots:
        parts = _real_parts(root, way)
        _demand_readable(root, b"/" + b"/".join(parts))
        way.add(parts)
        real.add(parts)
    return way, tuple(b"/" + path for path in real.ends())


def unreadable(root: bytes, why: str) -> SourceUnreadableError:
    """Return the error for a root that cannot be captured."""
    return SourceUnreadableError(
        f"root {os.fsdecode(root)} cannot be read: {why}",
        hint="Check that the path exists, is mounted, and may be read by vaultd.",
    )


def _real_parts(root: bytes, way: Way) -> list[bytes]:
    if not root.startswith(b"/") or b"\0" in root:
        raise unreadable(root, "not an absolute path")
    ahead = _parts(root)[::-1]
    here: list[bytes] = []
    links = 0
    while ahead:
        part = ahead.pop()
        if part == b"..":
            del here[-1:]
            continue
        path = b"/" + b"/".join([*here, part])
        target = _target_of(root, path)
        if target is None:
            here.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise unreadable(root, "too many symbolic links")
        way.add([*here, part])
        if target.startswith(b"/"):
            here.clear()
        ahead += _parts(target)[::-1]
    return here


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in {b"", b"."}]


def _target_of(root: bytes, path: bytes) -> bytes | None:
    try:
        return os.readlink(path) if stat.S_ISLNK(os.lstat(path).st_mode) else None
    except OSError as error:
        raise unreadable(root, f"{words_of(error)}: {os.fsdecode(path)}") from error


def _demand_readable(root: bytes, path: bytes) -> None:
    try:
        if stat.S_IFMT(os.lstat(path).st_mode) in {stat.S_IFREG, stat.S_IFDIR}:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError as error:
        raise unreadable(root, words_of(error)) from error
