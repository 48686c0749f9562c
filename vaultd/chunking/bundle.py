"""Where a bundle of small files ends: a question of its files, so that one more file moves little.

Ends are content-defined like those of chunks: they depend on the names and sizes of files, not on
how many came before, and two runs that differ in one file agree again a few bundles later.
"""

from __future__ import annotations

import zlib

from msgspec import Struct

from vaultd.core.errors import ConfigError
from vaultd.core.units import KIB, MIB

_SPREAD = 0x9E3779B1
"""Odd number near 2^32 / golden ratio: makes neighbouring sizes land far apart."""


class BundleRule(Struct, frozen=True, kw_only=True):
    """When to end a bundle.

    Attributes:
        min_bytes: Below this a bundle goes on.
        max_bytes: From here on it ends.
        mean_bytes: Between the two it goes on for this many bytes on average.

    Raises:
        ConfigError: The lengths are not positive and ascending.
    """

    min_bytes: int = 512 * KIB
    max_bytes: int = MIB
    mean_bytes: int = 256 * KIB

    def __post_init__(self) -> None:
        if not 0 < self.min_bytes <= self.max_bytes or self.mean_bytes <= 0:
            raise ConfigError("bundle lengths are not ascending: minimum, maximum")

    def ends_after(self, name: bytes, size: int, filled: int, salt: int = 0) -> bool:
        """Tell whether a bundle ends after the file that was just put into it.

        Args:
            name: The file's name.
            size: The file's bytes.
            filled: Bytes in the bundle, this file included.
            salt: What tells files of one name apart, such as the CRC-32 of their directory's name.
        """
        if filled < self.min_bytes:
            return False
        if filled >= self.max_bytes:
            return True
        # Every byte is equally likely to end it; a file's chance is that of all its bytes.
        mixed = (zlib.crc32(name, salt) ^ size * _SPREAD) & 0xFFFFFFFF
        return mixed * self.mean_bytes < size << 32
