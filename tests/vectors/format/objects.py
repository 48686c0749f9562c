"""Vectors of frames, signed objects, keys, sessions and the log."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator

from tests.unit.format import samples
from tests.unit.format.samples import changed, fields_of
from tests.vectors.format.vector import Vector
from vaultd.crypto import signing
from vaultd.format import keys, pack, signed
from vaultd.format.codec import Packed, encode, frame

MALFORMED, UNSUPPORTED, CORRUPT = "malformed", "unsupported", "corrupt"
SIGNATURE = signed.Signature(key_id=b"k" * 16, value=b"s" * 64)


def bad(name: str, kind: str, comment: str, body: bytes) -> Vector:
    """Return a vector that must be refused as malformed."""
    return Vector(name, kind, MALFORMED, comment, body)


def good(name: str, kind: str, comment: str, body: bytes) -> Vector:
    """Return a vector that must be taken."""
    return Vector(name, kind, "ok", comment, body)


def field(kind: str, sample: Packed, comment: str, /, **fault: object) -> Vector:
    """Return a struct with one field that breaks its type."""
    (name,) = fault
    return bad(f"{kind}-{name.replace('_', '-')}", kind, comment, encode(changed(sample, **fault)))


def frames() -> Iterator[Vector]:
    """Yield frames with every fault that a frame can have, on an intent."""
    kind = "signed intent"
    whole = signed.encode_signed(signed.INTENT, encode(samples.INTENT), (SIGNATURE,))
    body_end = len(whole) - 81
    yield good("frame", kind, "an intent with one signature", whole)
    two = signed.encode_signed(signed.INTENT, encode(samples.INTENT), (SIGNATURE, SIGNATURE))
    yield good("frame-two-signatures", kind, "an intent with two signatures", two)
    yield bad("frame-empty", kind, "no bytes at all", b"")
    yield bad("frame-short", kind, "ends inside the length", whole[:11])
    yield bad("frame-magic", kind, "another magic", b"VLTSESSX" + whole[8:])
    yield bad(
        "frame-other-kind", kind, "a pack where an intent is expected", b"VLTPACK1" + whole[8:]
    )
    newer = b"VLTSESS2" + whole[8:]
    yield Vector("frame-newer", kind, UNSUPPORTED, "the next version of the kind", newer)
    length = struct.pack("<I", body_end - 12 + 1)
    yield bad(
        "frame-length-one-more",
        kind,
        "the body takes a byte of the signatures",
        whole[:8] + length + whole[12:],
    )
    yield bad("frame-length-huge", kind, "a body of 4 GiB", whole[:8] + b"\xff" * 4 + whole[12:])
    yield bad(
        "frame-big-endian", kind, "length big-endian", whole[:8] + whole[8:12][::-1] + whole[12:]
    )
    yield bad("frame-cut", kind, "ends inside the body", whole[: body_end - 1])
    yield bad("signed-no-signatures", kind, "no count of signatures", whole[:body_end])
    yield bad("signed-zero-signatures", kind, "zero signatures", whole[:body_end] + b"\0")
    nine = whole[:body_end] + bytes([9]) + whole[body_end + 1 :] * 9
    yield bad("signed-nine-signatures", kind, "one signature too many", nine)
    yield bad("signed-cut-signature", kind, "last byte missing", whole[:-1])
    yield bad("signed-trailing", kind, "a byte behind the signatures", whole + b"\0")


def signatures() -> Iterator[Vector]:
    """Yield real signatures: right, and each thing wrong that a signature can notice."""
    kind = "verified object"
    signer = signing.Signer(samples.KEY)
    body = encode(samples.INTENT)
    headers = {"object": "intent", "public": signer.public.hex()}
    key_id = signing.key_id(signer.public)

    def signed_as(label: bytes, text: bytes = body, name: bytes = key_id) -> bytes:
        signature = signed.Signature(key_id=name, value=signer.sign(label, text))
        return signed.encode_signed(signed.INTENT, body, (signature,))

    right = signed_as(signed.INTENT.label)
    yield Vector("signature", kind, "ok", "signed by the key in the header", right, headers)
    stranger = {**headers, "public": signing.Signer(bytes(32)).public.hex()}
    yield Vector(
        "signature-stranger", kind, CORRUPT, "right, by a key that may not", right, stranger
    )
    wrong = [
        ("label", "signed as an outcome", signed_as(signed.OUTCOME.label)),
        ("other-body", "of another body", signed_as(signed.INTENT.label, b"\x90")),
        ("key-id", "under the name of another key", signed_as(signed.INTENT.label, name=bytes(16))),
        ("flipped", "one bit of the signature flipped", right[:-1] + bytes([right[-1] ^ 1])),
        (
            "body-flipped",
            "one bit of the body flipped",
            right[:20] + bytes([right[20] ^ 1]) + right[21:],
        ),
    ]
    for name, comment, body_of_object in wrong:
        yield Vector(f"signature-{name}", kind, CORRUPT, comment, body_of_object, headers)
    both = right[:-81] + b"\x02" + bytes(80) + right[-80:]
    yield Vector(
        "signature-second", kind, "ok", "an unknown key's signature before it", both, headers
    )


def messagepack() -> Iterator[Vector]:
    """Yield what MessagePack allows and the format does not, on an intent's body."""
    kind = "intent-body"
    whole = encode(samples.INTENT)
    all_fields = fields_of(samples.INTENT)
    yield good("intent-body", kind, "every field", whole)
    yield bad("messagepack-empty", kind, "no bytes", b"")
    yield bad("messagepack-trailing", kind, "a byte behind the value", whole + b"\0")
    yield bad("messagepack-cut", kind, "last byte missing", whole[:-1])
    yield bad("messagepack-field-missing", kind, "last field missing", encode(all_fields[:-1]))
    yield bad("messagepack-field-added", kind, "one field too many", encode([*all_fields, 0]))
    yield bad("messagepack-map", kind, "a map instead of an array", encode({"seq": 7}))
    yield bad("messagepack-nil", kind, "nil instead of the struct", b"\xc0")
    yield bad(
        "messagepack-array-huge",
        kind,
        "an array of 2^32 - 1 fields",
        b"\xdd\xff\xff\xff\xff" + whole[1:],
    )
    yield bad(
        "messagepack-bytes-huge", kind, "bytes of 4 GiB", b"\x98\xc6\xff\xff\xff\xff" + whole[3:]
    )
    yield bad("messagepack-deep", kind, "ten thousand arrays in each other", b"\x91" * 10_000)
    yield bad("messagepack-extension", kind, "an extension type", whole[:-1] + b"\xd4\x01\x00")
    faults: list[tuple[str, object, str]] = [
        ("software", b"vaultd", "bytes where text belongs"),
        ("vault_id", "sixteen letters!", "text where bytes belong"),
        ("seq", 7.0, "a float"),
        ("host", True, "a boolean where text belongs"),
    ]
    for name, value, comment in faults:
        yield bad(
            f"messagepack-type-{name.replace('_', '-')}",
            kind,
            comment,
            encode(changed(samples.INTENT, **{name: value})),
        )
    text = encode(changed(samples.INTENT, software="vault"))
    yield bad("messagepack-not-utf8", kind, "text that is not UTF-8", text[:-1] + b"\xff")
    yield good(
        "messagepack-long-forms",
        kind,
        "longer forms than needed: readers take them",
        b"\xdc\x00\x08" + whole[1:],
    )


