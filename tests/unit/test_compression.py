from __future__ import annotations

import argparse
import random
import struct
import threading
import typing
from itertools import product
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vaultd.compression import MAX_RAW_BYTES, RAW, ZSTD, Buffer, Compressor, Decompressor, Level
from vaultd.core.errors import CorruptObjectError, IntegrityError, MalformedObjectError
from vaultd.core.units import KIB, MIB

LEVELS: tuple[Level, ...] = ("fast", "better")
TEXT = b"".join(
    b"%d,customer %d,%d.%02d\n" % (at, at % 97, at % 31, at % 89) for at in range(60_000)
)
NOISE = random.Random(1).randbytes(MIB)
MAGIC = zstandard.FRAME_HEADER


def _frame(raw: bytes, *, sized: bool = True) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_content_size=sized).compress(raw)


def _header(*, content_size: int, window_log: int | None = None, dict_id: int = 0) -> bytes:
    """Return a frame header of our making: RFC 8878, section 3.1.1.1."""
    single = window_log is None
    descriptor = 3 << 6 | single << 5 | (3 if dict_id else 0)
    window = b"" if window_log is None else bytes([(window_log - 10) << 3])
    dictionary = struct.pack("<I", dict_id) if dict_id else b""
    return MAGIC + bytes([descriptor]) + window + dictionary + struct.pack("<Q", content_size)


def _repeat_block(count: int, *, last: bool = True) -> bytes:
    """Return a block that stands for ``count`` zero bytes: RFC 8878, section 3.1.1.2."""
    return (count << 3 | 1 << 1 | last).to_bytes(3, "little") + b"\0"


def _decompress(body: Buffer, raw_len: int, method: int = ZSTD) -> bytes:
    return bytes(Decompressor().decompress(method, body, raw_len))


@pytest.mark.parametrize("level", LEVELS)
@given(data=st.binary(max_size=2000) | st.binary(max_size=50).map(lambda piece: piece * 2000))
def test_what_is_compressed_comes_back(level: Level, data: bytes) -> None:
    method, body = Compressor(level).compress(data)

    assert data == _decompress(body, len(data), method)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_can_be_compressed(level: Level, buffer: type) -> None:
    method, body = Compressor(level).compress(buffer(TEXT[:MIB]))

    assert ZSTD == method
    assert len(body) < MIB // 2
    assert TEXT[:MIB] == bytes(Decompressor().decompress(method, buffer(bytes(body)), MIB))


@pytest.mark.parametrize("level", LEVELS)
def test_a_frame_names_its_length_and_needs_nothing_else(level: Level) -> None:
    _, body = Compressor(level).compress(TEXT)
    frame = zstandard.get_frame_parameters(body)

    assert len(TEXT) == frame.content_size
    assert frame.window_size <= 8 * MIB
    assert (0, False) == (frame.dict_id, frame.has_checksum)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", [0, 1, 10, 100, 4 * KIB, 64 * KIB, MIB])
def test_noise_is_stored_raw_and_not_copied(level: Level, length: int) -> None:
    noise = NOISE[:length]
    method, body = Compressor(level).compress(noise)

    assert RAW == method
    assert body is noise


def test_noise_with_compressible_parts_is_compressed() -> None:
    mixed = b"".join(
        NOISE[at : at + 64 * KIB] + TEXT[at : at + 64 * KIB] for at in range(0, 512 * KIB, 64 * KIB)
    )

    assert ZSTD == Compressor().compress(mixed)[0]


def test_saving_less_than_two_percent_is_not_worth_it() -> None:
    for saved, method in ((600, RAW), (1200, ZSTD)):
        data = NOISE[: 50_000 - saved] + bytes(saved)
        assert method == Compressor().compress(data)[0]


def test_better_is_smaller_than_fast() -> None:
    text = Path(argparse.__file__).read_bytes() + Path(typing.__file__).read_bytes()
    fast, better = (Compressor(level).compress(text)[1] for level in LEVELS)

    assert len(better) < len(fast)


@pytest.mark.parametrize(
    ("method", "body", "raw_len"),
    [
        (RAW, b"abc", 2),
        (RAW, b"abc", 4),
        (RAW, b"", 1),
        (2, b"abc", 3),
        (-1, b"abc", 3),
        (255, b"abc", 3),
        (RAW, b"", -1),
        (RAW, b"", MAX_RAW_BYTES + 1),
        (ZSTD, _frame(bytes(MAX_RAW_BYTES + 1)), MAX_RAW_BYTES + 1),
    ],
    ids=str,
)
def test_a_method_or_length_that_cannot_be_is_refused(
    method: int, body: bytes, raw_len: int
) -> None:
    with pytest.raises(MalformedObjectError):
        _decompress(body, raw_len, method)


def test_the_longest_record_is_allowed() -> None:
    raw = bytes(MAX_RAW_BYTES)

    assert raw == _decompress(raw, MAX_RAW_BYTES, RAW)
    assert raw == _decompress(_frame(raw), MAX_RAW_BYTES)


def test_a_small_frame_that_promises_much_is_refused_before_it_is_opened() -> None:
    # 200 MiB from 6 KiB: the library would allocate what the header says.
    bomb = _frame(bytes(200 * MIB))

    assert len(bomb) < 8 * KIB
    for raw_len in (MIB, MAX_RAW_BYTES):
        with pytest.raises(MalformedObjectError):
            _decompress(bomb, raw_len)


