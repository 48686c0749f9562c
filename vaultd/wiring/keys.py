"""Types of keys that callers above the vault name, and may not import from below it."""

from __future__ import annotations

from vaultd.crypto.recovery import KeyType
from vaultd.crypto.secret import Secret
from vaultd.crypto.signing import Signer

__all__ = ["KeyType", "Secret", "Signer"]
