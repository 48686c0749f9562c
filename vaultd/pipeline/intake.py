"""Taking one directory after the other: what is unchanged is copied, what is not is read."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from vaultd.core.snapshot import Counts
from vaultd.core.tree import MODE, SIZE, Extra, Listing, is_directory, is_regular, join
from vaultd.format.tree import Content, Extent, unpack_extents
from vaultd.pipeline.base_tree import BaseTree, CachedBlock
from vaultd.pipeline.feeder import Feeder
from vaultd.pipeline.reporting import Progress
from vaultd.pipeline.tree_writer import Pending, PendingBlock, TreeWriter
from vaultd.stores.base import Capture, Scanned
from vaultd.vault.writer import PackWriter


@dataclass(slots=True)
class Tally:
    """Running numbers of one capture; see `vaultd.core.snapshot.Counts`."""

    files: int = 0
    directories: int = 0
    others: int = 0
    data: int = 0
    files_new: int = 0
    files_changed: int = 0
    files_read: int = 0

    def add(self, listing: Listing, dropped: set[int]) -> None:
        """Count the entries of one directory part."""
        modes, sizes = listing.column(MODE), listing.column(SIZE)
        if dropped:
            kept = [position for position in range(len(modes)) if position not in dropped]
            modes = array("q", [modes[at] for at in kept])
            sizes = array("q", [sizes[at] for at in kept])
        regular = [size for mode, size in zip(modes, sizes, strict=True) if is_regular(mode)]
        folders = sum(map(is_directory, modes))
        self.files += len(regular)
        self.data += sum(regular)
        self.directories += folders
        self.others += len(modes) - len(regular) - folders

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
        self._links: dict[bytes, Pending] = {}
        self.must_check_reuse = False
        """A pack of the base is gone, so each chunk is looked up before it is relied on."""
        self.tally = Tally()

    def take(self, scanned: Scanned) -> None:
        """Take one directory part."""
        listing = scanned.listing
        before = self._base.overlapping(listing)
        if len(before) == 1 and not scanned.racy and not self.must_check_reuse:
            joined = b"\0".join(listing.names)
            if before[0].is_same(listing, joined):
                self._tree.add_same(listing.path, before[0].raw)
                self.tally.add(listing, scanned.dropped)
                self._report(listing.path)
                return
        contents: list[Pending] = [None] * len(listing.names)
        known = dict(_entries(before))
        files, others = self._sort(scanned, known, contents)
        self._capture.complete(scanned, others)
        self._read(scanned, files, contents)
        self._tree.add(PendingBlock(listing, contents, scanned.racy, scanned.dropped))
        self.tally.add(listing, scanned.dropped)
        self._report(listing.path)

    def finish(self) -> None:
        """Hand over what is still being filled."""
        self._feeder.flush()

    def _sort(
        self, scanned: Scanned, known: dict[bytes, tuple[CachedBlock, int]], contents: list[Pending]
    ) -> tuple[list[int], list[int]]:
        """Reuse what is unchanged; return the files to read and the other entries to look at."""
        listing = scanned.listing
        files, others = [], []
        modes = listing.column(MODE)
        for position, name in enumerate(listing.names):
            old = known.get(name)
            if (
                old is not None
                and position not in scanned.racy
                and self._reuse(listing, position, old, contents)
            ):
                continue
            if not is_regular(modes[position]):
                others.append(position)
                continue
            files.append(position)
            if old is None:
                self.tally.files_new += 1
            else:
                self.tally.files_changed += 1
        return files, others

    def _reuse(
        self, listing: Listing, position: int, old: tuple[CachedBlock, int], contents: list[Pending]
    ) -> bool:
        block, at = old[0].block, old[1]
        before = block.listing
        if before.stats[at :: len(before.names)] != listing.stats[position :: len(listing.names)]:
            return False
        content = block.contents[at]
        if self.must_check_reuse and not all(map(self._writer.is_stored, _chunks_of(content))):
            return False
        contents[position] = content
        extra = before.extras.get(at)
        if extra is not None:
            if extra.changed:
                return False
            listing.extras[position] = extra
        return True

    def _read(self, scanned: Scanned, files: list[int], contents: list[Pending]) -> None:
        capture, feeder = self._capture, self._feeder
        listing = scanned.listing
        feeder.enter(listing.path)
        for position, fd in capture.open(scanned, files):
            self.tally.files_read += 1
            extra = listing.extras.get(position)
            try:
                contents[position] = self._content(scanned, position, fd, extra)
            except OSError as error:
                capture.fail(scanned, position, error)
            if self._progress.is_due():
                self._report(join(listing.path, listing.names[position]))

    def _content(self, scanned: Scanned, position: int, fd: int, extra: Extra | None) -> Pending:
        """Read one file, or take what was read under another of its names."""
        if extra is None or not extra.link_group:
            return self._feeder.read(self._capture, scanned, position, fd)
        group = extra.link_group
        if group in self._links and self._capture.settle(scanned, position, fd):
            return self._links[group]
        content = self._links[group] = self._feeder.read(self._capture, scanned, position, fd)
        return content

    def _report(self, path: bytes) -> None:
        tally = self.tally
        self._progress.report(tally.files, tally.data, self._writer.written.stored, path)


def _entries(blocks: list[CachedBlock]) -> Iterator[tuple[bytes, tuple[CachedBlock, int]]]:
    for block in blocks:
        for at, name in enumerate(block.block.listing.names):
            yield name, (block, at)


def _chunks_of(content: Content) -> list[bytes]:
    """Return the ids of the chunks that contents lie in; for list chunks, of these."""
    if content is None:
        return []
    if isinstance(content, Extent):
        return [content.chunk_id]
    if isinstance(content, bytes):
        return [extent.chunk_id for extent in unpack_extents(content, what="cached tree")]
    return list(content)
