"""A tree that was captured and put back is the same tree."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.trees import Tree, build, differences, snapshot_of, trees
from tests.unit.stores.taking import put, take
from vaultd.stores.files.options import Overwrite, TargetOptions


@given(tree=trees(), seed=st.integers(0, 1 << 16))
def test_what_was_captured_comes_back_whatever_the_order_of_its_pieces(
    tree: Tree, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        build(tree, source)
        expected = snapshot_of(source)
        taken = take(source)
        assert [] == [problem for problem in taken.heard.problems if not problem.warning]

        def shuffled(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
            return random.Random(seed).sample(pieces, len(pieces))

        options = TargetOptions(allow_suid=True)
        tally, heard = put(taken, source, target, options, shuffled)
        assert ([], 0, 0) == (heard.problems, tally.failed, tally.kept)
        assert [] == differences(expected, snapshot_of(target))
        assert expected == snapshot_of(source)


@settings(max_examples=settings().max_examples // 3)
@given(tree=trees(max_leaves=6), other=trees(max_leaves=6))
def test_a_tree_put_over_another_one_replaces_what_has_its_names(tree: Tree, other: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        build(tree, source)
        build(other, target)
        expected = snapshot_of(source)
        options = TargetOptions(overwrite=Overwrite.ALWAYS, delete=True, allow_suid=True)
        tally, heard = put(take(source), source, target, options)
        assert ([], 0) == (heard.problems, tally.failed)
        found = snapshot_of(target)
        assert [] == differences(expected, {path: found[path] for path in expected})


@settings(max_examples=settings().max_examples // 3)
@given(tree=trees(max_leaves=6))
def test_putting_a_tree_back_twice_keeps_all_its_files(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        build(tree, source)
        expected = snapshot_of(source)
        put(take(source), source, target, TargetOptions(allow_suid=True))
        options = TargetOptions(overwrite=Overwrite.IF_CHANGED, allow_suid=True)
        tally, heard = put(take(source), source, target, options)
        assert ([], 0) == (heard.problems, tally.files)
        assert [] == differences(expected, snapshot_of(target))
