"""Whatever bytes a decoder is given, it returns a value or raises a `VaultdError`: nothing else.

Bytes are random, valid objects with wounds, and MessagePack of other shapes and impossible lengths.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import fuzz_format
from tests.unit.format import samples
from tests.unit.format.decoders import DECODERS, outcome_of
from tests.unit.format.samples import fields_of
from tests.vectors.format.vector import read_all
from vaultd.format.codec import encode

TOP = Path(__file__).parents[2]
VALID: dict[str, list[bytes]] = {}
for vector in read_all():
    if vector.expect == "ok" and vector.kind in DECODERS:
        VALID.setdefault(vector.kind, []).append(vector.body)

KINDS = sorted(DECODERS)
SHAPES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=20,
)

HUGE = [
    head + b"\xff\xff\xff\xff"[-width:]
    for head, width in [
        (b"\xdc", 2),
        (b"\xdd", 4),
        (b"\xde", 2),
        (b"\xdf", 4),
        (b"\xc5", 2),
        (b"\xc6", 4),
        (b"\xda", 2),
        (b"\xdb", 4),
        (b"\xc9", 4),
    ]
]
"""Headers of arrays, maps, bytes, texts and extensions that are longer than any input."""


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=300))
def test_random_bytes(kind: str, data: bytes) -> None:
    outcome_of(kind, data)


@st.composite
def wounded(draw: st.DrawFn, kind: str) -> bytes:
    """Draw a valid object with up to three bytes or runs changed, taken out or doubled."""
    data = bytearray(draw(st.sampled_from(VALID.get(kind, [b""]))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.sampled_from([1, 1, 1, 4, 32])))
        choice = draw(st.integers(0, 3))
        if choice == 0:
            data[at:end] = draw(st.binary(min_size=end - at, max_size=end - at))
        elif choice == 1:
            del data[at:end]
        elif choice == 2:
            data[at:at] = data[at:end]
        else:
            data[at:at] = draw(st.sampled_from(HUGE))
    return bytes(data)


@pytest.mark.parametrize("kind", sorted(VALID))
@given(draw=st.data())
def test_valid_objects_with_wounds(kind: str, draw: st.DataObject) -> None:
    outcome_of(kind, draw.draw(wounded(kind)))


@pytest.mark.parametrize("kind", sorted(samples.STRUCTS))
@given(draw=st.data())
def test_fields_of_any_shape(kind: str, draw: st.DataObject) -> None:
    fields = fields_of(samples.STRUCTS[kind])
    for _ in range(draw.draw(st.integers(1, 2))):
        fields[draw.draw(st.integers(0, len(fields) - 1))] = draw.draw(SHAPES)
    outcome_of(kind, encode(fields))


def hostile() -> list[bytes]:
    """Return MessagePack whose lengths and nesting promise more than there is."""
    deep = [head * 100_000 for head in (b"\x91", b"\x81\x00", b"\xdd\0\0\0\x01")]
    lying = [*HUGE, *(bytes([0x90 | n]) + head for n in (1, 2, 3, 9) for head in HUGE)]
    inside = []
    for sample in samples.STRUCTS.values():
        fields = fields_of(sample)
        for at in range(len(fields)):
            before = b"".join(map(encode, fields[:at]))
            inside += [
                bytes([0x90 | len(fields)]) + before + head for head in HUGE if len(fields) < 16
            ]
    filled = [
        b"\xdd\x00\x10\x00\x00" + b"\x00" * (1 << 20),
        b"\xdf\x00\x08\x00\x00" + b"\x00" * (1 << 20),
    ]
    return [*deep, *lying, *inside, *filled]


def test_lengths_that_promise_more_than_there_is_take_no_memory() -> None:
    tracemalloc.start()
    try:
        for data in hostile():
            for kind in KINDS:
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                outcome_of(kind, data)
                peak = tracemalloc.get_traced_memory()[1] - before
                assert peak < (2 << 20) + 16 * len(data), (kind, data[:20])
    finally:
        tracemalloc.stop()


def test_hostile_lengths_fit_an_address_space_of_512_mib() -> None:
    program = """
import resource
from tests.property.test_format_fuzz import KINDS, hostile, outcome_of
resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
for data in hostile():
    for kind in KINDS:
        outcome_of(kind, data)
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_the_coverage_guided_target_takes_every_seed(tmp_path: Path) -> None:
    fuzz_format.write_seeds(tmp_path)
    seeds = sorted(tmp_path.iterdir())
    assert len(seeds) > 150
    for seed in seeds:
        fuzz_format.one(seed.read_bytes())
    fuzz_format.one(b"")
