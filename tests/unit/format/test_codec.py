"""MessagePack within limits, and frames."""

from __future__ import annotations

import pytest

from tests.unit.format import samples
from vaultd.core.errors import MalformedObjectError, UnsupportedVersionError
from vaultd.format import pack, session
from vaultd.format.codec import decode, decode_versioned, encode, frame, unframe

MAGIC = b"VLTSESS1"


def test_a_value_comes_back_as_it_was() -> None:
    data = encode(samples.INTENT)
    assert samples.INTENT == decode(session.IntentBody, data, what="intent", limit=len(data))
    assert samples.INTENT == decode(session.IntentBody, memoryview(data), what="x", limit=len(data))


def test_a_value_longer_than_its_limit_is_not_looked_at() -> None:
    data = encode(samples.INTENT)
    with pytest.raises(MalformedObjectError) as caught:
        decode(session.IntentBody, data, what="intent web1/7", limit=len(data) - 1)
    assert (
        caught.value.message == f"intent web1/7: {len(data)} bytes, at most {len(data) - 1} allowed"
    )


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x91\x01", b"\x91\x00", encode([128, 0])])
def test_only_a_newer_version_is_called_newer(data: bytes) -> None:
    with pytest.raises(MalformedObjectError):
        decode_versioned(session.LabelSection, data, what="label", limit=100)


@pytest.mark.parametrize("version", [2, 127])
def test_a_newer_version_is_called_so_whatever_follows(version: int) -> None:
    with pytest.raises(UnsupportedVersionError) as caught:
        decode_versioned(session.LabelSection, encode([version]), what="label", limit=100)
    assert f"version {version}, expected 1" in caught.value.message


def test_a_frame_gives_back_its_body_and_what_follows() -> None:
    body, rest = unframe(MAGIC, frame(MAGIC, b"body") + b"rest", what="intent", limit=4)
    assert (bytes(body), bytes(rest)) == (b"body", b"rest")


def test_a_frame_s_layout_is_the_one_written_down() -> None:
    assert frame(MAGIC, b"body") == b"VLTSESS1\x04\0\0\0body"


def test_a_frame_may_be_the_beginning_of_an_object() -> None:
    framed = pack.encode_header(samples.PACK_HEADER)
    header, end = pack.decode_header(framed + bytes(1000), what="pack")
    assert (header, end) == (samples.PACK_HEADER, len(framed))


@pytest.mark.parametrize("magic", [b"VLTSESSX", b"VLTPACK1", b"\0" * 8])
def test_another_magic_is_not_a_newer_version(magic: bytes) -> None:
    with pytest.raises(MalformedObjectError):
        unframe(MAGIC, frame(magic, b""), what="intent", limit=4)


def test_another_version_says_which_and_what_to_do() -> None:
    with pytest.raises(UnsupportedVersionError) as caught:
        unframe(MAGIC, frame(b"VLTSESS3", b""), what="intent", limit=4)
    assert caught.value.message == "intent: format version 3, expected 1"
    assert caught.value.hint == "Upgrade vaultd to read this vault."
