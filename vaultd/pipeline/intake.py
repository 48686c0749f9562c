"""Taking one directory after the other: what is unchanged is copied, what is not is read."""

from __future__ import annotations

import stat
from array import array
from collections.abc import Iterable, Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from vaultd.core.snapshot import Counts
from vaultd.core.tree import MODE, SIZE, Listing, join
from vaultd.format.tree import Content, Extent, content_bytes, unpack_extents
from vaultd.pipeline.aside import Late
from vaultd.pipeline.base_tree import BaseTree, CachedBlock
from vaultd.pipeline.feeder import Feeder
from vaultd.pipeline.reporting import Progress
from vaultd.pipeline.tree_writer import Pending, PendingBlock, TreeWriter
from vaultd.stores.base import Capture, Scanned
from vaultd.vault.writer import PackWriter

_TYPE, _REGULAR, _DIRECTORY = 0o170000, stat.S_IFREG, stat.S_IFDIR
_REPORT_EVERY = 31
"""Mask: files between two looks at the clock, so that big directories show progress too."""

_MOST_HELD_BYTES = 32 << 20
"""Bytes of directories that may wait for a bundle that is not full."""


class Tally(Struct):
    """Running numbers of one capture; see `vaultd.core.snapshot.Counts`.

    Attributes:
        empty: Directories that hold nothing.
    """

    files: int = 0
    directories: int = 0
    others: int = 0
    data: int = 0
    files_new: int = 0
    files_changed: int = 0
    files_read: int = 0
    empty: list[bytes] = field(default_factory=list)

    def add(self, listing: Listing, dropped: set[int]) -> None:
        """Count the entries of one directory part."""
        if not listing.names:
            self.empty.append(listing.path)
        modes, sizes = listing.column(MODE), listing.column(SIZE)
        types = [mode & _TYPE for mode in modes]
        for position in dropped:
            types[position] = 0
        for position in listing.extras:
            sizes[position] = content_bytes(listing, position)
        regular = [size for kind, size in zip(types, sizes, strict=True) if kind == _REGULAR]
        folders = types.count(_DIRECTORY)
        self.files += len(regular)
        self.data += sum(regular)
        self.directories += folders
        self.others += len(types) - len(dropped) - len(regular) - folders

    def correct(self, before: int, after: int | None) -> None:
        """Count a file again: its bytes as they were counted and as they are, ``None``: dropped."""
        self.data += (after or 0) - before
        self.files -= after is None

    def counts(self, problems: int) -> Counts:
        """Return the numbers, with how many entries have a problem."""
        return Counts(
            files=self.files, directories=self.directories, others=self.others, data=self.data,
            files_new=self.files_new, files_changed=self.files_changed, files_read=self.files_read,
            problems=problems,
        )  # fmt: skip


