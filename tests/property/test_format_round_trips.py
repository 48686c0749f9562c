"""Every value that the types allow is encoded, decoded and the same again."""

from __future__ import annotations

import stat
import types
from array import array
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core.tree import COLUMNS, Extra, Listing
from vaultd.format import index, keys, machine, pack, session, signed, tree
from vaultd.format.codec import Packed, decode, encode, frame, unframe

STRUCTS: dict[str, type[Packed]] = {
    value.__name__: value
    for module in (index, keys, machine, pack, session, tree)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Packed) and value is not Packed
}
INTEGERS = st.integers(-(1 << 63), (1 << 64) - 1)


PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    bytes: st.binary(max_size=50),
    int: INTEGERS,
    bool: st.booleans(),
    types.NoneType: st.none(),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy of all values that a type of the format allows."""
    if kind in PLAIN:
        return PLAIN[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        return st.builds(kind, *(values_of(hints[name]) for name in kind.__struct_fields__))
    if get_origin(kind) is Annotated:
        return _bounded(*get_args(kind))
    return _of_several(get_origin(kind), get_args(kind))


def _of_several(origin: Any, arguments: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if origin is dict:
        return st.dictionaries(*map(values_of, arguments), max_size=5)
    if origin in {Union, types.UnionType}:
        return st.one_of(*map(values_of, arguments))
    if arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=5).map(tuple)
    return st.tuples(*map(values_of, arguments))


def _bounded(kind: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if kind is int:
        return st.integers(meta.ge if isinstance(meta.ge, int) else None, int(meta.le or 0))
    if kind is str and meta.pattern:
        return st.from_regex(meta.pattern)
    if kind is str:
        return st.text(max_size=50)
    if kind is bytes:
        low = meta.min_length or 0
        high = min(meta.max_length or 0, low + 50)
        return st.binary(min_size=low, max_size=high)
    return values_of(kind)


@pytest.mark.parametrize("name", sorted(STRUCTS))
@given(draw=st.data())
def test_every_struct_comes_back(name: str, draw: st.DataObject) -> None:
    kind = STRUCTS[name]
    value = draw.draw(values_of(kind))
    encoded = encode(value)
    assert value == decode(kind, encoded, what=name, limit=len(encoded))


@given(draw=st.data())
def test_every_outcome_comes_back(draw: st.DataObject) -> None:
    value = draw.draw(values_of(session.OutcomeBody))
    opened: object = decode(session.OutcomeBody, encode(value), what="outcome", limit=1 << 20)  # type: ignore[arg-type]  # a union
    assert value == opened


@given(magic=st.sampled_from([pack.MAGIC, index.MAGIC]), body=st.binary(), rest=st.binary())
def test_every_frame_comes_back(magic: bytes, body: bytes, rest: bytes) -> None:
    found, after = unframe(magic, frame(magic, body) + rest, what="object", limit=len(body))
    assert (body, rest) == (bytes(found), bytes(after))


SIGNATURES = st.lists(
    st.builds(
        signed.Signature,
        key_id=st.binary(min_size=16, max_size=16),
        value=st.binary(min_size=64, max_size=64),
    ),
    min_size=1,
    max_size=signed.MAX_SIGNATURES,
).map(tuple)


@given(body=st.binary(max_size=1000), signatures=SIGNATURES)
def test_every_signed_object_comes_back(
    body: bytes, signatures: tuple[signed.Signature, ...]
) -> None:
    whole = signed.encode_signed(signed.INTENT, body, signatures)
    assert (body, signatures) == signed.decode_signed(signed.INTENT, whole, what="intent")


@st.composite
def records(draw: st.DrawFn) -> list[pack.Record]:
    """Draw the records of a pack, each behind the one before."""
    at = first = draw(st.integers(1, 1 << 12))
    found = []
    for position in range(draw(st.integers(0, 20))):
        raw = draw(st.integers(1, 1 << 20))
        stored = draw(st.integers(17, raw + 16))
        chunk_id = draw(st.binary(min_size=32, max_size=32))
        method = draw(st.integers(0, 1))
        found.append(pack.Record(chunk_id, position, at, stored, method, raw))
        at += stored
    return found or [pack.Record(bytes(32), 0, first, 17, 0, 1)]


@given(records())
def test_every_table_comes_back(found: list[pack.Record]) -> None:
    first = found[0].offset
    table = pack.encode_table(found)
    assert found == pack.decode_table(table, first_offset=first, what="pack")
    packed = index.indexed_pack(1, bytes(32), 1 << 20, pack.META, found)
    (opened,) = index.decode_body(index.encode_body((packed,)), what="part")
    assert found == index.records_in(opened, what="pack")


REFS = st.lists(
    st.builds(
        session.PackRef,
        st.integers(0, (1 << 32) - 1),
        st.binary(min_size=32, max_size=32),
        st.integers(0, (1 << 32) - 1),
        st.integers(0, 2),
    ),
    max_size=20,
)


@given(REFS)
def test_every_list_of_packs_comes_back(refs: list[session.PackRef]) -> None:
    parts = tuple(session.PartRef(1, bytes(32), size) for size in (1, 2, 3))
    counts = session.CountsBody(*range(10))
    section = session.RefsSection(1, "store", (), counts, session.pack_columns(refs), parts)
    opened = session.decode_section(
        session.RefsSection, session.encode_section(section), what="refs"
    )
    assert refs == list(session.pack_refs(opened, what="refs"))


# Tree blocks

IDS = st.sampled_from([bytes([n]) * 32 for n in range(4)])
NAMES = st.binary(min_size=1, max_size=8).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."}
)
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)
OWNERS = st.integers(0, (1 << 32) - 1)
XATTRS = st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.binary(max_size=9)), max_size=3)


Drawn = tuple[tree.Content, int, tuple[tuple[int, int], ...] | None]
"""Contents, the size of their file, and its segments."""


@st.composite
def sparse(draw: st.DrawFn) -> Drawn:
    """Draw a file with holes."""
    runs = draw(st.lists(st.tuples(st.integers(0, 999), st.integers(1, 999)), min_size=1))
    segments, end = [], 0
    for gap, length in runs:
        segments.append((end + gap, length))
        end += gap + length
    total = sum(length for _, length in segments)
    return tree.Extent(draw(IDS), 0, total), end + draw(st.integers(0, 999)), tuple(segments)


@st.composite
def many(draw: st.DrawFn) -> Drawn:
    """Draw a file of several chunks."""
    lengths = draw(st.lists(st.integers(1, 8 << 20), min_size=1, max_size=4))
    size = draw(st.integers(1, sum(lengths)))
    return tree.pack_extents([(draw(IDS), length) for length in lengths]), size, None


@st.composite
def run(draw: st.DrawFn) -> Drawn:
    """Draw a file that is one run of a chunk."""
    size = draw(st.integers(1, 1 << 20))
    return tree.Extent(draw(IDS), draw(st.integers(0, 7 << 20)), size), size, None


LISTED = st.lists(IDS, min_size=1, max_size=4).map(tuple)
CONTENTS: st.SearchStrategy[Drawn] = st.one_of(
    st.just((None, 0, None)),
    st.tuples(st.none(), st.integers(0, 1 << 62), st.just(())),
    st.tuples(LISTED, st.integers(1, 1 << 62), st.none()),
    run(),
    sparse(),
    many(),
)


@st.composite
def blocks(draw: st.DrawFn) -> tree.Block:
    """Draw one directory with files, links, directories, holes and odd names."""
    names = sorted(draw(st.sets(NAMES, max_size=12)))
    path = b"/".join(draw(st.lists(NAMES, max_size=4)))
    columns: list[list[int]] = [[] for _ in COLUMNS]
    found: list[tree.Content] = []
    extras = {}
    for position in range(len(names)):
        mode = draw(st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO]))
        is_file = mode == stat.S_IFREG
        content, size, segments = (
            draw(CONTENTS) if is_file else (None, draw(st.integers(0, 1 << 62)), None)
        )
        found.append(content)
        rest = [draw(NUMBERS) for _ in range(3)]
        row = [mode | 0o644, draw(OWNERS), draw(OWNERS), size, *rest]
        for column, value in zip(columns, row, strict=True):
            column.append(value)
        if segments is not None or draw(st.booleans()):
            extras[position] = Extra(
                link_target=draw(st.binary(max_size=20)),
                rdev=draw(st.integers(0, (1 << 63) - 1)),
                link_group=draw(st.binary(max_size=32)),
                xattrs=tuple(draw(XATTRS)),
                flags=draw(st.integers(0, (1 << 32) - 1)),
                segments=segments,
                changed=draw(st.booleans()),
            )
    stats = array("q", [value for column in columns for value in column])
    return tree.Block(Listing(path, names, stats, extras), found)


@given(st.lists(blocks(), max_size=3))
def test_every_block_comes_back(several: list[tree.Block]) -> None:
    chunk = b"".join(map(tree.encode_block, several))
    opened = [tree.decode_block(one, what="tree") for one in tree.split_blocks(chunk, what="tree")]
    assert several == opened
    assert chunk == b"".join(map(tree.encode_block, opened))
