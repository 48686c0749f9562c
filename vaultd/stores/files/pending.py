"""A regular file that is being restored: mostly under a passing name, finished exactly once."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from vaultd.core.entry import Entry
from vaultd.core.events import ProblemKind
from vaultd.stores.files.links import Made, made_of
from vaultd.stores.files.place import Place
from vaultd.stores.files.safewalk import discard, is_same
from vaultd.stores.files.site import Site, part_name

Piece = bytes | bytearray | memoryview

_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REOPEN = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK_BYTES = 4096


class PendingFile:
    """A file whose contents arrive in pieces, from several threads, in any order.

    The thread that writes the last piece finishes the file. A file that fails is removed and
    reported once; further pieces of it are ignored. What happens once per small file is kept
    short on purpose: a restore of many small files spends its time here.

    Args:
        site: The restore.
        place: Its directory, held for it.
        entry: What it shall be like.
        pieces: How many times `write` will be called.

    Attributes:
        entry: As given.
        fd: Descriptor of a file of several pieces; belongs to the pool.
        pins: Uses of the descriptor now; belongs to the pool.
    """

    __slots__ = (
        "_busy",
        "_identity",
        "_left",
        "_made",
        "_open",
        "_part",
        "_place",
        "_site",
        "_whole",
        "entry",
        "fd",
        "pins",
    )

    def __init__(self, site: Site, place: Place, entry: Entry, pieces: int) -> None:
        self.entry = entry
        self.fd = -1
        self.pins = 0
        self._site = site
        self._place = place
        self._whole = pieces <= 1
        # What comes in one piece, into a directory that this restore made, replaces nothing and
        # is complete at once: the way over another name would be a quarter of its cost.
        self._part = entry.name if self._whole and place.fresh else part_name(entry.name)
        self._left = pieces
        self._busy = 0
        self._open = True
        self._identity: tuple[int, int] | None = None
        self._made: Made | None = None

    def write(self, offset: int, piece: Piece) -> None:
        """Write one of the pieces.

        Args:
            offset: Where it goes in the file.
            piece: Its bytes; may be reused when this returns.

        Raises:
            NoSpaceError: The target is full.
            TargetError: The target is read-only.
        """
        site = self._site
        with site.lock:
            if not self._open:
                return
            self._busy += 1
        failed = True
        try:
            end = offset + len(piece)
            if offset < 0 or end > self.entry.size:
                reason = f"a piece ends at byte {end}, the file at {self.entry.size}"
                site.found(ProblemKind.DAMAGED, self.entry.full_path, reason)
            else:
                if self._whole:
                    self._write_whole(offset, piece)
                else:
                    self._write_piece(offset, piece)
                failed = False
        except OSError as error:
            site.failed(error, self.entry.full_path, "write the file")
        finally:
            self._leave(failed=failed)

    def abandon(self, kind: ProblemKind, reason: str) -> None:
        """Give the file up: remove what was written, report why, ignore what still comes.

        Args:
            kind: What is wrong.
            reason: Lower-case sentence without final stop.
        """
        if self.discard():
            self._site.found(kind, self.entry.full_path, reason)

    def discard(self) -> bool:
        """Give the file up without a report; tell whether it was still unfinished."""
        with self._site.lock:
            if not self._open:
                return False
            self._open = False
            idle = self._busy == 0
            if idle:
                self._site.unfinished.discard(self)
        if idle:
            self._clean_up()
        return True

    def open_again(self) -> int:
        """Make the file, or open it once more; the pool asks for this under its lock.

        Raises:
            OSError: It cannot be made, or was replaced.
        """
        pool = self._site.pool
        folder = pool.acquire(self._place)
        try:
            if self._identity is None:
                return self._make_long(folder)
            fd = os.open(self._part, _REOPEN, dir_fd=folder)
        finally:
            pool.release(self._place)
        if not is_same(fd, self._identity):
            os.close(fd)
            raise OSError(errno.ESTALE, "replaced")
        return fd

    def _make_long(self, folder: int) -> int:
        fd = self._make(folder)
        status = os.fstat(fd)
        self._identity = (status.st_dev, status.st_ino)
        os.ftruncate(fd, self.entry.size)
        return fd

    def _make(self, folder: int) -> int:
        try:
            fd = os.open(self._part, _MAKE, 0o600, dir_fd=folder)
        except FileExistsError:
            self._part = part_name(self.entry.name)
            discard(folder, self._part)
            fd = os.open(self._part, _MAKE, 0o600, dir_fd=folder)
        if self.entry.extra.flags:
            self._site.metadata.set_flags(fd, self.entry, early=True)
        return fd

    def _write_whole(self, offset: int, piece: Piece) -> None:
        pool, place = self._site.pool, self._place
        sparse = self._site.options.sparse
        folder = pool.acquire(place)
        try:
            fd = self._make(folder)
            try:
                if sparse:
                    _write_sparse(fd, offset, piece)
                elif piece:
                    _write_all(fd, offset, piece)
                if sparse or len(piece) != self.entry.size:
                    os.ftruncate(fd, self.entry.size)
                self._complete(folder, fd)
            except OSError:
                discard(folder, self._part)
                raise
            finally:
                os.close(fd)
        finally:
            pool.release(place)

    def _write_piece(self, offset: int, piece: Piece) -> None:
        put = _write_sparse if self._site.options.sparse else _write_all
        pool = self._site.pool
        fd = pool.acquire(self)
        try:
            put(fd, offset, piece)
        finally:
            pool.release(self)

    def _complete(self, folder: int, fd: int) -> None:
        site, place, entry = self._site, self._place, self.entry
        site.metadata.on_file(fd, entry, place.born or site.born_in(place, fd))
        if entry.extra.link_group:
            self._made = made_of(os.fstat(fd), place.path, entry.name)
        if self._part is not entry.name:
            site.into_place(folder, self._part, entry.name)
        if entry.extra.flags:
            site.set_flags(fd, entry)

    def _leave(self, *, failed: bool) -> None:
        site = self._site
        with site.lock:
            self._busy -= 1
            self._left -= 1
            if failed:
                self._open = False
            ended = self._open and self._left <= 0
            dead = not self._open and self._busy == 0
            if ended or dead:
                self._open = False
                site.unfinished.discard(self)
        if ended:
            self._end()
        elif dead:
            self._clean_up()

    def _end(self) -> None:
        site = self._site
        if not self._whole:
            try:
                self._complete_long()
            except OSError as error:
                self._clean_up()
                site.failed(error, self.entry.full_path, "finish the file")
                return
        if self._made is not None:
            for place, entry in site.links.finished(self.entry, self._made):
                site.link(self._made, place, entry)
                site.let_go(place)
        site.let_go(self._place, files=1)

    def _complete_long(self) -> None:
        pool = self._site.pool
        fd = pool.acquire(self)
        try:
            folder = pool.acquire(self._place)
            try:
                self._complete(folder, fd)
            finally:
                pool.release(self._place)
        finally:
            pool.release(self)
        pool.close(self)

    def _clean_up(self) -> None:
        site = self._site
        site.pool.close(self)
        if self._identity is not None:
            with suppress(OSError):  # its directory is gone: so is the file
                folder = site.pool.acquire(self._place)
                discard(folder, self._part)
                site.pool.release(self._place)
        if self.entry.extra.link_group:
            for place, entry in site.links.failed(self.entry):
                reason = "the first name of this file could not be restored"
                site.found(ProblemKind.DAMAGED, entry.full_path, reason)
                site.let_go(place)
        site.let_go(self._place)


def _write_sparse(fd: int, offset: int, piece: Piece) -> None:
    """Write a piece without its aligned blocks of zeros."""
    view = memoryview(piece)
    start = at = 0
    while at < len(view):
        end = min(at + _BLOCK_BYTES - (offset + at) % _BLOCK_BYTES, len(view))
        if not bytes(view[at:end]).strip(b"\0"):
            _write_all(fd, offset + start, view[start:at])
            start = end
        at = end
    _write_all(fd, offset + start, view[start:])


def _write_all(fd: int, offset: int, piece: Piece) -> None:
    done, size = 0, len(piece)
    while done < size:
        done += os.pwrite(fd, memoryview(piece)[done:] if done else piece, offset + done)
