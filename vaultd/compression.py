"""zstd for chunks, and the gate that every compressed byte from a vault passes on its way back.

What comes back may have been written by an attacker who holds a host's keys, so nothing in a frame
is believed: its header is read first and must promise exactly the length that the sealed record
promises (FORMAT.md 6.3).
"""

from __future__ import annotations

from typing import Literal

import zstandard

from vaultd.core.errors import CorruptObjectError, MalformedObjectError

Buffer = bytes | bytearray | memoryview
Level = Literal["fast", "better"]

RAW, ZSTD = 0, 1
"""Methods, as stored in a record."""

MAX_RAW_BYTES = 8 << 20
"""Longest plaintext of a record."""

_MAX_WINDOW_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20
_WORTH_PERCENT = 98


class Compressor:
    """Compresses chunks, one after the other; each thread needs its own.

    Args:
        level: ``fast``, or ``better``: about 3 % less to store, for a sixth more time of a backup.
    """

    __slots__ = ("_zstd",)

    def __init__(self, level: Level = "fast") -> None:
        self._zstd = zstandard.ZstdCompressor(compression_params=_parameters(level))

    def compress(self, data: Buffer) -> tuple[int, Buffer]:
        """Return how ``data`` is to be stored, and the bytes to store.

        Args:
            data: At most `MAX_RAW_BYTES`, contiguous.

        Returns:
            (`ZSTD`, one frame with its content size), or (`RAW`, ``data`` itself) when the frame
            would not be below 98 % of it.
        """
        # No sample is tried first: zstd passes noise at 5 GB/s, and samples miss the compressible
        # tenth of a document once in three times.
        frame = self._zstd.compress(data)
        if len(frame) * 100 < len(data) * _WORTH_PERCENT:
            return ZSTD, frame
        return RAW, data


class Decompressor:
    """Decompresses record bodies, trusting none of them; each thread needs its own."""

    __slots__ = ("_zstd",)

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)

    def decompress(self, method: int, body: Buffer, raw_len: int) -> Buffer:
        """Return the ``raw_len`` bytes that a record body stands for.

        Args:
            method: `RAW` or `ZSTD`, as the record says.
            body: The stored bytes; returned as they are when the method is `RAW`.
            raw_len: The length that the record promises.

        Raises:
            MalformedObjectError: Method, length or frame break a limit; nothing was decompressed.
            CorruptObjectError: The frame does not hold what its header says.
        """
        if not 0 <= raw_len <= MAX_RAW_BYTES:
            raise MalformedObjectError(
                f"record promises {raw_len} bytes, expected at most {MAX_RAW_BYTES}"
            )
        if method == RAW:
            if len(body) != raw_len:
                raise MalformedObjectError(f"raw record is {len(body)} bytes, expected {raw_len}")
            return body
        if method != ZSTD:
            raise MalformedObjectError(f"compression method is {method}, expected {RAW} or {ZSTD}")
        _check_frame(body, raw_len)
        try:
            # This also refuses contents of another length than the header just checked.
            return self._zstd.decompress(body, max_output_size=raw_len, allow_extra_data=False)
        except zstandard.ZstdError as exc:
            raise CorruptObjectError("zstd frame does not hold what it promises") from exc


def _check_frame(body: Buffer, raw_len: int) -> None:
    # The library obeys a size in the header before any limit given to it, allocates what it says,
    # takes skippable frames for empty ones, and looks no further when the content is empty.
    if raw_len == 0 or bytes(body[:4]) != zstandard.FRAME_HEADER:
        raise MalformedObjectError("compressed record does not begin with a zstd frame")
    try:
        frame = zstandard.get_frame_parameters(body)
    except zstandard.ZstdError as exc:
        raise MalformedObjectError("zstd frame header cannot be read") from exc
    if frame.content_size != raw_len:
        raise MalformedObjectError(
            f"zstd frame promises {frame.content_size} bytes, expected {raw_len}"
        )
    if frame.window_size > _MAX_WINDOW_BYTES:
        raise MalformedObjectError(
            f"zstd window is {frame.window_size} bytes, expected at most {_MAX_WINDOW_BYTES}"
        )
    if frame.dict_id != 0:
        raise MalformedObjectError("zstd frame needs a dictionary, expected none")


def _parameters(level: Level) -> zstandard.ZstdCompressionParameters:
    if level == "better":
        return zstandard.ZstdCompressionParameters.from_level(3, source_size=_CHUNK_BYTES)
    # With chunks of 1 MiB, level 2 is a fast strategy with a hash table of that size: it stores
    # as little as other fast strategies with larger ones, in a tenth less time.
    return zstandard.ZstdCompressionParameters.from_level(2, source_size=_CHUNK_BYTES)
