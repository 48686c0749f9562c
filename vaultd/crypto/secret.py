"""A value that must not reach a log, a message, a traceback or a file by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn

from vaultd.core.errors import KeyringError


class Secret:  # noqa: PLW1641 - not hashable on purpose: a table would leak what equality hides
    """Bytes that show themselves only when asked to.

    ``repr``, ``str`` and ``format`` give ``***``; it cannot be pickled, copied into another process
    or used as a key of a dictionary; comparing takes the same time wherever the difference is.

    Args:
        value: The secret bytes.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the secret bytes."""
        return self._value

    def __repr__(self) -> str:
        """Return ``***``."""
        return "***"

    def __len__(self) -> int:
        """Return the number of secret bytes."""
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare with another secret in constant time; never equal to anything else."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise KeyringError("a secret cannot be pickled")
