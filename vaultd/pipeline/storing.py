"""Chunks to packs to the backend, on threads: workers that compress, uploaders that wait."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from vaultd.compression import Compressor, Level
from vaultd.pipeline.tree_writer import Ticket
from vaultd.pipeline.workers import Crew
from vaultd.vault.packing import OpenPack, SealedPack, Tools
from vaultd.vault.writer import DATA, META, PackWriter


class Storing:
    """Runs a session's writer on a crew of workers and a crew of uploaders.

    Args:
        writer: The session's.
        level: Of compression.
        workers: Threads that hash, compress, seal and prove.
        uploads: Threads that upload.
    """

    def __init__(self, writer: PackWriter, *, level: Level, workers: int, uploads: int) -> None:
        self._writer = writer
        self._workers: Crew[Tools] = Crew("worker", workers, 2, lambda: Tools(Compressor(level)))
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

    def submit(
        self,
        kind: int,
        raw: memoryview | bytes,
        ticket: Ticket,
        release: Callable[[], None] | None = None,
    ) -> None:
        """Queue one chunk; its ticket is settled when it has its place or is known."""

        def job(tools: Tools) -> None:
            added = self._writer.add(kind, raw, tools)
            ticket.chunk_id = added.chunk_id
            if added.full is not None:
                self._finish(added.full, tools)

        self._workers.submit(job, release)

    def submit_meta(self, raw: bytes) -> Ticket:
        """Queue one chunk of metadata and return its ticket."""
        ticket = Ticket()
        self.submit(META, raw, ticket)
        return ticket

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

    def _finish(self, pack: OpenPack, tools: Tools) -> None:
        sealed = pack.seal(tools)
        self._uploaders.submit(lambda _: self._upload(sealed))

    def _upload(self, sealed: SealedPack) -> None:
        self._writer.upload(sealed)
