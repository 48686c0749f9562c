"""Which entries of a snapshot a restore takes, and what they are called in the target."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from vaultd.core.entry import Entry
from vaultd.core.errors import ConfigError, IntegrityError
from vaultd.core.tree import is_directory
from vaultd.format.tree import Block
from vaultd.pipeline.browse import Stored, entries_of, is_below, matcher
from vaultd.vault.reader import SnapshotReader


class Selection(Struct, frozen=True, kw_only=True):
    """What to take of a snapshot.

    Attributes:
        subdir: Path below the snapshot's top; its contents land directly in the target.
        include: Paths or globs; empty takes everything. What lies below a directory that matches is
            taken with it.
        exclude: Paths or globs that are left out, with what lies below them.
        ignore_case: Globs match without regard to case.
    """

    subdir: bytes = b""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    ignore_case: bool = False

    @property
    def is_everything(self) -> bool:
        """Nothing is left out."""
        return not (self.subdir or self.include or self.exclude)


class Part(Struct, frozen=True):
    """Selected entries of one directory part, renamed for the target.

    Attributes:
        path: The directory in the target.
        entries: What to restore in it.
        names: All names of this part of the snapshot's directory, for `--delete`.
    """

    path: bytes
    entries: list[Stored]
    names: list[bytes]


class Selector:
    """Walks a snapshot and yields what is selected.

    Args:
        reader: The snapshot.
        selection: What to take.
        damaged: Told of each part of the tree that cannot be read; the rest is yielded.
    """

    def __init__(
        self,
        reader: SnapshotReader,
        selection: Selection,
        damaged: Callable[[IntegrityError], None] | None = None,
    ) -> None:
        self._reader = reader
        self._selection = selection
        self._damaged = damaged
        self._include = matcher(selection.include, ignore_case=selection.ignore_case)
        self._exclude = matcher(selection.exclude, ignore_case=selection.ignore_case)
        self._ways: set[bytes] | None = None

    def parts(self) -> Iterator[Part]:
        """Yield selected entries, in walking order.

        Raises:
            ConfigError: Nothing is selected at all.
            IntegrityError: A part of the tree cannot be read, and there is nobody to be told.
        """
        if self._selection.is_everything:
            for block in self._reader.blocks(damaged=self._damaged):
                yield Part(block.listing.path, list(entries_of(block)), block.listing.names)
            return
        if self._selection.include:
            # Directories on the way to what matches come along, so they must be known before.
            self._ways = self._find_ways()
        # A directory that was asked for may be empty; a pattern must match something.
        found = False
        patterns = self._selection.include or self._selection.exclude
        for part in self._selected():
            found = found or bool(part.entries) or not patterns
            yield part
        if not found:
            raise ConfigError(
                f"nothing in snapshot {self._reader.snapshot.short_id} matches what was asked for",
                hint="List what is there with `vaultctl ls`.",
            )

    def _selected(self) -> Iterator[Part]:
        subdir = self._selection.subdir
        taken, left = _Below(), _Below()
        for block in self._reader.blocks(subdir, self._damaged):
            path = block.listing.path
            if not is_below(path, subdir) or left.holds(path):
                continue
            inside = not self._selection.include or taken.holds(path)
            kept = self._kept(block, taken, left, inside=inside)
            if inside or kept:
                # Else it is a directory that nobody asked for: its part would make it.
                moved = [self._moved(stored) for stored in kept]
                yield Part(self._renamed(path), moved, block.listing.names)

    def _kept(self, block: Block, taken: _Below, left: _Below, *, inside: bool) -> list[Stored]:
        kept = []
        for stored in entries_of(block):
            entry = stored.entry
            if self._selection.exclude and self._exclude(entry):
                left.add(entry)
            elif inside:
                kept.append(stored)
            elif self._include(entry):
                taken.add(entry)
                kept.append(stored)
            elif self._ways is not None and entry.full_path in self._ways:
                kept.append(stored)
        return kept

    def _find_ways(self) -> set[bytes]:
        ways: set[bytes] = set()
        # What is damaged is told when it is walked for good.
        damaged = None if self._damaged is None else _ignore
        for block in self._reader.blocks(self._selection.subdir, damaged):
            if any(self._include(stored.entry) for stored in entries_of(block)):
                path = block.listing.path
                while path and path not in ways:
                    ways.add(path)
                    path = path.rpartition(b"/")[0]
        return ways

    def _renamed(self, path: bytes) -> bytes:
        subdir = self._selection.subdir
        return path[len(subdir) :].lstrip(b"/") if subdir else path

    def _moved(self, stored: Stored) -> Stored:
        stored.entry.path = self._renamed(stored.entry.path)
        return stored


def _ignore(_: IntegrityError) -> None:
    return


class _Below:
    """Directories that were decided about as a whole; asked in walking order, so few are kept."""

    def __init__(self) -> None:
        self._paths: set[bytes] = set()

    def add(self, entry: Entry) -> None:
        if is_directory(entry.mode):
            self._paths.add(entry.full_path)

    def holds(self, path: bytes) -> bool:
        """Tell whether a directory is one of these or lies below one."""
        while path:
            if path in self._paths:
                return True
            path = path.rpartition(b"/")[0]
        return False
