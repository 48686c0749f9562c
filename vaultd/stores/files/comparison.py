"""Comparing a directory with what a snapshot says must be in it: a target that only reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from vaultd.core.entry import Entry
from vaultd.core.events import Found, Observer, Problem, ProblemKind
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.stores.files.problems import words_of
from vaultd.stores.files.safewalk import open_beneath, safe_parts

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FilesComparison:
    """Takes the same calls as `FilesTarget` and reports what is not as it should be.

    Entries that the overwrite rule may have kept on purpose are compared only where the rule says
    that they are the snapshot's.

    Args:
        root: The directory.
        options: As it was restored.
        observer: Hears of every difference, from several threads.
    """

    def __init__(self, root: Path, options: TargetOptions, observer: Observer) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.keeps_others = options.overwrite in {Overwrite.NEVER, Overwrite.IF_NEWER}
        self._observer = observer

    def __enter__(self) -> Self:
        """Return the comparison itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the directory."""
        os.close(self._root)

    def folder(self, path: bytes) -> ComparedFolder | None:
        """Open a directory below it; ``None`` when it is not there (which was reported)."""
        parts = safe_parts(path)
        try:
            if parts is None:
                raise NotADirectoryError(20, "not allowed")
            return ComparedFolder(self, path, open_beneath(self._root, parts))
        except OSError as error:
            self.differs(path, f"directory cannot be opened: {words_of(error)}")
            return None

    def finish(self) -> None:
        """End the comparison."""

    def differs(self, path: bytes, reason: str, kind: ProblemKind = ProblemKind.DAMAGED) -> None:
        """Report one difference."""
        self._observer(Found(problem=Problem(kind=kind, path=path, reason=reason)))


class ComparedFolder:
    """One directory of a comparison; closes itself when it is let go.

    Args:
        comparison: Where differences go.
        path: Below the root.
        fd: Its descriptor, owned from here on.
    """

    def __init__(self, comparison: FilesComparison, path: bytes, fd: int) -> None:
        self._comparison = comparison
        self._path = path
        self._fd = fd

    def __del__(self) -> None:
        """Close the directory."""
        os.close(self._fd)

    def begin_file(self, entry: Entry, pieces: int = 1) -> ComparedFile | None:
        """Compare a file's metadata now; its contents are compared piece by piece."""
        there = self._look(entry)
        if there is None:
            return None
        if stat.S_ISREG(there.st_mode) and there.st_size != entry.size:
            self._comparison.differs(
                entry.full_path, f"has {there.st_size} bytes, expected {entry.size}"
            )
            return None
        try:
            fd = os.open(entry.name, _READ, dir_fd=self._fd)
        except OSError as error:
            self._comparison.differs(entry.full_path, f"cannot be read: {words_of(error)}")
            return None
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return ComparedFile(self._comparison, entry, fd) if pieces else None

    def add(self, entry: Entry) -> None:
        """Compare anything but a regular file."""
        there = self._look(entry)
        if there is None or not stat.S_ISLNK(entry.mode):
            return
        found = os.readlink(entry.name, dir_fd=self._fd)
        if found != entry.extra.link_target:
            self._comparison.differs(entry.full_path, "link points elsewhere")

    def surplus(self, names: Collection[bytes]) -> list[bytes]:  # noqa: ARG002 - the protocol's
        """Return nothing: what else is there is not compared."""
        return []

    def remove(self, name: bytes) -> None:
        """Do nothing: a comparison only reads."""

    def _look(self, entry: Entry) -> os.stat_result | None:
        try:
            there = os.stat(entry.name, dir_fd=self._fd, follow_symlinks=False)
        except OSError as error:
            self._comparison.differs(entry.full_path, f"is not there: {words_of(error)}")
            return None
        if stat.S_IFMT(there.st_mode) != stat.S_IFMT(entry.mode):
            if not self._comparison.keeps_others:
                self._comparison.differs(entry.full_path, "is of another type")
            return None
        is_timed = stat.S_ISREG(there.st_mode) or stat.S_ISDIR(there.st_mode)
        if is_timed and there.st_mtime_ns != entry.mtime_ns:
            if not self._comparison.keeps_others:
                self._comparison.differs(
                    entry.full_path, "has another modification time", ProblemKind.METADATA
                )
            return None
        return there


class ComparedFile:
    """A file whose pieces are compared, from several threads.

    Args:
        comparison: Where differences go.
        entry: The file.
        fd: Its descriptor, owned from here on.
    """

    __slots__ = ("_comparison", "_entry", "_fd", "_is_reported")

    def __init__(self, comparison: FilesComparison, entry: Entry, fd: int) -> None:
        self._comparison = comparison
        self._entry = entry
        self._fd = fd
        self._is_reported = False

    def __del__(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def write(self, offset: int, piece: bytes | bytearray | memoryview) -> None:
        """Compare one piece."""
        found = os.pread(self._fd, len(piece), offset)
        if found != bytes(piece):
            self.abandon(ProblemKind.DAMAGED, f"differs from the vault at or after byte {offset}")

    def abandon(self, kind: ProblemKind, reason: str) -> None:
        """Report a difference, once for each file."""
        if not self._is_reported:
            self._is_reported = True
            self._comparison.differs(self._entry.full_path, reason, kind)
