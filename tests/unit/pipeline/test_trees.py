"""Writing trees and reading cached ones: order, groups, limits, damage."""

from __future__ import annotations

import hashlib
import io
import stat
import tempfile
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core.errors import MalformedObjectError
from vaultd.core.tree import (
    COLUMNS,
    CTIME,
    MODE,
    SIZE,
    Extra,
    Listing,
    columns_of,
)
from vaultd.format.tree import Block, Extent, decode_block, split_blocks
from vaultd.pipeline.base_tree import BaseTree, open_cache
from vaultd.pipeline.tree_writer import (
    GROUP_MAX,
    Pending,
    PendingBlock,
    Pieces,
    Ticket,
    TreeWriter,
)

WIDTH = len(COLUMNS)


def listing_of(path: bytes, names: list[bytes], size: int = 5) -> Listing:
    row = [0] * WIDTH
    row[MODE], row[SIZE], row[CTIME] = stat.S_IFREG | 0o644, size, 77
    return Listing(path, names, columns_of(array("q", row * len(names))))


class Written:
    """A tree writer whose chunks are kept."""

    def __init__(self) -> None:
        self.cache = io.BytesIO()
        self.raws: list[bytes] = []
        self.writer = TreeWriter(self._store, self.cache)

    def _store(self, raw: bytes) -> Ticket:
        ticket = Ticket()
        ticket.chunk_id = hashlib.sha256(raw).digest()
        self.raws.append(raw)
        return ticket

    def add(
        self,
        path: bytes,
        names: list[bytes],
        contents: list[Pending] | None = None,
        *,
        hidden: set[int] | None = None,
        dropped: set[int] | None = None,
        bundles: list[Ticket] | None = None,
    ) -> PendingBlock:
        known: list[Pending] = [Extent(bytes(32), 0, 5)] * len(names)
        block = PendingBlock(
            listing_of(path, names),
            contents or known,
            hidden or set(),
            dropped or set(),
            bundles or [],
        )
        self.writer.add(block)
        return block

    @property
    def blocks(self) -> list[Block]:
        return [
            decode_block(raw, what="test")
            for chunk in self.raws
            for raw in split_blocks(chunk, what="test")
        ]


def settled(chunk_id: bytes) -> Ticket:
    ticket = Ticket()
    ticket.chunk_id = chunk_id
    return ticket


# Writing


def test_blocks_come_out_in_order_when_their_contents_have_ids() -> None:
    tree, bundle, piece = Written(), Ticket(), Ticket()
    tree.add(b"", [b"a"], [(bundle, 3)], bundles=[bundle])
    tree.add(b"b", [b"c"], [Pieces(chunks=[(piece, 5)])])
    tree.add(b"d", [b"e"])

    assert tree.writer.waits_for(bundle)
    assert tree.writer.held > 0
    with pytest.raises(MalformedObjectError, match="never stored"):
        tree.writer.finish()
    bundle.chunk_id = b"B" * 32
    tree.writer.pump()
    assert not tree.writer.waits_for(bundle)
    piece.chunk_id = b"P" * 32
    tree.writer.finish()

    assert [b"", b"b", b"d"] == [block.listing.path for block in tree.blocks]
    assert Extent(b"B" * 32, 3, 5) == tree.blocks[0].contents[0]
    assert 0 == tree.writer.held


def test_lists_and_extents_are_stored_as_what_they_are() -> None:
    tree = Written()
    lists = Pieces(lists=[settled(b"L" * 32), settled(b"M" * 32)], listed=5)
    pieces = Pieces(chunks=[(settled(b"P" * 32), 3), (settled(b"Q" * 32), 2)])
    tree.add(b"", [b"a", b"b", b"c"], [lists, pieces, None], dropped={2})
    tree.writer.finish()

    contents = tree.blocks[0].contents
    assert [(b"L" * 32, b"M" * 32), pieces.settled()] == contents
    assert isinstance(contents[1], bytes)


def test_what_was_read_too_soon_is_to_be_read_again() -> None:
    tree = Written()
    tree.add(b"", [b"a", b"b"], hidden={1})
    tree.writer.finish()

    assert [77, 0] == tree.blocks[0].listing.column(CTIME).tolist()


def test_what_is_dropped_is_left_out_with_its_extras() -> None:
    tree = Written()
    block = tree.add(b"", [b"a", b"b", b"c"], dropped={0})
    assert block.listing.names == [b"a", b"b", b"c"]
    tree.writer.finish()

    assert [b"b", b"c"] == tree.blocks[0].listing.names


def test_an_empty_tree_is_one_chunk() -> None:
    tree = Written()
    tree.writer.finish()

    assert [b""] == tree.raws
    assert [b""] == [chunk.first_path for chunk in tree.writer.chunks()]


def test_directories_are_grouped_and_each_group_says_where_it_begins() -> None:
    tree = Written()
    names = [b"%040d" % number for number in range(50)]
    for number in range(200):
        tree.add(b"%03d" % number, names)
    tree.writer.finish()

    firsts = [next(iter(split_blocks(raw, what="test"))) for raw in tree.raws]
    expected = [decode_block(raw, what="test").listing.path for raw in firsts]
    assert expected == [chunk.first_path for chunk in tree.writer.chunks()]
    assert len(tree.raws) > 3
    assert max(map(len, tree.raws)) < GROUP_MAX + 10_000


