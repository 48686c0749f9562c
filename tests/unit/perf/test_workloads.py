"""Workloads: the same seed gives the same bytes, and a change is as large as it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf.workloads import WORKLOADS, change
from tests.support.trees import differences, snapshot_of

SCALES = {"mix": 0.002, "tiny": 0.001, "customer": 0.1}
NEW = {"mtime_ns"}


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_seed_gives_the_same_bytes_every_time(tmp_path: Path, name: str) -> None:
    make = WORKLOADS[name]
    make(tmp_path / "one", SCALES[name], 7)
    make(tmp_path / "two", SCALES[name], 7)
    make(tmp_path / "other", SCALES[name], 8)
    one, two, other = (snapshot_of(tmp_path / folder) for folder in ("one", "two", "other"))

    assert [] == differences(one, two, ignore=NEW)
    assert [] != differences(one, other, ignore=NEW)


def test_scale_counts_files_and_bytes(tmp_path: Path) -> None:
    WORKLOADS["tiny"](tmp_path / "tiny", 0.001, 1)
    WORKLOADS["mix"](tmp_path / "mix", 0.002, 1)
    tiny = [facts.size for facts in snapshot_of(tmp_path / "tiny").values() if facts.sha256]
    mix = [facts.size for facts in snapshot_of(tmp_path / "mix").values() if facts.sha256]

    assert 400 == len(tiny)
    assert 120 < sum(tiny) / len(tiny) < 180
    assert 1_500_000 < sum(mix) < 2_000_000


def test_the_customer_s_folder_has_a_link_and_a_sparse_file(tmp_path: Path) -> None:
    WORKLOADS["customer"](tmp_path / "customer", 0.1, 1)
    seen = snapshot_of(tmp_path / "customer")

    assert b"invoices/2026" == seen[b"latest invoices"].target
    assert 3 == len(seen[b"disk image.raw"].segments)


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_change_alters_what_it_says_and_repeats(tmp_path: Path, name: str) -> None:
    for folder in ("one", "two"):
        WORKLOADS[name](tmp_path / folder, SCALES[name], 1)
    before = snapshot_of(tmp_path / "one")
    done = change(tmp_path / "one", 0.1, 5)
    again = change(tmp_path / "two", 0.1, 5)
    after = snapshot_of(tmp_path / "one")
    altered = [path for path in before.keys() & after if before[path].sha256 != after[path].sha256]

    assert done == again
    assert [] == differences(after, snapshot_of(tmp_path / "two"), ignore=NEW)
    assert done.added == len(after.keys() - before.keys())
    assert done.removed == len(before.keys() - after.keys())
    assert done.altered == len(altered)
    assert 0.05 < (done.altered + done.removed) / len(before) < 0.5
