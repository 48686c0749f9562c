"""Putting a file tree back: the restore half of the files store.

Nothing that a snapshot says, and nothing that lies in the target already, makes a restore write
outside of the target: see `safewalk`.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from vaultd.core.entry import Entry
from vaultd.core.errors import TargetError, TargetNotEmptyError
from vaultd.core.events import Observer, ProblemKind
from vaultd.core.tree import path_key
from vaultd.stores.files.folder import Expected, Folder
from vaultd.stores.files.options import TargetOptions
from vaultd.stores.files.overwrite import Decision, Judge, owners_of
from vaultd.stores.files.place import Place
from vaultd.stores.files.pool import DescriptorPool
from vaultd.stores.files.problems import words_of
from vaultd.stores.files.safewalk import PART_PREFIX, open_beneath, safe_parts
from vaultd.stores.files.site import Site, Tally


class Room(Struct, frozen=True, kw_only=True):
    """What is left on the file system of a target.

    Attributes:
        free_bytes: Bytes that this process may still write.
        free_files: Files that may still be made; -1 where that is not limited.
    """

    free_bytes: int
    free_files: int


class FilesTarget:
    """A directory into which entries of a snapshot are restored; a context manager.

    One thread walks the snapshot in its order: `folder` for each listing, and on it
    `Folder.add` and `Folder.begin_file` for its entries. Other threads may write the files that
    were begun. `finish` ends the restore; leaving without it gives up what is unfinished.

    Args:
        root: The target; made when it is not there.
        options: How to restore.
        observer: Hears of everything that could not be restored, from several threads.

    Raises:
        ConfigError: An owner map names a user or group that is not known here.
        TargetError: The target cannot be made or opened.
        TargetNotEmptyError: It holds something and ``options.overwrite`` is ``None``.
    """

    def __init__(self, root: Path, options: TargetOptions, observer: Observer) -> None:
        fd = _open_root(root)
        place = Place(b"", b"", None, None)
        place.refs = 1
        status = os.fstat(fd)
        place.identity = (status.st_dev, status.st_ino)
        self._pool = DescriptorPool()
        self._pool.adopt(place, fd)
        self._pool.acquire(place)
        self._trail: list[Place] = []
        self._expected: Expected = []
        try:
            place.fresh = _is_empty(root, fd, options)
            self._site = Site(place, self._pool, options, observer)
        except BaseException:
            self._pool.close_all()
            raise

    def __enter__(self) -> Self:
        """Return the target itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give up files that are not finished, and close everything."""
        for pending in list(self._site.unfinished):
            pending.discard()
        self._pool.close_all()

    @property
    def tally(self) -> Tally:
        """What was done so far, as a copy."""
        with self._site.lock:
            return replace(self._site.tally)

    def room(self) -> Room:
        """Return how much space and how many files are left."""
        found = os.fstatvfs(self._site.root.fd)
        files = found.f_favail if found.f_files else -1
        return Room(free_bytes=found.f_bavail * found.f_frsize, free_files=files)

    def folder(self, path: bytes) -> Folder | None:
        """Open a directory of the target for new entries, made when it is not there.

        Args:
            path: Path below the top; paths come in walking order, the same one may come again.

        Returns:
            ``None`` when it, or one above it, cannot be made (which was reported): everything
            below it is to be left out.

        Raises:
            NoSpaceError: The target is full.
            TargetError: The target is read-only.
        """
        parts = safe_parts(path)
        if parts is None:
            self._site.found(ProblemKind.DAMAGED, path, "the path is not allowed")
            return None
        self._advance(path)
        if not self._trail or self._trail[-1].path != path:
            self._hold_way(parts)
        place = self._trail[-1]
        return Folder(self._site, place, self._expected) if self._site.enter(place) else None

    def finish(self) -> Tally:
        """End the restore: metadata of the directories, late flags, summaries.

        Files that are not finished are given up without a word.

        Returns:
            What was done.

        Raises:
            NoSpaceError: The target is full.
            TargetError: The target is read-only.
        """
        for pending in list(self._site.unfinished):
            pending.discard()
        while self._trail:
            self._site.let_go(self._trail.pop())
        while self._expected:
            self._site.let_go(heapq.heappop(self._expected)[1])
        self._site.end()
        return self.tally

    def _advance(self, path: bytes) -> None:
        """Leave the directories that the walk has passed."""
        while self._trail and not _is_within(path, self._trail[-1].path):
            self._site.let_go(self._trail.pop())
        key = path_key(path)
        while self._expected and self._expected[0][0] <= key:
            place = heapq.heappop(self._expected)[1]
            if _is_within(path, place.path):
                self._trail.append(place)
            else:
                self._site.let_go(place)

    def _hold_way(self, parts: list[bytes]) -> None:
        """Hold the places on the way to a path that nothing announced, and its own."""
        site = self._site
        held = {place.path for place in self._trail}
        with site.lock:
            place = site.root
            for depth in range(len(parts) + 1):
                path = b"/".join(parts[:depth])
                below = site.places.get(path)
                if below is None:
                    below = site.places[path] = Place(path, parts[depth - 1], place, None)
                    place.refs += 1
                place = below
                if path not in held:
                    place.refs += 1
                    self._trail.append(place)


class Preview:
    """Says what a restore into a directory would do, without doing it; a context manager.

    Args:
        root: The target; need not be there.
        options: How it would be restored.

    Raises:
        ConfigError: An owner map names a user or group that is not known here.
        TargetError: The target is there and cannot be opened.
    """

    def __init__(self, root: Path, options: TargetOptions) -> None:
        self._judge = Judge(options, owners_of(options), os.geteuid() == 0)
        self._root = _open_existing(root)
        self._path: bytes | None = None
        self._fd = -1

    def __enter__(self) -> Self:
        """Return the preview itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what is open."""
        self._turn_to(None)
        if self._root >= 0:
            os.close(self._root)

    def decide(self, entry: Entry) -> Decision:
        """Tell what would be done about an entry; best asked directory by directory."""
        if entry.path != self._path:
            self._turn_to(entry.path)
        if self._fd < 0:
            return Decision.CREATE
        try:
            there = os.stat(entry.name, dir_fd=self._fd, follow_symlinks=False)
        except (OSError, ValueError):
            return Decision.CREATE
        return self._judge.decide(entry, there)

    def surplus(self, path: bytes, names: Collection[bytes]) -> list[bytes]:
        """Return what a directory holds beyond the names that a snapshot has for it."""
        if path != self._path:
            self._turn_to(path)
        if self._fd < 0:
            return []
        there = {os.fsencode(name) for name in os.listdir(self._fd)}
        return sorted(name for name in there - set(names) if not name.startswith(PART_PREFIX))

    def _turn_to(self, path: bytes | None) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._path = path
        parts = safe_parts(path) if path is not None else None
        if parts is not None and self._root >= 0:
            try:
                self._fd = open_beneath(self._root, parts)
            except OSError:
                self._fd = -1


def _is_within(path: bytes, above: bytes) -> bool:
    return not above or path == above or path.startswith(above + b"/")


def _open_root(root: Path) -> int:
    try:
        root.mkdir(parents=True, exist_ok=True)
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TargetError(
            f"restore target {root} cannot be used: {words_of(error)}",
            hint="Choose a directory that can be written.",
        ) from error


def _open_existing(root: Path) -> int:
    return _open_root(root) if root.exists() else -1


def _is_empty(root: Path, fd: int, options: TargetOptions) -> bool:
    """Tell whether nothing at all is there; what a restore left unfinished is only tolerated."""
    names = os.listdir(fd)
    others = [name for name in names if not os.fsencode(name).startswith(PART_PREFIX)]
    if others and options.overwrite is None:
        raise TargetNotEmptyError(
            f"restore target {root} is not empty",
            hint="Choose an empty directory, or say with --overwrite what to do.",
        )
    return not names