def test_a_change_moves_only_the_groups_near_it() -> None:
    def groups(changed: int) -> set[bytes]:
        tree = Written()
        for number in range(300):
            names = [b"%040d" % at for at in range(50 + (number == changed))]
            tree.add(b"%03d" % number, names)
        tree.writer.finish()
        return set(tree.raws)

    assert len(groups(-1) - groups(150)) <= 2


def test_a_block_that_is_too_long_is_halved() -> None:
    tree = Written()
    names = [b"%02d" % number for number in range(20)]
    xattrs = tuple((b"user.%02d" % at, bytes(60_000)) for at in range(16))
    block = PendingBlock(listing_of(b"", names), [Extent(bytes(32), 0, 5)] * 20, set(), set(), [])
    block.listing.extras = {at: Extra(xattrs=xattrs) for at in range(20)}
    tree.writer.add(block)
    tree.writer.finish()

    assert len(tree.blocks) >= 3
    assert names == [name for one in tree.blocks for name in one.listing.names]
    assert all(
        16 == len(extra.xattrs) for one in tree.blocks for extra in one.listing.extras.values()
    )


def test_an_entry_that_is_too_long_alone_is_told() -> None:
    tree = Written()
    block = PendingBlock(listing_of(b"", [b"a"]), [None], set(), set(), [])
    block.listing.set(MODE, 0, stat.S_IFDIR)
    block.listing.extras = {0: Extra(xattrs=((b"user.a", bytes(8 << 20)),))}

    with pytest.raises(MalformedObjectError, match="at most"):
        tree.writer.add(block)


# Reading what was kept


def kept(folder: Path, paths: list[tuple[bytes, list[bytes]]]) -> Path:
    """Write a cached tree."""
    tree = Written()
    for path, names in paths:
        tree.add(path, names)
    tree.writer.finish()
    place = folder / "tree"
    place.write_bytes(tree.cache.getvalue())
    return place


def test_what_was_kept_is_found_beside_what_is_scanned(tmp_path: Path) -> None:
    place = kept(tmp_path, [(b"", [b"a", b"b"]), (b"a", [b"x"]), (b"b", [b"y"]), (b"b/y", [])])
    stream = open_cache(place)
    assert stream is not None

    with stream:
        base = BaseTree(stream)
        top = listing_of(b"", [b"a", b"b"])
        found = base.overlapping(top)
        assert [b""] == [block.body.path for block in found]
        assert found[0].is_same(top, b"a\0b")
        assert not found[0].is_same(listing_of(b"", [b"a", b"b"], size=6), b"a\0b")
        assert not found[0].is_same(top, b"a\0c")
        assert [] == base.overlapping(listing_of(b"aa", [b"new"]))
        assert [b"b"] == [block.body.path for block in base.overlapping(listing_of(b"b", [b"y"]))]
        assert [] == base.overlapping(listing_of(b"z", [b"new"]))


@pytest.mark.parametrize("at", [0, 3, 40, -1, -33])
def test_a_damaged_cache_is_not_believed(tmp_path: Path, at: int) -> None:
    place = kept(tmp_path, [(b"", [b"a", b"b"])])
    contents = bytearray(place.read_bytes())
    contents[at] ^= 1
    place.write_bytes(contents)

    assert open_cache(place) is None


@pytest.mark.parametrize("length", [0, 10, 31, 32, 60])
def test_a_cache_that_was_cut_short_is_not_believed(tmp_path: Path, length: int) -> None:
    place = kept(tmp_path, [(b"", [b"a", b"b"])])
    place.write_bytes(place.read_bytes()[:length])

    assert open_cache(place) is None


def test_there_may_be_no_cache(tmp_path: Path) -> None:
    assert open_cache(tmp_path / "none") is None
    assert [] == BaseTree(None).overlapping(listing_of(b"", [b"a"]))


@given(
    st.sets(st.integers(0, 60), min_size=1, max_size=40),
    st.sets(st.integers(0, 60), min_size=1, max_size=40),
    st.integers(1, 7),
    st.integers(1, 7),
)
def test_parts_of_a_directory_meet_every_part_that_shares_a_name_with_them(
    before: set[int], after: set[int], old_step: int, new_step: int
) -> None:
    old, new = (sorted(b"%04d" % number for number in drawn) for drawn in (before, after))
    with tempfile.TemporaryDirectory() as name:
        parts = [(b"d", old[at : at + old_step]) for at in range(0, len(old), old_step)]
        stream = open_cache(kept(Path(name), [(b"", [b"d"]), *parts, (b"e", [b"x"])]))
    assert stream is not None

    met: set[bytes] = set()
    with stream:
        base = BaseTree(stream)
        for at in range(0, len(new), new_step):
            part = new[at : at + new_step]
            for block in base.overlapping(listing_of(b"d", part)):
                met |= set(block.block.listing.names) & set(part)
        after_it = base.overlapping(listing_of(b"e", [b"x"]))

    assert set(old) & set(new) == met
    assert [b"e"] == [block.body.path for block in after_it]
