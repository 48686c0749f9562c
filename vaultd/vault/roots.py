"""The sections of a snapshot's root, sealed and opened (FORMAT.md 9).

Three readers, three keys: a keeper opens the refs, hosts of the domain also the label, and only who
holds a recovery key (or the domain's meta key) the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from vaultd.core.errors import CorruptObjectError, MalformedObjectError
from vaultd.core.snapshot import SessionId
from vaultd.crypto import aead, recipients
from vaultd.format.codec import decode
from vaultd.format.pack import SEALED_KEY_BYTES
from vaultd.format.session import (
    SECTION_LIMIT,
    LabelSection,
    MetaSection,
    OutcomeBody,
    RefsSection,
    RootBody,
    decode_section,
    encode_section,
    pack_refs,
)
from vaultd.format.signed import OUTCOME
from vaultd.vault import contexts, layout, pieces
from vaultd.vault.keyring import DomainKeys
from vaultd.vault.trust import Trust, open_object

Section = TypeVar("Section", RefsSection, LabelSection, MetaSection)


def seal_refs(refs: RefsSection, keys: DomainKeys, vault_id: bytes, session: SessionId) -> bytes:
    """Seal what a keeper may know."""
    key = contexts.refs_key(keys.index_key, vault_id, session.host, session.seq)
    return aead.seal_once(key, _packed(refs), b"")


def seal_label(label: LabelSection, keys: DomainKeys, vault_id: bytes, session: SessionId) -> bytes:
    """Seal what hosts of the domain may know."""
    key = contexts.label_key(keys.chunk_id_key, vault_id, session.host, session.seq)
    return aead.seal_once(key, _packed(label), b"")


def seal_meta(
    meta: MetaSection,
    keys: DomainKeys,
    vault_id: bytes,
    session: SessionId,
    random: Callable[[int], bytes],
) -> bytes:
    """Seal what only readers may know, under a fresh key sealed to the domain's meta key."""
    key = random(32)
    info = contexts.meta_info(vault_id, session.host, session.seq)
    sealed_key = recipients.seal(keys.meta_public, key, info)
    return sealed_key + aead.seal_once(key, _packed(meta), b"")


def _packed(section: Section) -> bytes:
    """Encode and compress a section, once it has been shown that a reader will take it."""
    encoded = encode_section(section)
    decode_section(type(section), encoded, what="section to be sealed")
    return pieces.compress(encoded)


def _open(kind: type[Section], key: bytes, sealed: bytes | memoryview, what: str) -> Section:
    packed = aead.open_once(key, sealed, b"")
    return decode_section(
        kind, pieces.decompress(packed, limit=SECTION_LIMIT, what=what), what=what
    )


def open_refs(root: RootBody, index_key: bytes) -> RefsSection:
    """Open what a keeper may know.

    Args:
        root: The root.
        index_key: K_idx of its domain and epoch.

    Raises:
        IntegrityError: Not what was sealed, or malformed.
    """
    key = contexts.refs_key(index_key, root.vault_id, root.host, root.seq)
    return _open(RefsSection, key, root.refs, f"refs of snapshot {root.host}/{root.seq:010d}")


def needed(root: RootBody, refs: RefsSection) -> Iterator[tuple[str, int]]:
    """Yield name and bytes of every pack and index part that restoring a snapshot needs.

    Raises:
        MalformedObjectError: The refs contradict themselves.
    """
    for ref in pack_refs(refs, what=f"refs of snapshot {root.host}/{root.seq:010d}"):
        yield layout.pack(SessionId(host=root.host, seq=ref.seq), ref.sha256), ref.size
    for part in refs.parts:
        yield layout.part(SessionId(host=root.host, seq=part.seq), part.sha256), part.size


def open_label(root: RootBody, chunk_id_key: bytes) -> LabelSection:
    """Open what hosts of the domain may know.

    Args:
        root: The root.
        chunk_id_key: K_id of its domain.

    Raises:
        IntegrityError: Not what was sealed, or malformed.
    """
    key = contexts.label_key(chunk_id_key, root.vault_id, root.host, root.seq)
    return _open(LabelSection, key, root.label, f"label of snapshot {root.host}/{root.seq:010d}")


def open_meta(root: RootBody, meta_seed: bytes) -> MetaSection:
    """Open what only readers may know.

    Raises:
        IntegrityError: Not what was sealed, or malformed.
    """
    what = f"metadata of snapshot {root.host}/{root.seq:010d}"
    if len(root.meta) <= SEALED_KEY_BYTES:
        raise MalformedObjectError(
            f"{what}: {len(root.meta)} bytes, expected more than {SEALED_KEY_BYTES}"
        )
    info = contexts.meta_info(root.vault_id, root.host, root.seq)
    key = recipients.open(meta_seed, root.meta[:SEALED_KEY_BYTES], info)
    return _open(MetaSection, key, memoryview(root.meta)[SEALED_KEY_BYTES:], what)


def open_outcome(data: bytes, session: SessionId, trust: Trust) -> OutcomeBody:
    """Verify and decode an outcome: who may sign it depends on what it says.

    Raises:
        IntegrityError: Malformed, of another session, or not signed by who may.
    """
    what = layout.outcome(session)
    allowed = (*trust.host_keys(session.host, session.seq), *trust.keeper_keys())
    encoded = open_object(OUTCOME, data, allowed, what=what)
    body: OutcomeBody = decode(OutcomeBody, encoded, what=what, limit=OUTCOME.limit)  # type: ignore[arg-type]  # a union of structs
    if (body.vault_id, body.host, body.seq) != (trust.vault_id, session.host, session.seq):
        raise CorruptObjectError(f"{what}: says that it is {body.host}/{body.seq:010d}")
    if isinstance(body, RootBody):
        open_object(OUTCOME, data, trust.host_keys(session.host, session.seq), what=what)
    return body
