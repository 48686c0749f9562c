"""Packs, index parts, sections and signed objects: what is encoded comes back."""

from __future__ import annotations

import base64
import json

import pytest
from msgspec.structs import replace

from tests.unit.format import samples
from vaultd.core.errors import MalformedObjectError
from vaultd.format import index, keys, log, machine, pack, session, signed
from vaultd.format.codec import decode, encode


def test_a_pack_header_s_bytes_begin_records_where_they_end() -> None:
    framed = pack.encode_header(samples.PACK_HEADER)
    assert (samples.PACK_HEADER, len(framed)) == pack.decode_header(framed, what="pack")
    assert framed[:8] == b"VLTPACK1"


def test_a_table_comes_back_with_positions_and_offsets() -> None:
    opened = pack.decode_table(
        pack.encode_table(samples.RECORDS), first_offset=samples.FIRST_OFFSET, what="pack"
    )
    assert samples.RECORDS == opened


def test_a_trailer_is_the_last_twenty_bytes() -> None:
    trailer = pack.Trailer(records=3, table_bytes=500, padding=17)
    written = pack.encode_trailer(trailer)
    assert written == b"\x03\0\0\0\xf4\x01\0\0\x11\0\0\0VLTEND_1"
    assert trailer == pack.decode_trailer(bytes(1000) + written, what="pack")


@pytest.mark.parametrize(("length", "padding"), [(0, 0), (1, 65535), (65536, 0), (65537, 65535)])
def test_padding_reaches_the_next_64_kib(length: int, padding: int) -> None:
    assert padding == pack.padding_for(length)


def test_associated_data_binds_header_position_method_and_length() -> None:
    aad = pack.record_aad(b"h" * 32, 0x01020304, 1, 0x05)
    assert aad == b"h" * 32 + b"\x01\x02\x03\x04" + b"\x01\0\0\x05"


def test_an_index_part_comes_back_with_its_framed_header() -> None:
    framed = index.encode_header(samples.PART_HEADER)
    header, found, sealed = index.decode_part(framed + b"sealed", what="part")
    assert (samples.PART_HEADER, framed, b"sealed") == (header, found, bytes(sealed))


def test_an_indexed_pack_comes_back_with_its_records() -> None:
    packed = index.indexed_pack(7, samples.HASH, 65536, pack.DATA, samples.RECORDS)
    (opened,) = index.decode_body(index.encode_body((packed,)), what="part")
    assert packed == opened == samples.INDEXED
    assert samples.RECORDS == index.records_in(opened, what="pack")


def test_a_section_comes_back() -> None:
    refs = session.encode_section(samples.REFS)
    assert samples.REFS == session.decode_section(session.RefsSection, refs, what="refs")
    label = session.encode_section(samples.LABEL)
    assert samples.LABEL == session.decode_section(session.LabelSection, label, what="label")
    meta = session.encode_section(samples.META)
    assert samples.META == session.decode_section(session.MetaSection, meta, what="meta")


def test_packs_of_a_snapshot_come_back_from_their_columns() -> None:
    assert samples.PACK_REFS == list(session.pack_refs(samples.REFS, what="refs"))
    none = session.RefsSection(1, "s", (), samples.COUNTS, session.pack_columns([]), ())
    assert [] == list(session.pack_refs(none, what="refs"))


@pytest.mark.parametrize("body", [samples.ROOT, samples.SUPERSEDED, samples.REVOKED], ids=type)
def test_an_outcome_is_known_by_its_tag(body: session.OutcomeBody) -> None:
    opened: object = decode(session.OutcomeBody, encode(body), what="outcome", limit=10_000)  # type: ignore[arg-type]  # a union
    assert body == opened


@pytest.mark.parametrize("tag", samples.EVENTS)
def test_a_log_entry_s_event_is_known_by_its_tag(tag: str) -> None:
    body = replace(samples.LOG_FORGET, event=samples.EVENTS[tag])
    assert tag == body.event.__struct_config__.tag
    assert body == decode(log.LogBody, encode(body), what="log", limit=10_000)


def test_a_signed_object_comes_back_with_every_signature() -> None:
    signatures = tuple(
        signed.Signature(key_id=bytes([n]) * 16, value=bytes([n]) * 64) for n in range(8)
    )
    for count in range(1, 9):
        whole = signed.encode_signed(signed.LOG, b"body", signatures[:count])
        assert (b"body", signatures[:count]) == signed.decode_signed(signed.LOG, whole, what="log")


def test_vault_json_tells_people_and_programs_what_it_is() -> None:
    text = keys.encode_vault_json(b"signed", vault_id=samples.VAULT_ID)
    fields = json.loads(text)
    assert fields["vaultd_format"] == 1
    assert samples.VAULT_ID.hex() in fields["about"]
    assert b"signed" == base64.b64decode(fields["signed"]) == keys.decode_vault_json(text)


def test_vault_json_may_say_more_to_people() -> None:
    text = json.dumps({"vaultd_format": 1, "signed": "c2lnbmVk", "moved": "to the cellar"})
    assert keys.decode_vault_json(text.encode()) == b"signed"


# What a machine keeps, and what people carry

FILES = [
    machine.PinFile(
        vault_id=samples.VAULT_ID,
        location="/vault",
        admin_keys=(samples.KEY,),
        policy_number=1,
        policy_sha256=samples.HASH,
    ),
    machine.HostFile(host="web1", keys=(samples.HELD,)),
    machine.KeeperFile(name="keeper", index_keys=(machine.HeldIndexKey("web1", 1, samples.KEY),)),
    machine.PendingFile(
        role="host",
        name="web2",
        request=samples.HASH,
        signing_seed=samples.KEY,
        answer_seed=samples.KEY,
    ),
    machine.KeyTestsFile(tests={"paper 1": samples.TIME}),
]


@pytest.mark.parametrize("file", FILES, ids=type)
def test_a_machine_s_file_comes_back(file: machine.PinFile) -> None:
    assert file == machine.decode_file(type(file), machine.encode_file(file), what="file")


@pytest.mark.parametrize("contents", [b"", b"{}", b"\xff", b'{"v":2}', b"[" * 10_000], ids=repr)
def test_a_damaged_file_of_a_machine_is_refused(contents: bytes) -> None:
    with pytest.raises(MalformedObjectError):
        machine.decode_file(machine.PinFile, contents, what="pin.json")


def test_a_request_survives_mail() -> None:
    body = bytes(range(256))
    text = machine.armor(machine.REQUEST, body)
    assert max(map(len, text.splitlines())) <= 76
    mail = "> Dear admin,\n" + text.replace("\n", " \r\n") + "\nregards\n"
    assert body == machine.unarmor(machine.REQUEST, mail)


@pytest.mark.parametrize(
    "text",
    [
        "",
        machine.armor(machine.GRANT, b"other kind"),
        machine.armor(machine.REQUEST, b"cut").partition("-----END")[0],
        machine.armor(machine.REQUEST, b"letters").replace("b", "é"),
        machine.armor(machine.REQUEST, b"letters").replace("=", "!"),
        "x" * (2 * machine.REQUEST.limit + 1),
    ],
    ids=["empty", "kind", "cut", "not-ascii", "not-base64", "too-long"],
)
def test_a_damaged_request_is_refused(text: str) -> None:
    with pytest.raises(MalformedObjectError):
        machine.unarmor(machine.REQUEST, text)
