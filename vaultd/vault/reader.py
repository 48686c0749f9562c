"""Reading one snapshot with a recovery key: its tree, and any chunk of it, all verified.

Where a chunk lies is only a hint, whoever gave it: what is returned has the id that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from msgspec import Struct, field
from msgspec.structs import replace

from vaultd.backends.base import Backend
from vaultd.compression import Buffer, Decompressor
from vaultd.core.errors import (
    CorruptObjectError,
    IntegrityError,
    NoMatchingKeyError,
    ObjectNotFoundError,
    StorageError,
    VaultNotFoundError,
)
from vaultd.core.events import Note, Observer
from vaultd.core.snapshot import Snapshot
from vaultd.core.tree import path_key
from vaultd.crypto import hashing
from vaultd.format import pack as pack_format
from vaultd.format.session import MetaSection, PackRef, PartRef, RefsSection, RootBody, pack_refs
from vaultd.format.tree import Block, Content, Extent, decode_block, split_blocks, unpack_extents
from vaultd.vault import layout, roots
from vaultd.vault.chunk_index import ChunkIndex, PackRow, index_path
from vaultd.vault.index_file import knows_pack
from vaultd.vault.keyring import ReadKeys
from vaultd.vault.loading import Failure, load_parts
from vaultd.vault.pack_source import PackSource
from vaultd.vault.packs import PackOpener
from vaultd.vault.recall import recall
from vaultd.vault.trust import Trust

DATA, META = pack_format.DATA, pack_format.META

# A damaged header looks like one that is sealed to somebody else.
_BAD = (IntegrityError, NoMatchingKeyError, ObjectNotFoundError)


class ReadContext(Struct, frozen=True, kw_only=True):
    """What reading needs.

    Attributes:
        backend: Where the vault lies.
        trust: Whom to believe.
        keys: What the recovery key opens.
        folder: Where indexes are kept on this machine.
        observer: Takes notes.
        others: Further targets, asked for what the first one gives wrongly or not at all.
        stand_ins: Index parts in place of lost ones, by the SHA-256 of these.
    """

    backend: Backend
    trust: Trust
    keys: ReadKeys
    folder: Path
    observer: Observer
    others: tuple[Backend, ...] = ()
    stand_ins: Mapping[bytes, PartRef] = field(default_factory=dict)


class SnapshotReader:
    """One snapshot, open for reading; a context manager. Methods may be called from any thread.

    Args:
        context: What reading needs.
        snapshot: Which one.

    Raises:
        ObjectNotFoundError: Its root is gone.
        IntegrityError: Its root is not what was committed.
        NoMatchingKeyError: The recovery key does not open its domain.
    """

    def __init__(self, context: ReadContext, snapshot: Snapshot) -> None:
        self._context = context
        self.snapshot = snapshot
        self.root, self.refs, self.meta = self._open_root()
        host = snapshot.session.host
        opener = PackOpener(context.trust.vault_id, host, context.keys)
        domain = context.trust.host_domain(host)
        chunk_id_key = context.keys.domain(domain, self.root.epoch).chunk_id_key
        self._sources = [
            PackSource(target, host, opener, chunk_id_key)
            for target in (context.backend, *context.others)
        ]
        self._index = ChunkIndex(index_path(context.folder, host))
        self._load_index()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the index."""
        self._index.close()

    def _read_root(self) -> bytes:
        """Return the bytes that were committed, from the first target that has them."""
        name, context = layout.outcome(self.snapshot.session), self._context
        data = context.backend.get(name)
        if hashing.sha256(data) != self.snapshot.root_sha256 and recall(context.backend, name):
            data = context.backend.get(name)
        if hashing.sha256(data) == self.snapshot.root_sha256:
            return data
        for target in context.others:
            with suppress(StorageError, VaultNotFoundError):
                other = target.get(name)
                if hashing.sha256(other) == self.snapshot.root_sha256:
                    return other
        raise CorruptObjectError(
            f"snapshot {self.snapshot.short_id}: "
            f"its root now has hash {hashing.sha256(data).hex()[:8]}",
            hint="Look for another version of the object; somebody has replaced it.",
        )

    def _open_root(self) -> tuple[RootBody, RefsSection, MetaSection]:
        session, trust = self.snapshot.session, self._context.trust
        data = self._read_root()
        root = roots.open_outcome(data, session, trust)
        if not isinstance(root, RootBody):
            raise CorruptObjectError(f"snapshot {self.snapshot.short_id}: its root is no snapshot")
        domain = trust.host_domain(session.host)
        refs = roots.open_refs(root, self._context.keys.index_key(domain, root.epoch))
        meta = roots.open_meta(root, self._context.keys.meta_seed(domain, root.epoch))
        return root, refs, meta

    # The index

    def _load_index(self) -> None:
        stand_ins = self._context.stand_ins
        lost = list(self._load(self.refs.parts))
        replaced = [one.part for one in lost if one.part.sha256 in stand_ins]
        bad = {one.part for one in self._load(stand_ins[part.sha256] for part in replaced)}
        for failure in lost:
            if stand_ins.get(failure.part.sha256) in {None, *bad}:
                text = f"{failure.error.message}; reading the tables of its packs instead"
                self._context.observer(Note(text=text, warning=True))
        if lost:
            parts = {failure.part for failure in lost}
            self._load_tables({at for at, part in enumerate(self.refs.parts) if part in parts})

    def _load(self, wanted: Iterable[PartRef]) -> Iterator[Failure]:
        context = self._context
        return load_parts(context.backend, self._index, wanted, self.root, context.keys.index_key)

    def _load_tables(self, lost: set[int]) -> None:
        """Learn where chunks lie from the packs themselves: slower, and always possible."""
        for ref in self.packs():
            if ref.part not in lost or knows_pack(self._index, ref.sha256):
                continue
            row = PackRow(0, ref.seq, ref.sha256, ref.size, DATA, None)
            failures = []
            for source in self._sources:
                try:
                    kind, records = source.read_table(row)
                except (IntegrityError, NoMatchingKeyError, StorageError) as error:
                    failures.append(error.message)
                    continue
                self._index.add_pack(replace(row, kind=kind), records, since=None)
                break
            else:
                text = f"pack {ref.sha256.hex()[:8]}: {'; '.join(failures)}"
                self._context.observer(Note(text=text, warning=True))

    def packs(self) -> Iterator[PackRef]:
        """Yield the packs that the snapshot needs."""
        return pack_refs(self.refs, what=f"refs of snapshot {self.snapshot.short_id}")

    # Chunks

    def read_chunk(self, chunk_id: bytes, kind: int, decompressor: Decompressor) -> Buffer:
        """Return one chunk, from whichever copy is good.

        Args:
            chunk_id: Its id.
            kind: `DATA` or `META`.
            decompressor: Of the calling thread.

        Raises:
            CorruptObjectError: Every copy is damaged or gone, or none is known.
            StorageError: The backend does not answer.
        """
        failures: list[str] = []
        places = [
            (self._index.pack(at.pack), at.record) for at in self._index.places(chunk_id, kind)
        ]
        for source in self._sources:
            # What the first target does not answer is no damage; the others are a last resort.
            is_first = source is self._sources[0]
            expected = _BAD if is_first else (*_BAD, StorageError, VaultNotFoundError)
            for row, record in places:
                try:
                    return source.read(row, record, decompressor)
                except expected as error:
                    failures.append(error.message)
        reason = "; ".join(dict.fromkeys(failures)) or "no index names a pack that holds it"
        raise CorruptObjectError(f"chunk {chunk_id.hex()[:8]}: {reason}")

    def has_chunk(self, chunk_id: bytes, kind: int) -> bool:
        """Tell whether an index names a place for a chunk."""
        return bool(self._index.places(chunk_id, kind))

    def stored_in(self, chunk_id: bytes, kind: int) -> dict[bytes, int]:
        """Return the packs in which an index names a place for a chunk, and its bytes there."""
        places = self._index.places(chunk_id, kind)
        return {self._index.pack(place.pack).sha256: place.record.stored for place in places}

    # The tree

    def blocks(
        self, under: bytes = b"", damaged: Callable[[IntegrityError], None] | None = None
    ) -> Iterator[Block]:
        """Yield the tree's blocks in walking order.

        Args:
            under: Path below the snapshot's top. Tree chunks that hold neither this directory, nor
                anything below it, nor a directory on the way to it are not read.
            damaged: Told of each tree chunk that cannot be read; the others are gone on with.

        Raises:
            IntegrityError: A tree chunk cannot be read, and there is nobody to be told: what it
                held cannot be listed.
        """
        decompressor = Decompressor()
        for at in self._tree_chunks(under):
            try:
                yield from self.blocks_of(at, decompressor)
            except IntegrityError as error:
                if damaged is None:
                    raise
                damaged(error)

    def _tree_chunks(self, under: bytes) -> Iterator[int]:
        firsts = [path_key(chunk.first_path) for chunk in self.meta.tree]
        components = under.split(b"/") if under else []
        key = path_key(under)
        # Everything below a directory sorts before its own key followed by a one.
        wanted = [(key, key + b"\1")] if under else [(b"", b"\xff" * 256)]
        wanted += [
            (way, way)
            for way in (b"\0".join(components[:depth]) for depth in range(len(components)))
        ]
        for at, first in enumerate(firsts):
            last = firsts[at + 1] if at + 1 < len(firsts) else None
            if any(first <= high and (last is None or last >= low) for low, high in wanted):
                yield at

    def blocks_of(self, at: int, decompressor: Decompressor) -> Iterator[Block]:
        """Yield the blocks of one tree chunk, by its position in ``meta.tree``.

        Raises:
            CorruptObjectError: It cannot be read.
            MalformedObjectError: It breaks the format.
        """
        chunk = self.meta.tree[at]
        what = f"tree of snapshot {self.snapshot.short_id}, chunk {at + 1} of {len(self.meta.tree)}"
        try:
            raw = self.read_chunk(chunk.chunk_id, META, decompressor)
        except CorruptObjectError as error:
            first = chunk.first_path.decode(errors="replace") or "/"
            raise CorruptObjectError(f"{what} (from {first}): {error.message}") from error
        for block in split_blocks(memoryview(raw), what=what):
            yield decode_block(block, what=what)

    def extents(self, content: Content, decompressor: Decompressor) -> list[Extent]:
        """Return where the contents of an entry lie, in order.

        Raises:
            CorruptObjectError: A list chunk cannot be read.
            MalformedObjectError: It is no list of extents.
        """
        if content is None:
            return []
        if isinstance(content, Extent):
            return [content]
        if isinstance(content, bytes):
            return unpack_extents(content, what="extents")
        found = []
        for chunk_id in content:
            found += unpack_extents(
                bytes(self.read_chunk(chunk_id, META, decompressor)), what="list chunk"
            )
        return found
