"""What is too long is refused before it is parsed; longer than a vector should be."""

from __future__ import annotations

import pytest

from tests.unit.format import samples
from tests.unit.format.decoders import DECODERS, KINDS
from tests.unit.format.samples import BLOCK_BODY, changed, listing
from vaultd.core.errors import MalformedObjectError
from vaultd.core.tree import Extra
from vaultd.format import bounds, index, keys, pack, session, signed, tree
from vaultd.format.codec import encode

NO_EXTRA = [b"", 0, b"", [], 0, None, False]


def refused(kind: str, data: bytes) -> str:
    with pytest.raises(MalformedObjectError) as caught:
        DECODERS[kind](data, {})
    return caught.value.message


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.limit <= 64 << 10], ids=str)
def test_a_signed_object_may_be_as_long_as_its_limit(kind: signed.SignedKind) -> None:
    signature = signed.Signature(key_id=bytes(16), value=bytes(64))
    body = bytes(kind.limit - len(signed.encode_signed(kind, b"", (signature,))))
    whole = signed.encode_signed(kind, body, (signature,))
    assert (body, (signature,)) == signed.decode_signed(kind, whole, what="object")
    longer = signed.encode_signed(kind, body + b"\0", (signature,))
    assert "at most" in refused(f"signed {kind.name}", longer)


def test_vault_json_may_not_be_longer_than_its_limit() -> None:
    text = keys.encode_vault_json(b"signed", vault_id=samples.VAULT_ID)
    spaces = b" " * (keys.MAX_VAULT_JSON_BYTES - len(text))
    assert keys.decode_vault_json(text + spaces) == b"signed"
    assert "at most" in refused("vault-json", text + spaces + b" ")


def test_an_index_part_may_not_be_longer_than_its_limit() -> None:
    header = index.encode_header(samples.PART_HEADER)
    sealed = bytes(index.MAX_PART_BYTES - len(header))
    assert index.decode_part(header + sealed, what="part")[2].nbytes == len(sealed)
    assert "at most" in refused("index-part", header + sealed + b"\0")


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("table", pack.MAX_TABLE_BYTES),
        ("part-body", index.MAX_PART_RAW_BYTES),
        ("block", tree.MAX_BLOCK_BYTES),
        ("domain-secrets", 171),
    ],
)
def test_what_is_sealed_may_not_be_longer_than_its_limit(kind: str, limit: int) -> None:
    assert f"{limit + 1} bytes, at most {limit}" in refused(kind, bytes(limit + 1))


def test_a_table_may_not_hold_more_records_than_a_pack() -> None:
    count = pack.MAX_RECORDS + 1
    columns = [bytes(32 * count), b"\x11\0\0\0" * count, b"\1\0\0\0" * count]
    assert "columns" in refused("table", encode(columns))
    fits = [column[: len(column) // count * pack.MAX_RECORDS] for column in columns]
    assert len(pack.decode_table(encode(fits), first_offset=1300, what="pack")) == pack.MAX_RECORDS


def test_a_snapshot_lists_a_bounded_number_of_problems() -> None:
    problems = [["denied", b"x", "no"]] * session.MAX_PROBLEMS
    DECODERS["meta-section"](encode(changed(samples.META, problems=problems)), {})
    refused("meta-section", encode(changed(samples.META, problems=[*problems, problems[0]])))


@pytest.mark.parametrize(
    ("position", "fits", "too_long"),
    [
        (0, bytes(64 << 10), bytes((64 << 10) + 1)),
        (3, [[b"u", bytes(64 << 10)]], [[b"u", bytes((64 << 10) + 1)]]),
        (3, [[b"u" * 255, b""]], [[b"u" * 256, b""]]),
        (2, bytes(32), bytes(33)),
    ],
)
def test_extras_are_bounded(position: int, fits: object, too_long: object) -> None:
    for value, taken in ((fits, True), (too_long, False)):
        extra: list[object] = [*NO_EXTRA]
        extra[position] = value
        data = encode(changed(BLOCK_BODY, extras={0: extra}))
        if taken:
            DECODERS["block"](data, {})
        else:
            refused("block", data)


def test_a_path_is_bounded_in_length_and_depth() -> None:
    deepest = b"/".join([b"d" * bounds.MAX_NAME_BYTES] * bounds.MAX_DEPTH)
    assert len(deepest) < bounds.MAX_PATH_BYTES
    DECODERS["block"](encode(changed(BLOCK_BODY, path=deepest)), {})
    assert "1024 deep" in refused("block", encode(changed(BLOCK_BODY, path=deepest[:-1] + b"/d")))
    longer = bytes(bounds.MAX_PATH_BYTES + 1)
    assert "262145 bytes" in refused("block", encode(changed(BLOCK_BODY, path=longer)))


def test_a_block_that_is_too_long_is_not_encoded() -> None:
    attribute = ((b"user.x", bytes(64 << 10)),)
    names = {f"n{number:03}": Extra(xattrs=attribute) for number in range(120)}
    entries = [(name.encode(), samples.REGULAR, 0) for name in names]
    with pytest.raises(MalformedObjectError) as caught:
        tree.encode_block(tree.Block(listing(b"d", entries, **names), [None] * len(entries)))
    assert "tree block of" in caught.value.message