@pytest.mark.parametrize(
    "content_size", [1 << 50, (1 << 64) - 1, (1 << 64) - 2, MIB + 1, MIB - 1, 0]
)
def test_a_forged_length_is_refused(content_size: int) -> None:
    forged = _header(content_size=content_size, window_log=20) + _repeat_block(MIB // 8)

    with pytest.raises(MalformedObjectError):
        _decompress(forged, MIB)


def test_a_frame_that_holds_more_than_it_promises_is_refused() -> None:
    blocks = _repeat_block(128 * KIB, last=False) * 7 + _repeat_block(128 * KIB)
    honest = _header(content_size=MIB, window_log=20) + blocks
    greedy = _header(content_size=MIB - 1, window_log=20) + blocks

    assert bytes(MIB) == _decompress(honest, MIB)
    with pytest.raises(CorruptObjectError):
        _decompress(greedy, MIB - 1)


def test_a_frame_that_holds_less_than_it_promises_is_refused() -> None:
    with pytest.raises(CorruptObjectError):
        _decompress(_header(content_size=MIB, window_log=20) + _repeat_block(128 * KIB), MIB)


def test_a_frame_without_a_length_is_refused() -> None:
    body = _frame(TEXT, sized=False)

    with pytest.raises(MalformedObjectError):
        _decompress(body, len(TEXT))


@pytest.mark.parametrize(
    ("window_log", "allowed"), [(20, True), (23, True), (24, False), (31, False)]
)
def test_a_window_above_8_mib_is_refused(window_log: int, allowed: bool) -> None:
    body = _header(content_size=1000, window_log=window_log) + _repeat_block(1000)
    if allowed:
        assert bytes(1000) == _decompress(body, 1000)
        return
    with pytest.raises(MalformedObjectError):
        _decompress(body, 1000)


def test_a_frame_that_needs_a_dictionary_is_refused() -> None:
    with pytest.raises(MalformedObjectError):
        _decompress(_header(content_size=1000, dict_id=7) + _repeat_block(1000), 1000)


@pytest.mark.parametrize(
    "tail",
    [b"\0", b"trailing", _frame(TEXT), MAGIC, b"\x50\x2a\x4d\x18\0\0\0\0"],
    ids=["zero", "text", "second frame", "magic", "skippable frame"],
)
def test_anything_after_the_frame_is_refused(tail: bytes) -> None:
    with pytest.raises(CorruptObjectError):
        _decompress(_frame(TEXT) + tail, len(TEXT))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        MAGIC,
        MAGIC + b"\x20",
        MAGIC + b"\xff" * 20,
        b"\x50\x2a\x4d\x18" + struct.pack("<I", 5) + b"hello",
        b"\x1f\x8b" + bytes(30),
        _frame(b"hello")[4:],
    ],
    ids=["empty", "magic", "cut header", "reserved bit", "skippable", "gzip", "no magic"],
)
def test_what_is_no_frame_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedObjectError):
        _decompress(body, 5)


@pytest.mark.parametrize("tail", [b"", b"trailing"])
def test_a_frame_of_nothing_is_refused(tail: bytes) -> None:
    # The library looks no further than its header, so anything could follow.
    with pytest.raises(MalformedObjectError):
        _decompress(_frame(b"") + tail, 0)


def test_nothing_is_stored_raw() -> None:
    assert b"" == _decompress(b"", 0, RAW)


def test_a_cut_frame_is_refused_wherever_it_is_cut() -> None:
    body = _frame(TEXT[:3000])
    for length in range(len(body)):
        with pytest.raises(IntegrityError):
            _decompress(body[:length], 3000)


def test_a_flipped_bit_is_refused_or_gives_other_bytes_of_the_same_length() -> None:
    # Chunk ids decide about contents; the gate only keeps lengths and memory.
    raw = TEXT[:500]
    body = _frame(raw)
    decompressor = Decompressor()
    for at, bit in product(range(len(body)), range(8)):
        changed = bytearray(body)
        changed[at] ^= 1 << bit
        try:
            assert len(raw) == len(decompressor.decompress(ZSTD, changed, len(raw)))
        except IntegrityError:
            continue


@given(body=st.binary(max_size=60).map(lambda tail: MAGIC + tail), raw_len=st.integers(0, 5000))
def test_any_frame_gives_the_promised_length_or_an_error_of_ours(body: bytes, raw_len: int) -> None:
    try:
        assert raw_len == len(_decompress(body, raw_len))
    except IntegrityError:
        return


def test_a_decompressor_works_on_after_an_error() -> None:
    decompressor = Decompressor()
    body = _frame(TEXT)
    with pytest.raises(CorruptObjectError):
        decompressor.decompress(ZSTD, body[:-9], len(TEXT))

    assert TEXT == bytes(decompressor.decompress(ZSTD, body, len(TEXT)))


def test_each_thread_with_its_own_pair_gets_its_own_bytes() -> None:
    wrong: list[int] = []

    def work(first: int) -> None:
        compressor, decompressor = Compressor(), Decompressor()
        for at in range(first, 40, 2):
            raw = TEXT[at * 1000 : at * 1000 + 200_000]
            method, body = compressor.compress(raw)
            if bytes(decompressor.decompress(method, body, len(raw))) != raw:
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong
