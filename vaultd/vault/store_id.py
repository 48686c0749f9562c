"""The id of a store: what its snapshots have in common, and says nothing about it to others."""

from __future__ import annotations

from vaultd.crypto import hashing
from vaultd.vault.keyring import HostKeys

STORE_ID_BYTES = 16
_LABEL = b"vaultd/1 store"


def store_id(keys: HostKeys, name: str) -> bytes:
    """Return the id of one store of a host, 16 bytes.

    It stands unsealed in intents and roots; without the domain's key, which stays the same through
    all epochs, nobody can try names against it.

    Args:
        keys: What the host holds.
        name: The store's name.
    """
    host = keys.host.encode()
    named = _LABEL + bytes([len(host)]) + host + name.encode("utf-8", "surrogateescape")
    return hashing.keyed_hash(keys.current.chunk_id_key, named)[:STORE_ID_BYTES]
