"""Reading a file from its beginning to its end, and cutting it where its contents say."""

from __future__ import annotations

import os
from collections.abc import Iterator

from vaultd.chunking.gear import Chunker

_LONGEST_CHUNKS = 2
"""Length of a buffer in longest chunks: what is left of one of them is moved to its beginning."""


class Stream:
    """The contents of one file from its beginning, holes left out.

    Args:
        fd: The file; its offset is neither used nor moved.
        segments: Offset and length of what is no hole; ``None``: all of it.
    """

    __slots__ = ("_at", "_fd", "_segments")

    def __init__(self, fd: int, segments: tuple[tuple[int, int], ...] | None) -> None:
        self._fd = fd
        self._at = 0
        self._segments = None if segments is None else list(reversed(segments))

    def fill(self, view: memoryview, filled: int) -> int:
        """Read on into ``view`` until it is full or the file ends; return how full it is.

        Raises:
            OSError: The file cannot be read.
        """
        size = len(view)
        while filled < size:
            offset, most = self._next(size - filled)
            got = os.preadv(self._fd, [view[filled : filled + most]], offset) if most else 0
            if got == 0:
                break
            self._advance(got)
            filled += got
        return filled

    def _next(self, room: int) -> tuple[int, int]:
        if self._segments is None:
            return self._at, room
        if not self._segments:
            return 0, 0
        offset, length = self._segments[-1]
        return offset, min(room, length)

    def _advance(self, got: int) -> None:
        if self._segments is None:
            self._at += got
            return
        offset, length = self._segments.pop()
        if got < length:
            self._segments.append((offset + got, length - got))


class Cutter:
    """Cuts whole files in one buffer of its own; each thread needs one.

    Args:
        chunker: Says where; used by this cutter alone.
    """

    def __init__(self, chunker: Chunker) -> None:
        self._chunker = chunker
        self._buffer = memoryview(b"")

    def chunks(self, stream: Stream) -> Iterator[memoryview]:
        """Yield the chunks of a file, each good until the next one is asked for.

        Raises:
            OSError: The file cannot be read.
        """
        if not self._buffer:
            # Made on demand: many runs meet no large file.
            self._buffer = memoryview(bytearray(_LONGEST_CHUNKS * self._chunker.params.max_bytes))
        buffer = self._buffer
        filled = stream.fill(buffer, 0)
        while filled:
            final = filled < len(buffer)
            cuts = self._chunker.cut(buffer[:filled], final=final)
            for start, end in cuts:
                yield buffer[start:end]
            if final:
                return
            end = cuts[-1][1]
            tail = filled - end
            buffer[:tail] = buffer[end:filled]
            filled = stream.fill(buffer, tail)
