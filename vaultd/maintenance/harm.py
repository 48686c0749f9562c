"""Which files damage costs: exactly those that a restore could not bring back, by path.

The trees of the snapshots that need something bad are walked; of each file, the chunks that lie in
bad packs only are tried as a restore would try them. A pack with one flipped byte costs the files
of one record, a lost one those of all its records.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct

from vaultd.compression import Decompressor
from vaultd.core.errors import (
    CorruptObjectError,
    IntegrityError,
    NoMatchingKeyError,
    ObjectNotFoundError,
    StorageError,
)
from vaultd.core.snapshot import Snapshot
from vaultd.format.tree import Block
from vaultd.maintenance.reading import concerns_object
from vaultd.vault import layout
from vaultd.vault.proving import chunks_of
from vaultd.vault.reader import DATA, ReadContext, SnapshotReader


class HarmedFile(Struct, frozen=True, kw_only=True):
    """A file that cannot be brought back whole, or a part of a tree that cannot be listed.

    Attributes:
        host: Of the snapshots.
        store: Their store; its id when the name is not shown.
        path: Path below the top of the snapshots.
        reason: Lower-case clause without final stop.
        snapshots: Short ids of the snapshots in which it is harmed, oldest first.
        is_listing: Not a file: the tree cannot be read from this directory on, so that nobody
            can tell which files were there.
    """

    host: str
    store: str
    path: bytes
    reason: str
    snapshots: tuple[str, ...]
    is_listing: bool = False


class _Found(Struct, frozen=True):
    """What is harmed in one tree chunk."""

    path: bytes
    reason: str
    is_listing: bool = False


def harmed_files(
    context: ReadContext, snapshots: Iterable[Snapshot], bad: Collection[str]
) -> tuple[HarmedFile, ...]:
    """Return the files that bad objects cost, by host, store and path.

    Args:
        context: What reading needs.
        snapshots: Live snapshots that need something bad, oldest first.
        bad: Names of objects that are lost or damaged; those that are no packs cost no file.

    Raises:
        StorageError: The backend does not answer.
    """
    packs = {layout.hashed_of(name) for name in bad if name.startswith(layout.PACKS)}
    if not packs:
        return ()
    search = _Search(context, {sha256 for _, sha256 in packs})
    harmed: dict[tuple[str, str, bytes, bool], tuple[str, list[str]]] = {}
    for snapshot in snapshots:
        store = snapshot.store or snapshot.store_id.hex()[:8]
        for found in search.in_snapshot(snapshot):
            key = (snapshot.session.host, store, found.path, found.is_listing)
            harmed.setdefault(key, (found.reason, []))[1].append(snapshot.short_id)
    return tuple(
        HarmedFile(
            host=host,
            store=store,
            path=path,
            reason=reason,
            snapshots=tuple(dict.fromkeys(ids)),
            is_listing=is_listing,
        )
        for (host, store, path, is_listing), (reason, ids) in sorted(harmed.items())
    )


class _Search:
    """Looks for harm in one snapshot after the other; what they share is looked at once.

    Args:
        context: What reading needs.
        bad: Hashes of the bad packs.
    """

    def __init__(self, context: ReadContext, bad: set[bytes]) -> None:
        self._context = context
        self._bad = bad
        self._trees: dict[tuple[str, bytes], tuple[_Found, ...]] = {}
        self._reasons: dict[tuple[str, bytes], str] = {}
        self._decompressor = Decompressor()

    def in_snapshot(self, snapshot: Snapshot) -> Iterator[_Found]:
        """Yield what is harmed in a snapshot."""
        try:
            with SnapshotReader(self._context, snapshot) as reader:
                for at, chunk in enumerate(reader.meta.tree):
                    key = (snapshot.session.host, chunk.chunk_id)
                    if key not in self._trees:
                        self._trees[key] = tuple(self._in_tree(reader, at))
                    yield from self._trees[key]
        except (IntegrityError, ObjectNotFoundError, NoMatchingKeyError) as error:
            yield _Found(b"", error.message, is_listing=True)

    def _in_tree(self, reader: SnapshotReader, at: int) -> Iterator[_Found]:
        try:
            for block in reader.blocks_of(at, self._decompressor):
                yield from self._in_block(reader, block)
        except (IntegrityError, StorageError) as error:
            if isinstance(error, StorageError) and not concerns_object(error):
                raise
            yield _Found(reader.meta.tree[at].first_path, error.message, is_listing=True)

    def _in_block(self, reader: SnapshotReader, block: Block) -> Iterator[_Found]:
        listing = block.listing
        for name, content in zip(listing.names, block.contents, strict=True):
            reason = ""
            try:
                for chunk_id in chunks_of(reader, content, self._decompressor):
                    reason = reason or self._reason(reader, chunk_id)
            except CorruptObjectError as error:  # the list of its chunks
                reason = error.message
            if reason:
                path = listing.path + b"/" + name if listing.path else name
                yield _Found(path, reason)

    def _reason(self, reader: SnapshotReader, chunk_id: bytes) -> str:
        """Return why a chunk cannot be read; empty: it can."""
        packs = reader.stored_in(chunk_id, DATA)
        if not self._bad.issuperset(packs):
            return ""  # a good copy is enough
        key = (reader.root.host, chunk_id)
        if key not in self._reasons:
            self._reasons[key] = ""
            try:
                reader.read_chunk(chunk_id, DATA, self._decompressor)
            except CorruptObjectError as error:
                self._reasons[key] = error.message
            except StorageError as error:
                if not concerns_object(error):
                    raise
                self._reasons[key] = error.message
        return self._reasons[key]
