"""A minute of the soak; `make soak` runs it for ten, with more of everything."""

from __future__ import annotations

from pathlib import Path

from tests.soak.soak import Plan, Soak


def test_everybody_at_once_for_a_little_while(tmp_path: Path) -> None:
    plan = Plan(seconds=45, hosts=4, keepers=2, restorers=1, server_dies_s=15, seed=7)

    tally = Soak(tmp_path, plan).run()

    assert [] == tally.wrong
    assert tally.counts["backups"] > 5
    assert tally.counts["server killed"] > 0
    assert tally.counts["killed"] > 0
