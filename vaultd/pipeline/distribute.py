"""From tree entries to chunks read once: pieces of files are grouped by the chunk they lie in.

The walk stays in tree order; chunks are fetched by a crew of threads, each once for all the small
files that share it. Memory is bounded by the number of pieces that may wait. A large file is left
to one thread, or to few: the kernel lets only one write to a file at a time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from vaultd.compression import Decompressor
from vaultd.core.errors import IntegrityError
from vaultd.core.events import ProblemKind
from vaultd.pipeline.browse import Piece
from vaultd.pipeline.workers import Crew
from vaultd.stores.base import TargetFile
from vaultd.vault.reader import DATA, SnapshotReader

OPEN_GROUPS, WAITING_PIECES = 48, 12_000

_RUN = 16
"""Chunks of a large file that one thread fetches in a row."""

_Group = tuple[bytes, list[tuple[TargetFile, Piece]]]
"""A chunk and the pieces that lie in it."""


class Distributor:
    """Fetches chunks on a crew and hands their pieces to files.

    Args:
        reader: The snapshot.
        crew: Its threads.
    """

    def __init__(self, reader: SnapshotReader, crew: Crew[Decompressor]) -> None:
        self._reader = reader
        self._crew = crew
        self._groups: OrderedDict[bytes, list[tuple[TargetFile, Piece]]] = OrderedDict()
        self._waiting = 0
        self._lock = threading.Lock()
        self.written = 0
        """Bytes handed to files."""
        self.files = 0
        """Pieces handed to files: for progress."""

    def add(self, file: TargetFile, pieces: list[Piece]) -> None:
        """Take the pieces of one file; a chunk is fetched when no more is expected of it."""
        for piece in pieces:
            group = self._groups.setdefault(piece.chunk_id, [])
            group.append((file, piece))
            self._groups.move_to_end(piece.chunk_id)
            self._waiting += 1
        if len(pieces) > 1:
            # Chunks of large files belong to them alone, as good as always.
            for start in range(0, len(pieces), _RUN):
                self._send([piece.chunk_id for piece in pieces[start : start + _RUN]])
        while len(self._groups) > OPEN_GROUPS or self._waiting > WAITING_PIECES:
            self._send([next(iter(self._groups))])

    def finish(self) -> None:
        """Fetch what is still waiting, and wait for everything."""
        while self._groups:
            self._send([next(iter(self._groups))])
        self._crew.drain()

    def _send(self, chunk_ids: Sequence[bytes]) -> None:
        """Have chunks fetched, one after the other by one thread; those sent before are left."""
        groups: list[_Group] = []
        for chunk_id in chunk_ids:
            group = self._groups.pop(chunk_id, None)
            if group is not None:
                self._waiting -= len(group)
                groups.append((chunk_id, group))
        if groups:
            self._crew.submit(lambda decompressor: self._deliver(groups, decompressor))

    def _deliver(self, groups: list[_Group], decompressor: Decompressor) -> None:
        for chunk_id, group in groups:
            self._deliver_chunk(chunk_id, group, decompressor)

    def _deliver_chunk(
        self, chunk_id: bytes, group: list[tuple[TargetFile, Piece]], decompressor: Decompressor
    ) -> None:
        try:
            chunk = memoryview(self._reader.read_chunk(chunk_id, DATA, decompressor))
        except IntegrityError as error:
            for file, _ in group:
                file.abandon(ProblemKind.DAMAGED, error.message)
            return
        size = len(chunk)
        done = 0
        for file, piece in group:
            end = piece.chunk_offset + piece.length
            if end > size:
                file.abandon(ProblemKind.DAMAGED, f"points to byte {end} of a chunk of {size}")
                continue
            file.write(piece.file_offset, chunk[piece.chunk_offset : end])
            done += piece.length
        with self._lock:
            self.written += done
            self.files += len(group)
