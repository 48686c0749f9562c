"""Putting chunks into packs and packs into the backend, without threads of its own.

The pipeline calls `add` from several workers at once, `seal` from whichever of them filled a pack,
`upload` from threads that may wait for a network. Nothing here is visible to a reader until the
session commits.
"""

from __future__ import annotations

import threading

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.errors import ObjectExistsError
from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.format import pack as fmt
from vaultd.vault import layout
from vaultd.vault.chunk_index import ChunkIndex, PackRow
from vaultd.vault.packing import OpenPack, PackContext, SealedPack, Tools

DATA, META = fmt.DATA, fmt.META


class Added(Struct, frozen=True):
    """What became of a chunk.

    Attributes:
        chunk_id: Its id.
        new: It was not known and has been put into a pack.
        full: A pack that is complete now: seal and upload it.
    """

    chunk_id: bytes
    new: bool
    full: OpenPack | None


class Written(Struct):
    """Running totals of one session.

    Attributes:
        chunks: New chunks.
        raw: Their bytes before compression.
        stored: Bytes of uploaded packs.
    """

    chunks: int = 0
    raw: int = 0
    stored: int = 0


class PackWriter:
    """Writes the packs of one session.

    Args:
        backend: Where packs go.
        index: Where acknowledged packs are journalled, and known chunks are looked up.
        contexts: One for each kind of pack.
        since: Sessions whose holdings may be used instead of storing a chunk again.
        pack_bytes: Length from which on a pack is closed.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        index: ChunkIndex,
        contexts: dict[int, PackContext],
        since: frozenset[int],
        pack_bytes: int,
    ) -> None:
        self._backend = backend
        self._index = index
        self._contexts = contexts
        self._since = since
        self._pack_bytes = pack_bytes
        self._lock = threading.Lock()
        self._open: dict[int, list[OpenPack]] = {DATA: [], META: []}
        self._spooled: set[OpenPack] = set()
        self._filled: dict[int, int] = {DATA: 0, META: 0}
        self._pending: dict[tuple[int, bytes], None] = {}
        self.written = Written()
        self.used: set[int] = set()
        """Numbers of packs of earlier sessions in which a chunk was found."""

    @property
    def session(self) -> SessionId:
        """The session that writes."""
        return self._contexts[DATA].session

    def add(self, kind: int, raw: bytes | memoryview, tools: Tools) -> Added:
        """Store one chunk, unless this snapshot may rely on a copy that exists.

        Args:
            kind: `DATA` or `META`.
            raw: The chunk, at most 8 MiB; not kept.
            tools: Of the calling thread.
        """
        chunk_id = hashing.keyed_hash(self._contexts[kind].chunk_id_key, raw)
        key = (kind, chunk_id)
        with self._lock:
            if key in self._pending:
                return Added(chunk_id, new=False, full=None)
            found = self._index.locate(chunk_id, kind, self._since)
            if found is not None:
                self.used.add(found.pack)
                return Added(chunk_id, new=False, full=None)
            self._pending[key] = None
        method, body = tools.compressor.compress(raw)
        with self._lock:
            pack = self._choose(kind)
            record = pack.reserve(chunk_id, method, len(body), len(raw))
            self._close_when_full(pack)
            self.written.chunks += 1
            self.written.raw += len(raw)
        pack.write(record, body, tools)
        return Added(chunk_id, new=True, full=self._wrote(pack))

    def is_stored(self, chunk_id: bytes) -> bool:
        """Tell whether this snapshot may rely on a copy of a chunk, of whatever kind."""
        return any(
            self._index.locate(chunk_id, kind, self._since) is not None for kind in (DATA, META)
        )

    def _choose(self, kind: int) -> OpenPack:
        """Return an open pack; from the second on two are open at once, to spread neighbours."""
        packs = self._open[kind]
        if len(packs) < (2 if self._filled[kind] else 1):
            # It takes the chunk that it was opened for: a pack must not stay empty.
            packs.append(OpenPack(self._contexts[kind]))
            self._spooled.add(packs[-1])
            return packs[-1]
        return packs[self._contexts[kind].random(1)[0] % len(packs)]

    def _close_when_full(self, pack: OpenPack) -> None:
        if pack.end >= self._pack_bytes or len(pack.records) >= fmt.MAX_RECORDS - 1:
            self._filled[pack.kind] += 1
            self._open[pack.kind].remove(pack)
            pack.closed = True

    def _wrote(self, pack: OpenPack) -> OpenPack | None:
        with self._lock:
            pack.unwritten -= 1
            return pack if pack.closed and pack.unwritten == 0 else None

    def take_open(self, kind: int) -> list[OpenPack]:
        """Close and return the packs that are still open; call it when no `add` is running."""
        with self._lock:
            packs, self._open[kind] = self._open[kind], []
            for pack in packs:
                pack.closed = True
            return packs

    def upload(self, pack: SealedPack) -> None:
        """Put a proven pack and journal it; its spool file is closed in every case.

        Raises:
            StorageError: It could not be put; the session can be resumed.
        """
        try:
            name = layout.pack(self.session, pack.sha256)
            try:
                self._backend.put(name, pack.body, sha256=pack.sha256)
            except ObjectExistsError:
                # Names are hashes of contents: what is there under this name is this pack.
                if self._backend.head(name).size != pack.body.size:
                    raise
        finally:
            pack.close()
            with self._lock:
                self._spooled.discard(pack.opened)
        row = PackRow(0, self.session.seq, pack.sha256, pack.body.size, pack.kind, None)
        self._index.add_pack(row, pack.records, since=self.session.seq)
        with self._lock:
            self.written.stored += pack.body.size
            for record in pack.records:
                del self._pending[pack.kind, record.chunk_id]

    def discard(self) -> None:
        """Throw away what was not uploaded, after a failure; call it when nothing else runs."""
        for kind in (DATA, META):
            self.take_open(kind)
        for pack in self._spooled:
            pack.discard()
        self._spooled.clear()
