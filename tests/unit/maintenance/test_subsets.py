"""Parts of a vault to be read, as people write them, and which objects belong to them."""

from __future__ import annotations

import hashlib

import pytest

from vaultd.core.errors import ConfigError
from vaultd.core.snapshot import SessionId
from vaultd.maintenance.subsets import (
    Amount,
    Ratio,
    Share,
    Subset,
    is_in,
    parse_share,
    parse_subset,
)
from vaultd.vault import layout

SESSION = SessionId(host="web1", seq=1)
NAMES = [layout.pack(SESSION, hashlib.sha256(b"%d" % at).digest()) for at in range(3000)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2/7", Share(2, 7)),
        ("1/1", Share(1, 1)),
        ("5%", Ratio(0.05)),
        ("12.5 %", Ratio(0.125)),
        ("100%", Ratio(1.0)),
        ("10G", Amount(10 << 30)),
    ],
)
def test_what_a_text_means(text: str, expected: Subset) -> None:
    assert expected == parse_subset(text)


@pytest.mark.parametrize(
    "text", ["0/7", "8/7", "1/0", "a/b", "/", "0%", "101%", "some", "", "-1/2"]
)
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_subset(text)


def test_a_shard_is_a_share() -> None:
    assert Share(3, 4) == parse_share(" 3/4 ")
    with pytest.raises(ConfigError):
        parse_share("5%")


def test_shares_are_about_equal_and_every_object_is_in_one_of_them() -> None:
    shares = [{n for n in NAMES if is_in(n, Share(k, 5), lot=0)} for k in range(1, 6)]
    assert set(NAMES) == set().union(*shares)
    assert len(NAMES) == sum(map(len, shares))
    assert all(500 < len(share) < 700 for share in shares)


def test_everything_is_in_no_share_at_all() -> None:
    assert all(is_in(name, None, lot=0) for name in NAMES)


def test_a_share_of_a_shard_is_no_less_than_its_part() -> None:
    both = [n for n in NAMES if is_in(n, Share(1, 2), lot=0) and is_in(n, Share(1, 2), lot=1)]
    assert 650 < len(both) < 850
