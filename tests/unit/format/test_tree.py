"""Tree blocks: what is encoded comes back, and equal directories are equal bytes."""

from __future__ import annotations

from array import array

import pytest
from msgspec.structs import replace

from tests.unit.format import samples
from tests.unit.format.samples import BLOCK, LISTING
from vaultd.core.tree import Extra, Listing
from vaultd.format import tree


def again(block: tree.Block) -> tree.Block:
    (encoded,) = tree.split_blocks(tree.encode_block(block), what="tree")
    return tree.decode_block(encoded, what="tree")


@pytest.mark.parametrize("block", [BLOCK, samples.EMPTY_BLOCK], ids=["full", "empty"])
def test_a_block_comes_back(block: tree.Block) -> None:
    assert block == again(block)


def test_blocks_of_a_chunk_come_back_in_order() -> None:
    chunk = tree.encode_block(samples.EMPTY_BLOCK) + tree.encode_block(BLOCK)
    found = [tree.decode_block(one, what="tree") for one in tree.split_blocks(chunk, what="tree")]
    assert [samples.EMPTY_BLOCK, BLOCK] == found


def test_the_order_in_which_extras_were_found_does_not_show() -> None:
    backwards = dict(reversed(LISTING.extras.items()))
    shuffled = tree.Block(replace(LISTING, extras=backwards), BLOCK.contents)
    assert tree.encode_block(BLOCK) == tree.encode_block(shuffled)


def test_a_chunk_that_many_files_share_is_named_once() -> None:
    body = samples.BLOCK_BODY
    assert body.chunks == b"c" * 32 + b"d" * 32
    where = array("I", body.where)
    assert [0, 1, 0] == [where[5], where[6], where[7]]


def test_the_outer_shape_compares_without_decoding_entries() -> None:
    assert samples.BLOCK_BODY.names == b"\0".join(LISTING.names)
    assert samples.BLOCK_BODY.stats == LISTING.stats.tobytes()


def test_contents_of_a_sparse_file_are_as_long_as_its_data() -> None:
    assert tree.content_bytes(LISTING, LISTING.names.index(b"sparse")) == 300
    assert tree.content_bytes(LISTING, LISTING.names.index(b"two")) == 24


def test_a_file_may_be_one_hole() -> None:
    hole = samples.listing(b"", [(b"f", samples.REGULAR, 1 << 40)], f=Extra(segments=()))
    block = tree.Block(hole, [None])
    assert block == again(block)


def test_a_file_that_changed_may_hold_more_than_its_size() -> None:
    one = samples.listing(b"", [(b"f", samples.REGULAR, 1000)], f=Extra(changed=True))
    block = tree.Block(one, [tree.pack_extents([(b"c" * 32, 600), (b"d" * 32, 600)])])
    assert block == again(block)


def test_extents_come_back_as_whole_chunks() -> None:
    extents = [(bytes([n]) * 32, n * 1000) for n in range(1, 5)]
    unpacked = tree.unpack_extents(tree.pack_extents(extents), what="extents")
    assert [tree.Extent(chunk_id, 0, length) for chunk_id, length in extents] == unpacked


def test_names_are_bytes_of_any_kind() -> None:
    names = sorted([b"\x01", b" ", b"\xff\xfe", "ü".encode(), b"a\nb", b"...", b"-rf", b"\\"])
    entries = [(name, samples.REGULAR, 0) for name in names]
    block = tree.Block(samples.listing(b"\xff/\n", entries), [None] * len(names))
    assert block == again(block)


def test_a_directory_s_path_may_be_the_top() -> None:
    block = tree.Block(Listing(b"", [], array("q")), [])
    assert again(block).listing.path == b""