def sessions() -> Iterator[Vector]:
    """Yield bodies of intents, outcomes and log entries."""
    intent, outcome, log = "intent-body", "outcome-body", "log-body"
    yield field(intent, samples.INTENT, "vault id of 15 bytes", vault_id=bytes(15))
    yield field(intent, samples.INTENT, "session 0", seq=0)
    yield field(intent, samples.INTENT, "a host name that leaves its folder", host="../web1")
    yield field(intent, samples.INTENT, "time before 1970", started_ns=-1)
    yield field(intent, samples.INTENT, "adopts session 0", adopts=[5, 0])
    yield field(intent, samples.INTENT, "log number that no name can carry", log_seen=1 << 32)
    yield good("outcome-snapshot", outcome, "a root", encode(samples.ROOT))
    yield good("outcome-superseded", outcome, "closed by its own host", encode(samples.SUPERSEDED))
    yield good("outcome-revoked", outcome, "closed by a keeper", encode(samples.REVOKED))
    yield good(
        "outcome-first",
        outcome,
        "the first of its store",
        encode(changed(samples.ROOT, previous=None)),
    )
    yield bad(
        "outcome-tag",
        outcome,
        "a tag that nobody knows",
        encode(["undecided", *fields_of(samples.REVOKED)[1:]]),
    )
    yield bad("outcome-no-tag", outcome, "no tag", encode(fields_of(samples.REVOKED)[1:]))
    yield field(outcome, samples.ROOT, "a kind of snapshot that does not exist", kind="partial")
    line = encode(changed(samples.ROOT, kind="full\n"))
    yield bad("outcome-body-kind-line", outcome, "a kind with a line end", line)
    yield field(outcome, samples.ROOT, "chain 0", chain=0)
    yield field(outcome, samples.ROOT, "hash of 33 bytes", log_sha256=bytes(33))
    yield field(outcome, samples.ROOT, "hash of 31 bytes", previous=[4, bytes(31)])
    yield field(outcome, samples.ROOT, "epoch 0", epoch=0)
    yield field(outcome, samples.ROOT, "name with a capital letter", host="Web1")
    yield field(outcome, samples.ROOT, "a section as text", refs="refs")
    yield good("log-forget", log, "a snapshot is forgotten", encode(samples.LOG_FORGET))
    yield good("log-tag", log, "tags change", encode(samples.LOG_TAG))
    for tag in sorted(samples.EVENTS.keys() - {"forget", "tag"}):
        event = fields_of(samples.EVENTS[tag])
        entry = encode(changed(samples.LOG_FORGET, event=event))
        yield good(f"log-{tag}", log, f"the event {tag}", entry)
    unknown = changed(samples.LOG_FORGET, event=["condemn", "web1", 4])
    yield bad("log-unknown-event", log, "an event that this version does not know", encode(unknown))
    strange = changed(samples.LOG_FORGET, event=["decree", "web1", 4])
    yield bad("log-unknown-tag", log, "an event with a tag that nobody knows", encode(strange))
    wrong = changed(samples.EVENTS["avoid"], why="because")
    yield bad("log-avoid-why", log, "a reason to avoid that nobody knows", encode(changed(samples.LOG_FORGET, event=wrong)))
    yield field(log, samples.LOG_FORGET, "entry 0", number=0)
    yield field(log, samples.LOG_FORGET, "no event", event=None)
    yield good("tag-names", "tag-names", "one added, one removed", encode(samples.TAG_NAMES))


