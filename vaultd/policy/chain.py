"""Which kind of snapshot to make now, and on what base: pure, with the reason in words."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from vaultd.core.snapshot import Kind

_DAY_NS = 86_400 * 10**9


class Link(Struct, frozen=True, kw_only=True):
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


class ChainRule(Struct, frozen=True, kw_only=True):
    """When a chain has become too long.

    Attributes:
        max_days: Older than this, its full is due again.
        max_links: With so many snapshots after its full, the full is due again.
    """

    max_days: int = 30
    max_links: int = 200


class Decision(Struct, frozen=True, kw_only=True):
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
    fulls = [link for link in links if link.kind is Kind.FULL]
    reason = _why_full(wanted, links, fulls)
    if reason:
        return Decision(kind=Kind.FULL, base=0, chain=0, reason=reason)
    full = fulls[-1]
    if wanted is Kind.DIFFERENTIAL:
        asked = "a differential snapshot was asked for"
        return Decision(kind=Kind.DIFFERENTIAL, base=full.seq, chain=full.seq, reason=asked)
    members = [link for link in links if link.chain == full.seq and link.usable]
    if wanted is None:
        reason = _why_anew(full, len(members) - 1, now_ns, rule)
        if reason:
            return Decision(kind=Kind.FULL, base=0, chain=0, reason=reason)
        reason = f"the chain of full snapshot {full.seq} can go on"
    else:
        reason = "an incremental snapshot was asked for"
    return Decision(kind=Kind.INCREMENTAL, base=members[-1].seq, chain=full.seq, reason=reason)


def _why_full(wanted: Kind | None, links: Sequence[Link], fulls: list[Link]) -> str:
    """Return why nothing but a full snapshot can be made; empty when another can."""
    if wanted is Kind.FULL:
        return "a full snapshot was asked for"
    if not links:
        return "this store has no full snapshot yet"
    if not fulls:
        return "the chain has lost its full snapshot"
    if not fulls[-1].usable:
        return f"the packs of the last full snapshot ({fulls[-1].seq}) are not all there"
    return ""


def _why_anew(full: Link, followers: int, now_ns: int, rule: ChainRule) -> str:
    """Return why a chain should end; empty when it can go on."""
    age_days = (now_ns - full.started_ns) / _DAY_NS
    if age_days >= rule.max_days:
        return f"the chain is {age_days:.0f} days old, at most {rule.max_days} are allowed"
    if followers >= rule.max_links:
        return f"{followers} snapshots follow the last full one, at most {rule.max_links} may"
    return ""
