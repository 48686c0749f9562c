"""Chunks to packs to the backend, on threads: workers that compress, uploaders that wait."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from msgspec import Struct

from vaultd.chunking.gear import Chunker
from vaultd.compression import Compressor, Level
from vaultd.pipeline.aside import Store
from vaultd.pipeline.cutting import Cutter
from vaultd.pipeline.tree_writer import Ticket
from vaultd.pipeline.workers import Crew
from vaultd.vault.packing import OpenPack, SealedPack, Tools
from vaultd.vault.writer import DATA, META, PackWriter


class _Desk(Struct, frozen=True):
    """What one worker owns."""

    tools: Tools
    cutter: Cutter


class Storing:
    """Runs a session's writer on a crew of workers and a crew of uploaders.

    Args:
        writer: The session's.
        level: Of compression.
        workers: Threads that hash, compress, seal and prove.
        uploads: Threads that upload.
        make_chunker: Makes what cuts the large files that one worker reads.
    """

    def __init__(
        self,
        writer: PackWriter,
        *,
        level: Level,
        workers: int,
        uploads: int,
        make_chunker: Callable[[], Chunker],
    ) -> None:
        def desk() -> _Desk:
            return _Desk(Tools(Compressor(level)), Cutter(make_chunker()))

        self._writer = writer
        self._workers: Crew[_Desk] = Crew("worker", workers, 2, desk)
        self._uploaders: Crew[None] = Crew("upload", uploads, 1, lambda: None)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the threads."""
        # Workers hand packs to uploaders, so they must stop first.
        self._stack.enter_context(self._uploaders)
        self._stack.enter_context(self._workers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop and join them."""
        self._stack.__exit__(kind, error, trace)

    def submit_data(self, raw: memoryview, ticket: Ticket, release: Callable[[], None]) -> None:
        """Queue one chunk of contents; its ticket is settled when it has its place or is known."""
        self._workers.submit(partial(self._settle, DATA, raw, ticket), release)

    def submit_meta(self, raw: bytes) -> Ticket:
        """Queue one chunk of metadata and return its ticket."""
        ticket = Ticket()
        self._workers.submit(partial(self._settle, META, raw, ticket))
        return ticket

    def submit_file(self, read: Callable[[Cutter, Store], None]) -> None:
        """Have a worker read a file and store its chunks when it has nothing else to do."""
        self._workers.submit_idle(
            lambda desk: read(desk.cutter, lambda raw: self._store(DATA, raw, desk))
        )

    def wait(self) -> None:
        """Wait until every chunk submitted so far has its id."""
        self._workers.drain()

    def flush(self, kind: int) -> None:
        """Finish the packs of one kind that are still open; they are uploaded by and by."""
        self._workers.drain()
        for pack in self._writer.take_open(kind):
            self._workers.submit(partial(self._finish, pack))

    def finish(self) -> None:
        """Wait until everything is in the backend."""
        for kind in (DATA, META):
            self.flush(kind)
        self._workers.drain()
        self._uploaders.drain()

    def _settle(self, kind: int, raw: memoryview | bytes, ticket: Ticket, desk: _Desk) -> None:
        ticket.chunk_id = self._store(kind, raw, desk)

    def _store(self, kind: int, raw: memoryview | bytes, desk: _Desk) -> bytes:
        added = self._writer.add(kind, raw, desk.tools)
        if added.full is not None:
            self._finish(added.full, desk)
        return added.chunk_id

    def _finish(self, pack: OpenPack, desk: _Desk) -> None:
        sealed = pack.seal(desk.tools)
        self._uploaders.submit(lambda _: self._upload(sealed))

    def _upload(self, sealed: SealedPack) -> None:
        self._writer.upload(sealed)
