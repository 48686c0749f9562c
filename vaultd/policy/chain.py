"""Which kind of snapshot to make now, and on what base: pure, with the reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vaultd.core.snapshot import Kind

_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One committed, live snapshot of the store, as far as chains are concerned.

    Attributes:
        seq: Its session.
        kind: Its kind.
        chain: Session of its chain's full.
        started_ns: When it was captured.
        usable: Its packs are all there, so that another may build on it.
    """

    seq: int
    kind: Kind
    chain: int
    started_ns: int
    usable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRule:
    """When a chain has become too long.

    Attributes:
        max_days: Older than this, its full is due again.
        max_links: With so many snapshots after its full, the full is due again.
    """

    max_days: int = 30
    max_links: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to make.

    Attributes:
        kind: The kind.
        base: Session to compare with and build on; 0 for none.
        chain: Session of the chain's full; 0 when this one begins a chain.
        reason: Why, as a lower-case clause.
    """

    kind: Kind
    base: int
    chain: int
    reason: str


def decide(wanted: Kind | None, links: Sequence[Link], now_ns: int, rule: ChainRule) -> Decision:
    """Choose kind and base of the next snapshot.

    Args:
        wanted: What was asked for; ``None`` chooses.
        links: Live snapshots of the store on this host, oldest first.
        now_ns: The time.
        rule: When a chain is too long.
    """
    if wanted is Kind.FULL:
        return _full("a full snapshot was asked for")
    fulls = [link for link in links if link.kind is Kind.FULL]
    if not fulls:
        return _full("this store has no full snapshot yet" if not links else "the chain has lost its full snapshot")
    full = fulls[-1]
    if not full.usable:
        return _full(f"the packs of the last full snapshot ({full.seq}) are not all there")
    if wanted is Kind.DIFFERENTIAL:
        return Decision(
            kind=Kind.DIFFERENTIAL, base=full.seq, chain=full.seq, reason="a differential snapshot was asked for"
        )
    members = [link for link in links if link.chain == full.seq and link.usable]
    latest = members[-1]
    if wanted is Kind.INCREMENTAL:
        return _incremental(latest, full, "an incremental snapshot was asked for")
    age_days = (now_ns - full.started_ns) / _DAY_NS
    if age_days >= rule.max_days:
        return _full(f"the chain is {age_days:.0f} days old, at most {rule.max_days} are kept on one full snapshot")
    if len(members) > rule.max_links:
        return _full(f"the chain has {len(members) - 1} snapshots after its full one, at most {rule.max_links} are kept")
    return _incremental(latest, full, f"the chain of full snapshot {full.seq} can go on")


def _full(reason: str) -> Decision:
    return Decision(kind=Kind.FULL, base=0, chain=0, reason=reason)


def _incremental(latest: Link, full: Link, reason: str) -> Decision:
    return Decision(kind=Kind.INCREMENTAL, base=latest.seq, chain=full.seq, reason=reason)
