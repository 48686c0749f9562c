"""Proving what lies in the vault: whole packs byte by byte, and trees down to their last chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vaultd.backends.base import Backend
from vaultd.compression import Decompressor
from vaultd.core.errors import CorruptObjectError, IntegrityError, NoMatchingKeyError, StorageError
from vaultd.core.snapshot import Snapshot
from vaultd.crypto import hashing
from vaultd.format.pack import Record
from vaultd.format.tree import Block, Content, Extent, unpack_extents
from vaultd.vault import layout
from vaultd.vault.keyring import ReadKeys
from vaultd.vault.packs import PackOpener
from vaultd.vault.reader import DATA, META, ReadContext, SnapshotReader
from vaultd.vault.recall import recall
from vaultd.vault.trust import Trust

_MAX_REASONS = 20
_PIECE_BYTES = 4 << 20


def most_requests(size: int, *, opened: bool) -> int:
    """Return how many requests proving an object of so many bytes takes at most.

    Args:
        size: Its bytes.
        opened: Its records are opened, not only hashed: header and table are read besides, and
            runs of records do not end where pieces do.
    """
    pieces = -(-size // _PIECE_BYTES) or 1
    return 2 * pieces + 4 if opened else pieces


class PackProver:
    """Proves whole objects whose names are their hashes; packs also record by record.

    Args:
        backend: Where the vault lies.
        trust: The vault's.
        keys: What a recovery key opens; ``None``: hashes only.
        requested: Called for each read of the backend.
    """

    def __init__(
        self,
        backend: Backend,
        trust: Trust,
        keys: ReadKeys | None,
        requested: Callable[[], None] = lambda: None,
    ) -> None:
        self._requested = requested
        self._backend = backend
        self._trust = trust
        self._keys = keys

    def prove(self, name: str, size: int, decompressor: Decompressor) -> None:
        """Return when an object is what its name says, and opens.

        Args:
            name: Of a pack or an index part.
            size: Its bytes.
            decompressor: Of the calling thread.

        Raises:
            IntegrityError: It is not.
            NoMatchingKeyError: The recovery key does not open it.
            StorageError: It cannot be read.
        """
        try:
            self._prove(name, size, decompressor)
        except (IntegrityError, NoMatchingKeyError):
            if not recall(self._backend, name):
                raise
            self._prove(name, size, decompressor)

    def _prove(self, name: str, size: int, decompressor: Decompressor) -> None:
        object_ = _Object(self._backend, name, size, self._requested)
        failure = None
        if self._keys is not None and name.startswith(layout.PACKS):
            try:
                self._prove_records(object_, self._keys, decompressor)
            except (IntegrityError, NoMatchingKeyError) as error:
                # Most likely its bytes are not those that were written: then that is the reason.
                failure = error
        found = object_.sha256()
        _, sha256 = layout.hashed_of(name)
        if found != sha256:
            raise CorruptObjectError(
                f"its bytes have hash {found.hex()[:8]}, expected {sha256.hex()[:8]}"
            )
        if failure is not None:
            raise failure

    def _prove_records(self, object_: _Object, keys: ReadKeys, decompressor: Decompressor) -> None:
        session, sha256 = layout.hashed_of(object_.name)
        opener = PackOpener(self._trust.vault_id, session.host, keys)
        opened, records = opener.open_with_table(
            object_.get, object_.size, session.seq, what=f"pack {sha256.hex()[:8]}"
        )
        domain_keys = keys.newest(self._trust.host_domain(session.host))
        for group in _groups(records):
            start, last = group[0].offset, group[-1]
            object_.skip_to(start)
            view = memoryview(object_.read(last.offset + last.stored - start))
            for record in group:
                sealed = view[record.offset - start : record.offset - start + record.stored]
                raw = opened.record(record, sealed, decompressor)
                if hashing.keyed_hash(domain_keys.chunk_id_key, raw) != record.chunk_id:
                    raise CorruptObjectError(
                        f"record {record.position} holds another chunk than its table says"
                    )


class _Object:
    """One object, read piece by piece from its beginning to its end while it is hashed.

    Whole packs would be read into new memory each, which costs more than hashing them.

    Args:
        backend: Where it lies.
        name: Its name.
        size: Its bytes.
        requested: Called for each read.
    """

    def __init__(
        self, backend: Backend, name: str, size: int, requested: Callable[[], None]
    ) -> None:
        self._requested = requested
        self._backend = backend
        self._digest = hashing.sha256_stream()
        self._at = 0
        self.name = name
        self.size = size

    def get(self, offset: int, length: int) -> bytes:
        """Return any bytes of it; they are not hashed."""
        self._requested()
        return self._backend.get(self.name, offset=offset, length=length)

    def read(self, length: int) -> bytes:
        """Return the next bytes."""
        piece = self.get(self._at, length)
        self._digest.update(piece)
        self._at += len(piece)
        return piece

    def skip_to(self, offset: int) -> None:
        """Hash everything before an offset."""
        while self._at < offset and self.read(min(_PIECE_BYTES, offset - self._at)):
            pass

    def sha256(self) -> bytes:
        """Return the hash of the whole object."""
        self.skip_to(self.size)
        return self._digest.digest()


def _groups(records: list[Record]) -> Iterator[list[Record]]:
    """Yield records in runs that are read together."""
    group: list[Record] = []
    for record in records:
        if group and record.offset + record.stored - group[0].offset > _PIECE_BYTES:
            yield group
            group = []
        group.append(record)
    if group:
        yield group


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
        for chunk_id in chunks_of(reader, content, decompressor):
            before = chunk_id
            if not reader.has_chunk(chunk_id, DATA):
                name = block.listing.names[position].decode(errors="replace")
                path = block.listing.path.decode(errors="replace")
                yield f"/{path}/{name}: chunk {chunk_id.hex()[:8]} is in no known pack"


def chunks_of(reader: SnapshotReader, content: Content, decompressor: Decompressor) -> list[bytes]:
    """Return the ids of the chunks that hold the contents of an entry.

    Raises:
        CorruptObjectError: A list chunk cannot be read.
        MalformedObjectError: It is no list of extents.
    """
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
