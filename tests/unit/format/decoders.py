"""Every decoder of the format by the kind that vectors name: what hostile bytes are thrown at."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.unit.format.samples import FIRST_OFFSET, PACK_HEADER, VAULT_ID
from vaultd.core.errors import VaultdError
from vaultd.core.snapshot import SessionId
from vaultd.crypto.aead import RecordCipher
from vaultd.format import codec, index, keys, log, machine, pack, session, signed, tree
from vaultd.vault import parts, pieces
from vaultd.vault.trust import open_object

Decoder = Callable[[bytes, Mapping[str, str]], object]

KINDS = (
    signed.VAULT,
    signed.POLICY,
    signed.BUNDLE,
    signed.INTENT,
    signed.OUTCOME,
    signed.LOG,
    machine.REQUEST,
    machine.GRANT,
)


def _struct(kind: type, limit: int) -> Decoder:
    return lambda data, _: codec.decode(kind, data, what="object", limit=limit)


def _signed(kind: signed.SignedKind) -> Decoder:
    return lambda data, _: signed.decode_signed(kind, data, what=kind.name)


def _refs(data: bytes, _: Mapping[str, str]) -> object:
    section = session.decode_section(session.RefsSection, data, what="refs")
    return section, list(session.pack_refs(section, what="refs"))


def _part_body(data: bytes, _: Mapping[str, str]) -> object:
    packs = index.decode_body(data, what="part")
    return packs, [index.records_in(one, what="pack") for one in packs]


def _tree_chunk(data: bytes, _: Mapping[str, str]) -> object:
    return [tree.decode_block(one, what="tree") for one in tree.split_blocks(data, what="tree")]


def _verified(data: bytes, headers: Mapping[str, str]) -> object:
    kind = next(one for one in KINDS if one.name == headers["object"])
    return open_object(kind, data, [bytes.fromhex(headers["public"])], what=kind.name)


def _record(data: bytes, headers: Mapping[str, str]) -> object:
    position, method, raw = (int(number) for number in headers["record"].split())
    header = bytes.fromhex(headers["header-sha256"])
    cipher = RecordCipher(bytes.fromhex(headers["key"]))
    return cipher.open(position, data, pack.record_aad(header, position, method, raw))


def _sealed_part(data: bytes, headers: Mapping[str, str]) -> object:
    secret = bytes.fromhex(headers["key"])
    return parts.open_part(data, SessionId(host="web1", seq=7), VAULT_ID, lambda *_: secret)


DECODERS: dict[str, Decoder] = {
    "vault-json": lambda data, _: keys.decode_vault_json(data),
    **{f"signed {kind.name}": _signed(kind) for kind in KINDS},
    "vault-body": _struct(keys.VaultBody, signed.VAULT.limit),
    "policy-body": _struct(keys.PolicyBody, signed.POLICY.limit),
    "bundle-body": _struct(keys.BundleBody, signed.BUNDLE.limit),
    "domain-secrets": _struct(keys.DomainSecrets, 171),
    "intent-body": _struct(session.IntentBody, signed.INTENT.limit),
    "outcome-body": _struct(session.OutcomeBody, signed.OUTCOME.limit),  # type: ignore[arg-type]  # a union
    "log-body": _struct(log.LogBody, signed.LOG.limit),
    "tag-names": _struct(log.TagNames, signed.LOG.limit),
    "request-body": _struct(machine.RequestBody, machine.REQUEST.limit),
    "grant-body": _struct(machine.GrantBody, machine.GRANT.limit),
    "grant-secrets": _struct(machine.GrantSecrets, machine.GRANT.limit),
    "refs-section": _refs,
    "label-section": lambda data, _: session.decode_section(
        session.LabelSection, data, what="label"
    ),
    "meta-section": lambda data, _: session.decode_section(session.MetaSection, data, what="meta"),
    "pack-header": lambda data, _: pack.decode_header(data, what="pack"),
    "trailer": lambda data, _: pack.decode_trailer(data, what="pack"),
    "table": lambda data, _: pack.decode_table(data, first_offset=FIRST_OFFSET, what="pack"),
    "index-part": lambda data, _: index.decode_part(data, what="part"),
    "part-body": _part_body,
    "tree-chunk": _tree_chunk,
    "block": lambda data, _: tree.decode_block(data, what="block"),
    "extents": lambda data, _: tree.unpack_extents(data, what="extents"),
    "pieces": lambda data, _: pieces.decompress(data, limit=1 << 20, what="pieces"),
}
"""What takes bytes alone."""

WITH_KEYS: dict[str, Decoder] = {
    "verified object": _verified,
    "record": _record,
    "sealed part": _sealed_part,
}
"""What also takes a key, from the headers of a vector."""


def outcome_of(kind: str, data: bytes) -> object:
    """Return what a decoder says to bytes: its value, or the `VaultdError` that it raised.

    Any other exception goes through: it is the defect that fuzzing looks for.
    """
    try:
        return DECODERS[kind](data, {})
    except VaultdError as error:
        return error


__all__ = ["DECODERS", "KINDS", "PACK_HEADER", "WITH_KEYS", "outcome_of"]