def key_objects() -> Iterator[Vector]:
    """Yield ``vault.json`` and bodies of policies, bundles and enrolment."""
    yield good("vault-body", "vault-body", "one admin", encode(samples.VAULT))
    yield field("vault-body", samples.VAULT, "an admin key of 31 bytes", admin_keys=[bytes(31)])
    yield good("policy-body", "policy-body", "one of each", encode(samples.POLICY))
    yield field("policy-body", samples.POLICY, "policy 0", number=0)
    host = changed(samples.HOST, domain="")
    yield field("policy-body", samples.POLICY, "a host without domain", hosts=[host])
    recipient = changed(samples.RECIPIENT, public=samples.PUBLIC[:-1])
    yield field("policy-body", samples.POLICY, "a public key of 1215 bytes", recipients=[recipient])
    yield good("bundle-body", "bundle-body", "sealed to one key", encode(samples.BUNDLE))
    yield field(
        "bundle-body",
        samples.BUNDLE,
        "a public key of 1217 bytes",
        meta_public=samples.PUBLIC + b"x",
    )
    yield good("domain-secrets", "domain-secrets", "171 bytes", encode(samples.SECRETS))
    yield field("domain-secrets", samples.SECRETS, "an empty key", index_key=b"")
    yield good("request-body", "request-body", "a host asks", encode(samples.REQUEST))
    yield field("request-body", samples.REQUEST, "a role that does not exist", role="admin")
    yield good("grant-body", "grant-body", "a keeper is let in", encode(samples.GRANT))
    yield good(
        "grant-secrets", "grant-secrets", "keys of one domain", encode(samples.GRANT_SECRETS)
    )
    yield from vault_json()