class Intake:
    """Turns scanned directories into blocks of the new tree.

    Args:
        capture: The store.
        base: The tree to compare with.
        tree: Takes the blocks.
        feeder: Reads contents.
        writer: Says how much was stored, and what is.
        progress: Takes progress.
    """

    def __init__(
        self,
        *,
        capture: Capture,
        base: BaseTree,
        tree: TreeWriter,
        feeder: Feeder,
        writer: PackWriter,
        progress: Progress,
    ) -> None:
        self._capture = capture
        self._base = base
        self._tree = tree
        self._feeder = feeder
        self._writer = writer
        self._progress = progress
        self._links: dict[bytes, tuple[array[int], Pending]] = {}
        self.must_check_reuse = False
        """A pack of the base is gone, so each chunk is looked up before it is relied on."""
        self.tally = Tally()

    def take(self, scanned: Scanned) -> None:
        """Take one directory part."""
        self._finish_late()
        listing = scanned.listing
        before = self._base.overlapping(listing)
        if len(before) == 1 and not scanned.racy and not self.must_check_reuse:
            joined = b"\0".join(listing.names)
            if before[0].is_same(listing, joined) and _has_same_links(listing, before[0]):
                self._tree.add_same(listing.path, before[0].raw)
                self._relieve()
                self.tally.add(listing, scanned.dropped)
                self.tally.data -= before[0].hole_bytes(listing)
                self._report(listing.path)
                return
        contents: list[Pending] = [None] * len(listing.names)
        files, others = self._sort(scanned, dict(_entries(before)), contents)
        self._capture.complete(scanned, others)
        self._feeder.enter(listing.path)
        self._read(scanned, files, contents)
        bundles = self._feeder.leave()
        self._tree.add(PendingBlock(listing, contents, scanned.racy, scanned.dropped, bundles))
        self._relieve()
        self.tally.add(listing, scanned.dropped)
        self._report(listing.path)

    def _relieve(self) -> None:
        """See to it that what many directories wait for comes: it might not do so for long."""
        if self._tree.held <= _MOST_HELD_BYTES:
            return
        if self._tree.waits_for(self._feeder.bundle):
            self._feeder.flush()
        elif self._tree.waits_for_file:
            self._wait()

    def _finish_late(self) -> None:
        """Look once more at the files that were read aside."""
        aside = self._feeder.aside
        while (late := aside.next_read()) is not None:
            try:
                self._look_again(late)
            finally:
                aside.close(late)

    def _look_again(self, late: Late) -> None:
        listing, position = late.scanned.listing, late.position
        before = content_bytes(listing, position)
        try:
            self._feeder.finish_late(self._capture, late)
        except OSError as error:
            self._capture.fail(late.scanned, position, error)
        is_dropped = position in late.scanned.dropped
        self.tally.correct(before, None if is_dropped else content_bytes(listing, position))

    def _wait(self) -> None:
        self._feeder.sink.wait()
        self._finish_late()

    def finish(self) -> None:
        """Hand over what is still being filled, and wait for it."""
        self._feeder.flush()
        self._wait()

    def _sort(
        self, scanned: Scanned, known: dict[bytes, tuple[CachedBlock, int]], contents: list[Pending]
    ) -> tuple[list[int], list[int]]:
        """Reuse what is unchanged; return the files to read and the other entries to look at."""
        listing = scanned.listing
        left: Iterable[int] = range(len(listing.names))
        if known:
            left = [
                position
                for position in left
                if not self._reuse(scanned, position, known.get(listing.names[position]), contents)
            ]
        modes = listing.column(MODE)
        files = [position for position in left if modes[position] & _TYPE == _REGULAR]
        others = [position for position in left if modes[position] & _TYPE != _REGULAR]
        changed = sum(listing.names[position] in known for position in files) if known else 0
        self.tally.files_changed += changed
        self.tally.files_new += len(files) - changed
        return files, others

    def _reuse(
        self,
        scanned: Scanned,
        position: int,
        old: tuple[CachedBlock, int] | None,
        contents: list[Pending],
    ) -> bool:
        """Take an entry from the base if nothing about it has changed; tell whether it was."""
        if old is None or position in scanned.racy:
            return False
        listing = scanned.listing
        block, at = old[0].block, old[1]
        before = block.listing
        if before.stats[at :: len(before.names)] != listing.stats[position :: len(listing.names)]:
            return False
        content = block.contents[at]
        extra = before.extras.get(at)
        if extra is not None:
            if extra.changed:
                return False
            found = listing.extras.get(position, extra)
            if found.link_group != extra.link_group:
                # Devices may have got other numbers since.
                extra = replace(extra, link_group=found.link_group)
            listing.extras[position] = extra
        if self.must_check_reuse and not self._is_stored(content):
            return False
        contents[position] = content
        return True

    def _is_stored(self, content: Content) -> bool:
        """Tell whether every chunk of contents of the base is where this snapshot may use it."""
        if isinstance(content, tuple):
            # What its list chunks name is sealed, so this machine cannot know.
            return False
        return all(map(self._writer.is_stored, _chunks_of(content)))

    def _read(self, scanned: Scanned, files: list[int], contents: list[Pending]) -> None:
        capture, read, extras = self._capture, self._feeder.read, scanned.listing.extras
        done = 0
        for position, fd in capture.open(scanned, files):
            try:
                if position in extras:
                    contents[position] = self._content(scanned, position, fd)
                else:
                    contents[position] = read(capture, scanned, position, fd)
            except OSError as error:
                capture.fail(scanned, position, error)
            done += 1
            if not done & _REPORT_EVERY and self._progress.is_due():
                self._report(join(scanned.listing.path, scanned.listing.names[position]))
        self.tally.files_read += done

    def _content(self, scanned: Scanned, position: int, fd: int) -> Pending:
        """Read one file, or take what was read under another of its names."""
        listing = scanned.listing
        group = listing.extras[position].link_group
        if not group:
            return self._feeder.read(self._capture, scanned, position, fd)
        count = len(listing.names)
        # The file may have changed since it was read under its other name.
        stats, content = self._links.get(group, (None, None))
        if stats == listing.stats[position::count] and self._capture.settle(scanned, position, fd):
            return self._feeder.reuse(content)
        content = self._feeder.read(self._capture, scanned, position, fd)
        extra = listing.extras.get(position)
        if extra is None or not extra.changed:
            self._links[group] = listing.stats[position::count], content
        return content

    def _report(self, path: bytes) -> None:
        tally = self.tally
        self._progress.report(tally.files, tally.data, self._writer.written.stored, path)


def _entries(blocks: list[CachedBlock]) -> Iterator[tuple[bytes, tuple[CachedBlock, int]]]:
    for block in blocks:
        for at, name in enumerate(block.block.listing.names):
            yield name, (block, at)


def _has_same_links(listing: Listing, before: CachedBlock) -> bool:
    """Tell whether link groups are as they were: devices may have got other numbers since."""
    if not listing.extras:
        return True
    extras = before.block.listing.extras
    return all(
        position in extras and extras[position].link_group == extra.link_group
        for position, extra in listing.extras.items()
    )


def _chunks_of(content: Extent | bytes | None) -> list[bytes]:
    """Return the ids of the chunks that contents lie in."""
    if content is None:
        return []
    if isinstance(content, Extent):
        return [content.chunk_id]
    return [extent.chunk_id for extent in unpack_extents(content, what="cached tree")]
