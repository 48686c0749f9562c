"""Proving what lies in the vault: whole packs byte by byte, and trees down to their last chunk."""

from __future__ import annotations

from collections.abc import Iterator

from vaultd.compression import Decompressor
from vaultd.core.errors import CorruptObjectError, IntegrityError, NoMatchingKeyError, StorageError
from vaultd.core.snapshot import Snapshot
from vaultd.crypto import hashing
from vaultd.format.tree import Block, Content, Extent, unpack_extents
from vaultd.vault import layout
from vaultd.vault.keyring import ReadKeys
from vaultd.vault.packs import PackOpener
from vaultd.vault.reader import DATA, META, ReadContext, SnapshotReader
from vaultd.vault.trust import Trust

_MAX_REASONS = 20


class PackProver:
    """Proves whole objects whose names are their hashes; packs also record by record.

    Args:
        trust: The vault's.
        keys: What a recovery key opens; ``None``: hashes only.
    """

    def __init__(self, trust: Trust, keys: ReadKeys | None) -> None:
        self._trust = trust
        self._keys = keys

    def prove(self, name: str, data: bytes, decompressor: Decompressor) -> None:
        """Return when an object is what its name says, and opens.

        Args:
            name: Of a pack or an index part.
            data: All its bytes.
            decompressor: Of the calling thread.

        Raises:
            IntegrityError: It is not.
        """
        session, sha256 = layout.hashed_of(name)
        found = hashing.sha256(data)
        if found != sha256:
            raise CorruptObjectError(
                f"its bytes have hash {found.hex()[:8]}, expected {sha256.hex()[:8]}"
            )
        if self._keys is None or not name.startswith(layout.PACKS):
            return
        opener = PackOpener(self._trust.vault_id, session.host, self._keys)
        opened = opener.open(data, session.seq, what=f"pack {sha256.hex()[:8]}")
        domain_keys = self._keys.newest(self._trust.host_domain(session.host))
        view = memoryview(data)
        for record in opened.table(data):
            raw = opened.record(
                record, view[record.offset : record.offset + record.stored], decompressor
            )
            if hashing.keyed_hash(domain_keys.chunk_id_key, raw) != record.chunk_id:
                raise CorruptObjectError(
                    f"record {record.position} holds another chunk than its table says"
                )


class TreeProver:
    """Proves that every tree can be read and that every chunk named in it has a place.

    Args:
        context: What reading needs.
    """

    def __init__(self, context: ReadContext) -> None:
        self._context = context
        self._proven: set[tuple[str, bytes]] = set()

    def prove(self, snapshot: Snapshot) -> Iterator[str]:
        """Yield what is wrong with a snapshot's tree, one clause each; not more than a few."""
        try:
            with SnapshotReader(self._context, snapshot) as reader:
                for found, reason in enumerate(self._reasons(reader)):
                    if found == _MAX_REASONS:
                        yield "and more"
                        return
                    yield reason
        except (IntegrityError, StorageError, NoMatchingKeyError) as error:
            yield error.message

    def _reasons(self, reader: SnapshotReader) -> Iterator[str]:
        decompressor = Decompressor()
        host = reader.root.host
        for at, chunk in enumerate(reader.meta.tree):
            # Snapshots share most of their tree; a chunk proven once is good for all of a host's.
            if (host, chunk.chunk_id) in self._proven:
                continue
            good = True
            try:
                for block in reader.blocks_of(at, decompressor):
                    for reason in _unplaced(reader, block, decompressor):
                        good = False
                        yield reason
            except IntegrityError as error:
                good = False
                yield error.message
            if good:
                self._proven.add((host, chunk.chunk_id))


def _unplaced(reader: SnapshotReader, block: Block, decompressor: Decompressor) -> Iterator[str]:
    before = b""
    for position, content in enumerate(block.contents):
        if isinstance(content, Extent) and content.chunk_id == before:
            continue
        for chunk_id in _chunks(reader, content, decompressor):
            before = chunk_id
            if not reader.has_chunk(chunk_id, DATA):
                name = block.listing.names[position].decode(errors="replace")
                path = block.listing.path.decode(errors="replace")
                yield f"/{path}/{name}: chunk {chunk_id.hex()[:8]} is in no known pack"


def _chunks(reader: SnapshotReader, content: Content, decompressor: Decompressor) -> list[bytes]:
    if content is None:
        return []
    if isinstance(content, Extent):
        return [content.chunk_id]
    if isinstance(content, bytes):
        return [extent.chunk_id for extent in unpack_extents(content, what="extents")]
    found = []
    for chunk_id in content:
        raw = bytes(reader.read_chunk(chunk_id, META, decompressor))
        found += [extent.chunk_id for extent in unpack_extents(raw, what="list chunk")]
    return found
