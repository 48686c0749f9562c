"""Which kind of snapshot is made, on what base, and the reason that is given for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core.snapshot import Kind
from vaultd.policy.chain import ChainRule, Decision, Link, decide

DAY_NS = 86_400 * 10**9
NOW = 100 * DAY_NS
FULL, DIFF, INC = Kind.FULL, Kind.DIFFERENTIAL, Kind.INCREMENTAL
RULE = ChainRule(max_days=30, max_links=5)


def link(seq: int, kind: Kind, chain: int, *, days: int = 1, usable: bool = True) -> Link:
    return Link(seq=seq, kind=kind, chain=chain, started_ns=NOW - days * DAY_NS, usable=usable)


CHAIN = (link(1, FULL, 1, days=9), link(2, INC, 1, days=8), link(3, DIFF, 1, days=7))
LONG = (link(1, FULL, 1), *(link(seq, INC, 1) for seq in range(2, 8)))
TWO = (*CHAIN, link(4, FULL, 4), link(5, INC, 4))


@pytest.mark.parametrize(
    ("wanted", "links", "expected", "reason"),
    [
        (None, (), (FULL, 0, 0), "no full snapshot yet"),
        (INC, (), (FULL, 0, 0), "no full snapshot yet"),
        (DIFF, (), (FULL, 0, 0), "no full snapshot yet"),
        (FULL, CHAIN, (FULL, 0, 0), "asked for"),
        (None, CHAIN, (INC, 3, 1), "can go on"),
        (INC, CHAIN, (INC, 3, 1), "asked for"),
        (DIFF, CHAIN, (DIFF, 1, 1), "asked for"),
        (None, TWO, (INC, 5, 4), "can go on"),
        (DIFF, TWO, (DIFF, 4, 4), "asked for"),
        (None, CHAIN[1:], (FULL, 0, 0), "lost its full"),
        (None, (link(1, FULL, 1, days=30),), (FULL, 0, 0), "30 days old"),
        (INC, (link(1, FULL, 1, days=99),), (INC, 1, 1), "asked for"),
        (None, LONG[:-2], (INC, 5, 1), "can go on"),
        (None, LONG[:-1], (FULL, 0, 0), "5 snapshots follow the last full one, at most 5 may"),
        (None, (link(1, FULL, 1, usable=False),), (FULL, 0, 0), "not all there"),
        (DIFF, (link(1, FULL, 1, usable=False), *CHAIN[1:]), (FULL, 0, 0), "not all there"),
        (INC, (*CHAIN[:2], link(3, INC, 1, usable=False)), (INC, 2, 1), "asked for"),
        (None, (CHAIN[0], link(3, INC, 1, usable=False)), (INC, 1, 1), "can go on"),
    ],
)
def test_the_next_snapshot_is_chosen_by_what_is_there(
    wanted: Kind | None, links: tuple[Link, ...], expected: tuple[Kind, int, int], reason: str
) -> None:
    decision = decide(wanted, links, NOW, RULE)

    assert expected == (decision.kind, decision.base, decision.chain)
    assert reason in decision.reason


def links() -> st.SearchStrategy[list[Link]]:
    """Draw snapshots in ascending order, their chains as the fulls among them say."""
    kinds = st.lists(
        st.tuples(st.sampled_from(Kind), st.booleans(), st.integers(0, 60)), max_size=9
    )

    def build(drawn: list[tuple[Kind, bool, int]]) -> list[Link]:
        chain, found = 0, []
        for seq, (kind, usable, days) in enumerate(drawn, 1):
            chain = seq if kind is FULL else chain
            found.append(link(seq, kind, chain, days=days, usable=usable))
        return found

    return kinds.map(build)


@given(st.one_of(st.none(), st.sampled_from(Kind)), links())
def test_whatever_is_chosen_is_sound(wanted: Kind | None, given_links: list[Link]) -> None:
    decision = decide(wanted, given_links, NOW, RULE)

    check_sound(decision, {one.seq: one for one in given_links}, wanted)


def check_sound(decision: Decision, there: dict[int, Link], wanted: Kind | None) -> None:
    if decision.kind is FULL:
        assert (0, 0) == (decision.base, decision.chain)
        return
    base = there[decision.base]
    assert base.usable
    assert base.chain == decision.chain == max(s for s, one in there.items() if one.kind is FULL)
    assert wanted in (None, decision.kind)
    assert decision.kind is not DIFF or base.kind is FULL
