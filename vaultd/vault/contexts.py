"""What keys and signatures are bound to: every label of FORMAT.md in one place."""

from __future__ import annotations

import struct

from vaultd.crypto import hashing, kdf

_SEQ = struct.Struct(">Q")
_NUMBER = struct.Struct(">I")


def session(vault_id: bytes, host: str, seq: int) -> bytes:
    """Return the bytes that name a session: vault id, length and name of the host, number."""
    name = host.encode()
    return vault_id + bytes([len(name)]) + name + _SEQ.pack(seq)


def pack_info(vault_id: bytes, host: str, seq: int, uid: bytes, kind: int) -> bytes:
    """Return what the key of a pack is sealed with."""
    return b"vaultd/1 pack" + session(vault_id, host, seq) + uid + bytes([kind])


def pack_keys(pack_key: bytes) -> tuple[bytes, bytes]:
    """Return record key and commitment of a pack's key."""
    return kdf.derive(pack_key, b"vaultd/1 enc"), kdf.derive(pack_key, b"vaultd/1 commit")


def part_key(
    index_key: bytes, vault_id: bytes, host: str, seq: int, number: int, uid: bytes
) -> bytes:
    """Return the key of one index part."""
    info = b"vaultd/1 index" + session(vault_id, host, seq) + _NUMBER.pack(number) + uid
    return kdf.derive(index_key, info)


def refs_key(index_key: bytes, vault_id: bytes, host: str, seq: int) -> bytes:
    """Return the key of a root's refs section."""
    return kdf.derive(index_key, b"vaultd/1 refs" + session(vault_id, host, seq))


def label_key(chunk_id_key: bytes, vault_id: bytes, host: str, seq: int) -> bytes:
    """Return the key of a root's label section."""
    return kdf.derive(chunk_id_key, b"vaultd/1 label" + session(vault_id, host, seq))


def meta_info(vault_id: bytes, host: str, seq: int) -> bytes:
    """Return what the key of a root's meta section is sealed with."""
    return b"vaultd/1 meta" + session(vault_id, host, seq)


def tags_key(index_key: bytes, vault_id: bytes, number: int) -> bytes:
    """Return the key of the tag names in one log entry."""
    return kdf.derive(index_key, b"vaultd/1 tags" + vault_id + _SEQ.pack(number))


def bundle_info(vault_id: bytes, domain: str, epoch: int) -> bytes:
    """Return what the secrets of a domain and epoch are sealed with."""
    return b"vaultd/1 domain" + vault_id + _NUMBER.pack(epoch) + domain.encode()


def bundle_commitment(secrets: bytes) -> bytes:
    """Return what a bundle says of its encoded secrets, so that all copies seal the same ones."""
    return hashing.sha256(b"vaultd/1 bundle commit" + secrets)


def grant_info(vault_id: bytes, request_sha256: bytes) -> bytes:
    """Return what the keys in an enrolment grant are sealed with."""
    return b"vaultd/1 grant secrets" + vault_id + request_sha256


def canary_info(vault_id: bytes) -> bytes:
    """Return what the canary of a key test is sealed with."""
    return b"vaultd/1 canary" + vault_id
