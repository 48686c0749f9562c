from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaultd.chunking.bundle import BundleRule
from vaultd.core.errors import ConfigError
from vaultd.core.units import KIB, MIB

RULE = BundleRule()
File = tuple[bytes, int]


def _tree(seed: int, count: int) -> list[File]:
    """Names as programs give them, sizes as they are found: many small, few large."""
    draw = random.Random(seed)
    return [
        (b"IMG_%05d.json" % at, min(int(draw.lognormvariate(8, 2)), 512 * KIB - 1))
        for at in range(count)
    ]


def _bundles(files: list[File], rule: BundleRule = RULE) -> list[tuple[File, ...]]:
    bundles: list[tuple[File, ...]] = []
    bundle: list[File] = []
    filled = 0
    for name, size in files:
        bundle.append((name, size))
        filled += size
        if rule.ends_after(name, size, filled):
            bundles.append(tuple(bundle))
            bundle, filled = [], 0
    return [*bundles, tuple(bundle)] if bundle else bundles


@settings(max_examples=30)
@given(seed=st.integers(0, 1000))
def test_bundles_keep_their_limits(seed: int) -> None:
    for bundle in _bundles(_tree(seed, 2000))[:-1]:
        assert RULE.min_bytes <= sum(size for _, size in bundle)
        assert sum(size for _, size in bundle[:-1]) < RULE.max_bytes


@settings(max_examples=60)
@given(
    seed=st.integers(0, 20),
    at=st.integers(0, 5999),
    name=st.binary(min_size=1, max_size=20),
    size=st.integers(0, 512 * KIB - 1),
)
def test_a_new_file_changes_only_the_bundles_around_it(
    seed: int, at: int, name: bytes, size: int
) -> None:
    files = _tree(seed, 6000)
    before, after = _bundles(files), _bundles([*files[:at], (name, size), *files[at:]])

    assert len(before) > 40
    assert len(set(after) - set(before)) <= 12


@settings(max_examples=60)
@given(seed=st.integers(0, 20), at=st.integers(0, 5999))
def test_a_removed_file_changes_only_the_bundles_around_it(seed: int, at: int) -> None:
    files = _tree(seed, 6000)
    before, after = _bundles(files), _bundles([*files[:at], *files[at + 1 :]])

    assert len(set(after) - set(before)) <= 12


def test_one_new_file_changes_about_two_bundles_on_average() -> None:
    files = _tree(5, 6000)
    before = set(_bundles(files))
    changed = [
        len(set(_bundles([*files[:at], (b"new", 3000), *files[at:]])) - before)
        for at in range(0, 6000, 200)
    ]

    assert sum(changed) / len(changed) < 3


def test_bundles_are_about_three_quarters_of_a_mebibyte() -> None:
    files = _tree(7, 20_000)
    mean = sum(size for _, size in files) / len(_bundles(files))

    assert 600 * KIB < mean < 900 * KIB


def test_files_of_one_name_and_many_sizes_still_end_bundles_by_content() -> None:
    draw = random.Random(8)
    files = [(b"index.html", draw.randrange(500, 8000)) for _ in range(6000)]
    before, after = _bundles(files), _bundles([(b"index.html", 4321), *files])

    assert len(set(after) - set(before)) <= 12


def test_a_salt_tells_files_of_one_name_and_size_apart() -> None:
    size = 4 * KIB
    ends = [
        RULE.ends_after(b"__init__.py", size, 600 * KIB, zlib.crc32(b"package%d" % at))
        for at in range(10_000)
    ]

    assert 10_000 * size / RULE.mean_bytes * 0.7 < sum(ends)
    assert sum(ends) < 10_000 * size / RULE.mean_bytes * 1.3


@given(name=st.binary(max_size=30), size=st.integers(0, MIB), filled=st.integers(0, 2 * MIB))
def test_the_limits_decide_whatever_the_name(name: bytes, size: int, filled: int) -> None:
    ends = RULE.ends_after(name, size, filled)

    assert not ends or filled >= RULE.min_bytes
    assert ends or filled < RULE.max_bytes


@given(name=st.binary(max_size=30))
def test_an_empty_file_ends_nothing_and_a_long_one_always(name: bytes) -> None:
    assert not RULE.ends_after(name, 0, 600 * KIB)
    assert RULE.ends_after(name, RULE.mean_bytes, 600 * KIB)


@pytest.mark.parametrize(
    ("min_bytes", "max_bytes", "mean_bytes"),
    [(0, MIB, KIB), (MIB + 1, MIB, KIB), (KIB, MIB, 0), (-1, MIB, KIB)],
)
def test_lengths_that_cannot_be_are_refused(
    min_bytes: int, max_bytes: int, mean_bytes: int
) -> None:
    with pytest.raises(ConfigError):
        BundleRule(min_bytes=min_bytes, max_bytes=max_bytes, mean_bytes=mean_bytes)
