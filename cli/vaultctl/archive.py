"""Contents of a snapshot as bytes: one file, or a directory as a tar archive (PAX, streamed)."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from vaultctl import tar
from vaultctl.text import kind, shown
from vaultd.core.entry import Entry
from vaultd.core.errors import ConfigError, ObjectNotFoundError
from vaultd.core.tree import is_directory, is_regular
from vaultd.pipeline.browse import Stored, read_file, walk
from vaultd.vault.reader import SnapshotReader

_MAJOR_SHIFT, _MINOR_MASK = 32, 0xFFFFFFFF

_FORMS = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFDIR: tar.FOLDER,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}


class Dumped(Struct, frozen=True, kw_only=True):
    """What was written.

    Attributes:
        entries: How many entries.
        data: Bytes of contents.
        archive: It is a tar archive.
    """

    entries: int
    data: int
    archive: bool


def dump(
    reader: SnapshotReader,
    path: bytes,
    stream: BinaryIO,
    warn: Callable[[str], None],
    *,
    terminal: bool = False,
) -> Dumped:
    """Write a file's contents, or a directory as an archive of what is in it.

    Args:
        reader: The snapshot.
        path: Path below its top; ``b""`` is all of it.
        stream: Takes the bytes; is not asked for its position.
        warn: Hears of entries that an archive cannot hold.
        terminal: The bytes are shown to a person, so an archive makes no sense.

    Raises:
        ObjectNotFoundError: The snapshot holds no such path.
        ConfigError: It is neither a file nor a directory, or an archive makes no sense.
        CorruptObjectError: Contents are damaged; what was written so far is incomplete.
    """
    entries = walk(reader, path)
    first = next(entries, None) if path else None
    if path and first is None:
        raise ObjectNotFoundError(
            f"snapshot {reader.snapshot.short_id}: holds no {shown(b'/' + path)}",
            hint="Search for it with `vaultctl find`; paths begin at the root, as in :/etc/hosts.",
        )
    if first is None or is_directory(first.entry.mode):
        if terminal:
            raise ConfigError(
                "a tar archive on a terminal helps nobody",
                hint="Send it somewhere with > FILE or -o FILE.",
            )
        return _archive(reader, entries, path, stream, warn)
    if not is_regular(first.entry.mode):
        target = first.entry.extra.link_target
        raise ConfigError(
            f"{shown(b'/' + path)}: is a {kind(first.entry.mode)}, which has no contents",
            hint=f"It leads to {shown(target)}: name that." if target else None,
        )
    stream.writelines(read_file(reader, first))
    return Dumped(entries=1, data=first.entry.size, archive=False)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for its owner only; it has its name once everything is in it.

    Raises:
        ConfigError: There is a file of that name.
    """
    if path.exists():
        raise ConfigError(
            f"{shown(os.fsencode(path))}: there is such a file already",
            hint="Remove it first, or give another name.",
        )
    beside = path.with_name(f".{path.name}.part")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as stream:
            yield stream
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _archive(
    reader: SnapshotReader,
    entries: Iterator[Stored],
    top: bytes,
    stream: BinaryIO,
    warn: Callable[[str], None],
) -> Dumped:
    archive = _Archive(reader, top, stream)
    count = data = 0
    for stored in entries:
        if stored.entry.full_path == top:
            continue
        if not archive.add(stored):
            name = shown(b"/" + stored.entry.full_path)
            warn(f"{name}: a {kind(stored.entry.mode)}, left out: tar cannot hold it")
            continue
        count += 1
        data += stored.entry.size if is_regular(stored.entry.mode) else 0
    archive.close()
    return Dumped(entries=count, data=data, archive=True)


def _without_holes(
    pieces: Iterator[bytes | memoryview], segments: tuple[tuple[int, int], ...]
) -> Iterator[memoryview]:
    """Yield only the data of a file that is read from its beginning to its end."""
    left = deque(segments)
    at = 0
    for piece in pieces:
        view, end = memoryview(piece), at + len(piece)
        while left and left[0][0] < end:
            start, stop = left[0][0], sum(left[0])
            yield view[max(start - at, 0) : min(stop, end) - at]
            if stop > end:
                break
            left.popleft()
        at = end


class _Archive:
    """Writes entries one after the other; names are relative to the directory asked for."""

    def __init__(self, reader: SnapshotReader, top: bytes, stream: BinaryIO) -> None:
        self._reader = reader
        self._skip = len(top) + 1 if top else 0
        self._stream = stream
        self._links: dict[bytes, bytes] = {}
        self._written = 0

    def add(self, stored: Stored) -> bool:
        """Write one entry; tell whether an archive can hold it."""
        entry = stored.entry
        form = _FORMS.get(stat.S_IFMT(entry.mode))
        if form is None:
            return False
        member = self._member(entry, form)
        group = entry.extra.link_group
        if form == tar.FILE and group:
            first = self._links.setdefault(group, member.name)
            if first != member.name:
                self._put(replace(member, form=tar.LINK, target=first).header())
                return True
        if form != tar.FILE:
            self._put(member.header())
        elif entry.extra.segments is None:
            member = replace(member, size=entry.size)
            self._put_file(member, read_file(self._reader, stored))
        else:
            segments = entry.extra.segments
            member, table = tar.sparse(replace(member, size=entry.size), segments)
            data = _without_holes(read_file(self._reader, stored), segments)
            self._put_file(member, chain([table], data))
        return True

    def close(self) -> None:
        """Write the end of the archive."""
        self._put(tar.end(self._written))

    def _member(self, entry: Entry, form: bytes) -> tar.Member:
        meta, extra = self._reader.meta, entry.extra
        name = entry.full_path[self._skip :]
        return tar.Member(
            name=name + b"/" if form == tar.FOLDER else name,
            form=form,
            mode=stat.S_IMODE(entry.mode),
            uid=entry.uid,
            gid=entry.gid,
            uname=meta.users.get(entry.uid, "").encode(),
            gname=meta.groups.get(entry.gid, "").encode(),
            mtime_ns=entry.mtime_ns,
            target=extra.link_target,
            device=(extra.rdev >> _MAJOR_SHIFT, extra.rdev & _MINOR_MASK),
            records={b"SCHILY.xattr." + key: value for key, value in extra.xattrs},
        )

    def _put_file(self, member: tar.Member, pieces: Iterable[bytes | memoryview]) -> None:
        self._put(member.header())
        for piece in pieces:
            self._put(piece)
        self._put(tar.padding(member.size))

    def _put(self, data: bytes | memoryview) -> None:
        self._stream.write(data)
        self._written += len(data)
