"""One directory of a restore target, as the pipeline fills it."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Callable, Collection

from vaultd.core.entry import Entry
from vaultd.core.events import ProblemKind
from vaultd.core.tree import join, path_key
from vaultd.stores.files.links import Made, made_of
from vaultd.stores.files.options import Overwrite
from vaultd.stores.files.pending import PendingFile
from vaultd.stores.files.place import Place
from vaultd.stores.files.problems import words_of
from vaultd.stores.files.safewalk import PART_PREFIX, discard, is_safe_name, remove_entry
from vaultd.stores.files.site import FILE_PREFIX, Site, part_name

Expected = list[tuple[bytes, Place]]
"""Directories that were announced and not yet asked for: a heap by walking order."""

_LOW_32 = (1 << 32) - 1


class Folder:
    """A directory that is open for new entries; used by the thread that walks the snapshot.

    It is valid until the walk has gone past everything below it. Entries come in any order.

    Args:
        site: The restore.
        place: The directory.
        expected: Where directories in it are announced.
    """

    def __init__(self, site: Site, place: Place, expected: Expected) -> None:
        self._site = site
        self._place = place
        self._expected = expected

    def begin_file(self, entry: Entry, pieces: int = 1) -> PendingFile | None:
        """Begin a regular file.

        Args:
            entry: The file.
            pieces: How many times its `PendingFile.write` will be called; 0 for a file that is
                empty or all hole, which is finished at once.

        Returns:
            ``None`` when there is nothing to write: the overwrite rule keeps what is there, the
            file gets a further name of one that this restore writes, it is finished already, or
            it cannot be restored (and was reported).

        Raises:
            NoSpaceError: The target is full.
            TargetError: The target is read-only.
        """
        if not self._is_wanted(entry):
            return None
        if entry.extra.link_group and self._is_linked(entry):
            return None
        site, place = self._site, self._place
        pending = PendingFile(site, place, entry, pieces)
        with site.lock:
            place.refs += 1
            site.unfinished.add(pending)
        if pieces:
            return pending
        pending.write(0, b"")
        return None

    def add(self, entry: Entry) -> None:
        """Add anything but a regular file.

        A directory is made when the walk reaches it or has passed it. Its metadata is set when
        everything below it is finished.

        Raises:
            NoSpaceError: The target is full.
            TargetError: The target is read-only.
        """
        if stat.S_ISDIR(entry.mode):
            self._announce(entry)
            return
        make = self._maker(entry)
        if make is None or not self._is_wanted(entry):
            return
        group = entry.extra.link_group
        if group and self._is_linked(entry):
            return
        try:
            made = self._make(entry, make)
        except (OSError, ValueError, OverflowError) as error:
            if group:
                self._site.links.failed(entry)
            self._failed(entry, error)
        else:
            self._site.count("others")
            if group:
                self._site.links.finished(entry, made)

    def surplus(self, names: Collection[bytes]) -> list[bytes]:
        """Return the names in this directory that a snapshot does not have, ascending.

        Args:
            names: All names of the snapshot's directory, those of every part of it.
        """
        if self._place.fresh:
            return []
        try:
            folder = self._site.pool.acquire(self._place)
            try:
                there = {os.fsencode(name) for name in os.listdir(folder)}
            finally:
                self._site.pool.release(self._place)
        except OSError as error:
            self._site.failed(error, self._place.path, "list the directory")
            return []
        known = set(names)
        known |= {part_name(name) for name in known}
        return sorted(name for name in there - known if not _is_reserved(name))

    def remove(self, name: bytes) -> None:
        """Remove an entry of this directory and all that is in it, never following a link.

        This, and `surplus`, may still be called when the walk has gone past the directory: it is
        then finished once more.

        Raises:
            TargetError: The target is read-only.
        """
        site = self._site
        site.hold(self._place)
        try:
            folder = site.pool.acquire(self._place)
            try:
                remove_entry(folder, name)
            finally:
                site.pool.release(self._place)
        except OSError as error:
            site.failed(error, join(self._place.path, name), "remove the entry")
        else:
            site.count("removed")
        finally:
            site.let_go(self._place)

    def _announce(self, entry: Entry) -> None:
        if not self._is_nameable(entry):
            return
        site = self._site
        path = join(self._place.path, entry.name)
        with site.lock:
            known = site.places.get(path)
            if known is not None:
                known.entry = entry
                return
            place = Place(path, entry.name, self._place, entry)
            place.refs = 1
            self._place.refs += 1
            site.places[path] = place
        heapq.heappush(self._expected, (path_key(path), place))

    def _is_nameable(self, entry: Entry) -> bool:
        if is_safe_name(entry.name):
            return True
        reason = "the name is not allowed"
        if entry.name.startswith(PART_PREFIX):
            reason = "the name is reserved for files that are being restored"
        self._site.found(ProblemKind.DAMAGED, join(self._place.path, entry.name), reason)
        return False

    def _is_wanted(self, entry: Entry) -> bool:
        if not self._is_nameable(entry):
            return False
        return self._place.fresh or self._is_replaceable(entry)

    def _is_replaceable(self, entry: Entry) -> bool:
        site = self._site
        try:
            folder = site.pool.acquire(self._place)
            try:
                there = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
            finally:
                site.pool.release(self._place)
        except FileNotFoundError:
            return True
        except OSError as error:
            site.failed(error, entry.full_path, "look at what is there")
            return False
        if site.judge.replaces(entry, there):
            return True
        if entry.extra.link_group and stat.S_ISREG(there.st_mode):
            made = made_of(there, self._place.path, entry.name)
            if site.options.overwrite is Overwrite.IF_CHANGED and not site.links.keep(entry, made):
                return True
        site.count("kept")
        return False

    def _maker(self, entry: Entry) -> Callable[[int, bytes], None] | None:
        kind = stat.S_IFMT(entry.mode)
        if kind == stat.S_IFLNK:
            target = entry.extra.link_target
            return lambda folder, name: os.symlink(target, name, dir_fd=folder)
        device = 0
        if kind in {stat.S_IFCHR, stat.S_IFBLK}:
            if not self._site.options.allow_devices:
                why = "not asked for"
                self._site.shortfalls.add("device files", why, entry.full_path)
                return None
            device = _device(entry.extra.rdev)
        elif kind not in {stat.S_IFIFO, stat.S_IFSOCK}:
            reason = f"entries of type {kind:o} are not known"
            self._site.found(ProblemKind.UNSUPPORTED, entry.full_path, reason)
            return None
        return lambda folder, name: os.mknod(name, kind | 0o600, device, dir_fd=folder)

    def _make(self, entry: Entry, make: Callable[[int, bytes], None]) -> Made:
        site, part = self._site, part_name(entry.name)
        folder = site.pool.acquire(self._place)
        try:
            try:
                make(folder, part)
            except FileExistsError:
                os.unlink(part, dir_fd=folder)
                make(folder, part)
            try:
                site.metadata.on_unopened(folder, part, entry)
                status = os.stat(part, dir_fd=folder, follow_symlinks=False)
                site.into_place(folder, part, entry.name)
            except OSError:
                discard(folder, part)
                raise
        finally:
            site.pool.release(self._place)
        return made_of(status, self._place.path, entry.name)

    def _is_linked(self, entry: Entry) -> bool:
        """Make an entry a further name of another one, now or later, if it is not the first."""
        site, place = self._site, self._place
        made = site.links.join(place, entry)
        if isinstance(made, Made):
            site.link(made, place, entry)
            return True
        if made:
            site.hold(place)
        return made

    def _failed(self, entry: Entry, error: OSError | ValueError | OverflowError) -> None:
        device = stat.S_IFMT(entry.mode) in {stat.S_IFCHR, stat.S_IFBLK}
        if device and isinstance(error, PermissionError):
            self._site.shortfalls.add("device files", words_of(error), entry.full_path)
        elif isinstance(error, OSError):
            self._site.failed(error, entry.full_path, "make the entry")
        else:  # a NUL in a link target, a device number that no system knows
            self._site.found(
                ProblemKind.DAMAGED, entry.full_path, f"cannot make the entry: {error}"
            )


def _is_reserved(name: bytes) -> bool:
    return name.startswith(PART_PREFIX) and not name.startswith(FILE_PREFIX)


def _device(rdev: int) -> int:
    return os.makedev(rdev >> 32 & _LOW_32, rdev & _LOW_32)
