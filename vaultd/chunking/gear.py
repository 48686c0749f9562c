"""Content-defined chunks of big files: FastCDC with a gear table that a key changes.

The key makes cuts differ between domains; it does not make them a secret, because lengths of known
files give it away (FORMAT.md 6.4). Chunk lengths are hidden by packs, not by this.

Source: FastCDC, Xia et al., USENIX ATC 2016, and its 2020 revision (two bytes a step).
"""

from __future__ import annotations

import hashlib

from msgspec import Struct
from pyfastcdc import FastCDC

from vaultd.core.errors import ConfigError
from vaultd.core.units import KIB, MIB

_SEED_LABEL = b"vaultd/1 gear seed\0"
_SEEDS = (1 << 63) - 1
"""Seeds run from 1 to this: 0 means the public table, and the library doubles them in 64 bits."""


class ChunkerParams(Struct, frozen=True, kw_only=True):
    """Lengths of chunks, in bytes.

    Attributes:
        min_bytes: No chunk is shorter, but the last of a file.
        avg_bytes: Where cuts become likely; a power of two.
        max_bytes: No chunk is longer.

    Raises:
        ConfigError: A length is out of its limits, or they are not ascending.
    """

    min_bytes: int = 512 * KIB
    avg_bytes: int = MIB
    max_bytes: int = 2 * MIB

    def __post_init__(self) -> None:
        limits = (
            ("minimum", self.min_bytes, 64, MIB),
            ("average", self.avg_bytes, 256, 4 * MIB),
            ("maximum", self.max_bytes, KIB, 8 * MIB),
        )
        for name, value, low, high in limits:
            if not low <= value <= high:
                raise ConfigError(f"{name} chunk length is {value}, expected {low} to {high}")
        if not self.min_bytes <= self.avg_bytes <= self.max_bytes:
            raise ConfigError("chunk lengths are not ascending: minimum, average, maximum")
        if self.avg_bytes & (self.avg_bytes - 1):
            raise ConfigError(f"average chunk length is {self.avg_bytes}, expected a power of two")


class Chunker:
    """Cuts buffers; keeps nothing between calls, but serves one thread at a time.

    Args:
        key: 32 bytes (``K_cdc``); equal keys cut equally.
        params: Lengths.
    """

    __slots__ = ("_cdc", "params")

    def __init__(self, key: bytes, params: ChunkerParams) -> None:
        digest = hashlib.sha256(_SEED_LABEL + key).digest()
        self.params = params
        self._cdc = FastCDC(
            params.avg_bytes,
            min_size=params.min_bytes,
            max_size=params.max_bytes,
            seed=1 + int.from_bytes(digest[:8], "big") % _SEEDS,
        )

    def cut(self, buffer: memoryview, *, final: bool) -> list[tuple[int, int]]:
        """Return (start, end) of the chunks at the beginning of ``buffer``, one after the other.

        Where a file is cut does not depend on how it was split into buffers: a chunk is returned
        only when no byte after the buffer could change its end.

        Args:
            buffer: Contiguous bytes that begin at a chunk's start.
            final: The file ends with this buffer, so everything is cut. Otherwise the bytes after
                the last end stay with the caller, to be put before the next ones; when the buffer
                holds at least ``params.max_bytes``, there is at least one chunk.
        """
        length = len(buffer)
        cuts = [
            (chunk.offset, chunk.offset + chunk.length)
            for chunk in self._cdc.cut_buf(buffer.cast("B"))
        ]
        if cuts and not final:
            start, end = cuts[-1]
            # No cut was found up to the end of the buffer; more bytes may show one.
            if end == length and end - start < self.params.max_bytes:
                cuts.pop()
        return cuts