def vault_json() -> Iterator[Vector]:
    """Yield ``vault.json`` whole and with each fault of its own."""
    kind = "vault-json"
    body = signed.encode_signed(signed.VAULT, encode(samples.VAULT), (SIGNATURE,))
    yield good(
        "vault-json",
        kind,
        "as it is written",
        keys.encode_vault_json(body, vault_id=samples.VAULT_ID),
    )
    text = {"vaultd_format": 1, "about": "", "signed": base64.b64encode(body).decode()}

    def as_json(**fault: object) -> bytes:
        return json.dumps(text | fault).encode()

    yield Vector("vault-json-newer", kind, UNSUPPORTED, "the next format", as_json(vaultd_format=2))
    newer = b'{"vaultd_format": 2}'
    yield Vector(
        "vault-json-newer-shape", kind, UNSUPPORTED, "the next format in another shape", newer
    )
    yield bad("vault-json-not-json", kind, "a web page", b"<html>404</html>")
    yield bad("vault-json-no-format", kind, "no number of the format", b"{}")
    yield bad("vault-json-text-format", kind, "the number as text", as_json(vaultd_format="1"))
    yield bad(
        "vault-json-not-base64",
        kind,
        "base64 with a letter that has no place",
        as_json(signed="!!!!"),
    )
    yield bad(
        "vault-json-not-ascii",
        kind,
        "base64 outside ASCII",
        as_json(signed="\u00e9\u00e9\u00e9\u00e9"),
    )
    yield bad(
        "vault-json-not-utf8", kind, "text that is not UTF-8", b'{"vaultd_format":1,"about":"\xff"}'
    )
    yield bad("vault-json-deep", kind, "brackets in each other", b"[" * 10_000)


def packs_as_objects() -> Iterator[Vector]:
    """Yield headers of packs, whose frame carries no signature."""
    kind = "pack-header"
    yield good("pack-header", kind, "a data pack", pack.encode_header(samples.PACK_HEADER))
    faults: list[tuple[str, object, str]] = [
        ("kind", 2, "a kind of pack that does not exist"),
        ("uid", bytes(15), "a uid of 15 bytes"),
        ("sealed", bytes(1167), "a sealed key that is a byte short"),
        ("sealed-long", bytes(1169), "a sealed key with a byte more"),
        ("commitment", b"", "no commitment"),
        ("seq", 1 << 32, "a session number of 33 bits"),
    ]
    for name, value, comment in faults:
        fault = changed(samples.PACK_HEADER, **{name.removesuffix("-long"): value})
        yield bad(f"pack-header-{name}", kind, comment, frame(pack.MAGIC, encode(fault)))
    newer = frame(pack.MAGIC, encode(changed(samples.PACK_HEADER, suite=2)))
    yield Vector("pack-header-suite", kind, UNSUPPORTED, "another cipher suite", newer)
    long = frame(pack.MAGIC, bytes(4097))
    yield bad("pack-header-too-long", kind, "a body of more than 4 KiB", long)
