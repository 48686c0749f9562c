"""Index parts, sealed and opened (FORMAT.md 7)."""

from __future__ import annotations

from collections.abc import Callable

from vaultd.core.errors import CorruptObjectError
from vaultd.core.snapshot import SessionId
from vaultd.crypto import aead, hashing
from vaultd.format import index as fmt
from vaultd.format.index import IndexedPack, PartHeader
from vaultd.vault import contexts, pieces
from vaultd.vault.keyring import DomainKeys

IndexKeyFinder = Callable[[str, int], bytes]
"""Gives K_idx of a domain and epoch, or raises `KeyringError`."""


def seal_part(header: PartHeader, packs: tuple[IndexedPack, ...], keys: DomainKeys) -> bytes:
    """Return an index part, ready to be put."""
    framed = fmt.encode_header(header)
    key = contexts.part_key(
        keys.index_key, header.vault_id, header.host, header.seq, header.number, header.uid
    )
    return framed + aead.seal_once(
        key, pieces.compress(fmt.encode_body(packs)), hashing.sha256(framed)
    )


def open_part(
    data: bytes, session: SessionId, vault_id: bytes, index_key: IndexKeyFinder
) -> tuple[IndexedPack, ...]:
    """Return the packs that an index part describes.

    Args:
        data: The object, its hash already checked against a signed root.
        session: The session in its name.
        vault_id: The vault.
        index_key: Gives K_idx of a domain and epoch: a chain may go on under newer keys.

    Raises:
        IntegrityError: It is malformed, of another session, or not what was sealed.
    """
    what = f"index part of {session}"
    header, framed, sealed = fmt.decode_part(data, what=what)
    if (header.vault_id, header.host, header.seq) != (vault_id, session.host, session.seq):
        raise CorruptObjectError(f"{what}: says that it belongs to {header.host}/{header.seq:010d}")
    secret = index_key(header.domain, header.epoch)
    key = contexts.part_key(secret, vault_id, header.host, header.seq, header.number, header.uid)
    body = aead.open_once(key, sealed, hashing.sha256(framed))
    return fmt.decode_body(
        pieces.decompress(body, limit=fmt.MAX_PART_RAW_BYTES, what=what), what=what
    )
