"""Forgetting by rules: the snapshots of a vault with the storage's times, a plan, its execution.

Rules always count all snapshots of a store. The times that they go by are those at which the
storage took the outcomes, which no host can forge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from vaultd.backends.base import Backend
from vaultd.core.snapshot import SessionId, Snapshot
from vaultd.core.units import format_duration
from vaultd.maintenance.forget import forget
from vaultd.maintenance.keeping import KeeperContext
from vaultd.policy.retention import RetentionPolicy, Verdict, judge
from vaultd.policy.seats import Candidate, Health
from vaultd.vault import layout

_DAY_S, _SECOND_NS = 86_400, 10**9
_TOLERANCE_S = 300

_HIDDEN = "its names are not shown by the keys at hand"
_NO_POLICY = "there are no rules for its store"
_GONE = "its outcome is not in the storage"


class Rules(Struct, frozen=True, kw_only=True):
    """What is to be kept, and what is known about snapshots beside what they say themselves.

    Attributes:
        policy_of: Returns the policy of a store, given its name; ``None``: it has none.
        min_age_days: As the vault's key policy says: no policy goes below it.
        pinned: Snapshots that a keeper pinned.
        health: Returns what is known about the bytes that a snapshot needs.
    """

    policy_of: Callable[[str], RetentionPolicy | None]
    min_age_days: int
    pinned: frozenset[SessionId] = frozenset()
    health: Callable[[Snapshot], Health] = lambda _: Health.UNKNOWN


class Judged(Struct, frozen=True, kw_only=True):
    """What becomes of one snapshot.

    Attributes:
        snapshot: The snapshot.
        committed_ns: When the storage took it; now, where the storage does not say.
        kept: Whether it stays.
        reasons: Why, one clause each; never empty.
        policy: The policy that it was judged by, in words; empty: none.
    """

    snapshot: Snapshot
    committed_ns: int
    kept: bool
    reasons: tuple[str, ...]
    policy: str


class RetentionPlan(Struct, frozen=True, kw_only=True):
    """What a policy says about the snapshots of a vault.

    Attributes:
        judged: One for each snapshot, in their order.
        warnings: What a person should know before going on, one sentence each.
    """

    judged: tuple[Judged, ...]
    warnings: tuple[str, ...]

    @property
    def doomed(self) -> tuple[Judged, ...]:
        """What is to be forgotten, policy by policy.

        Newest first: wherever it stops, nothing is left whose base is gone.
        """
        going = [one for one in self.judged if not one.kept]
        going.sort(key=lambda one: (one.policy, one.snapshot.session), reverse=True)
        return tuple(going)

    def among(self, chosen: Sequence[Snapshot]) -> RetentionPlan:
        """Return the plan for some of the snapshots; what becomes of each stays as it is."""
        sessions = {snapshot.session for snapshot in chosen}
        judged = tuple(one for one in self.judged if one.snapshot.session in sessions)
        return replace(self, judged=judged)


def plan_retention(
    backend: Backend, snapshots: Sequence[Snapshot], rules: Rules, now_ns: int
) -> RetentionPlan:
    """Say what is kept and what is to be forgotten; nothing is changed.

    A snapshot whose names are hidden is kept: its tags might keep it, and its store's policy is not
    known.

    Args:
        backend: Where the vault lies.
        snapshots: All live ones, oldest first.
        rules: What is to be kept.
        now_ns: The time.

    Raises:
        ConfigError: A policy cannot be used.
        StorageError: The storage cannot be listed.
    """
    committed = {info.name: info.modified_ns for info in backend.list(layout.OUTCOMES)}
    stores: dict[tuple[str, bytes], list[Snapshot]] = {}
    for snapshot in snapshots:
        stores.setdefault((snapshot.session.host, snapshot.store_id), []).append(snapshot)
    found: dict[SessionId, Judged] = {}
    warnings = _clock(committed, now_ns)
    for members in stores.values():
        candidates = [_candidate(one, committed, rules, now_ns) for one in members]
        store = _name(members, candidates)
        policy = _policy(rules, store)
        if policy is None:
            reason = _NO_POLICY if store else _HIDDEN
            verdicts = [Verdict(candidate=one, kept=True, reasons=(reason,)) for one in candidates]
        else:
            warnings += policy.warnings()
            verdicts = judge(candidates, policy, now_ns)
        for one, verdict in zip(members, verdicts, strict=True):
            found[one.session] = _judged(one, verdict, policy)
    judged = tuple(found[snapshot.session] for snapshot in snapshots)
    hidden = sum(_HIDDEN in one.reasons for one in judged)
    if hidden:
        warnings.append(f"kept unjudged: {hidden} of {len(judged)} snapshots: {_HIDDEN}")
    return RetentionPlan(judged=judged, warnings=tuple(dict.fromkeys(warnings)))


def execute_retention(context: KeeperContext, plan: RetentionPlan) -> None:
    """Forget what a plan says, newest first; the log says by which policy.

    Raises:
        BrokenChainError: The log is not what it was.
        AccessDeniedError: This machine may not write the log.
    """
    for policy, group in groupby(plan.doomed, key=lambda one: one.policy):
        forget(context, [one.snapshot for one in group], f"retention: {policy}")


def _candidate(one: Snapshot, committed: dict[str, int], rules: Rules, now_ns: int) -> Candidate:
    committed_ns = committed.get(layout.outcome(one.session))
    held_by = "pinned" if one.session in rules.pinned else ""
    if not one.store:
        held_by = _HIDDEN
    if committed_ns is None:
        held_by = _GONE
    return Candidate(
        session=one.session,
        store=one.store_id.hex(),
        kind=one.kind,
        chain=one.chain,
        base=one.base,
        committed_ns=now_ns if committed_ns is None else committed_ns,
        started_ns=one.started_ns,
        tags=one.tags,
        held_by=held_by,
        health=rules.health(one),
    )


def _name(members: Sequence[Snapshot], candidates: Sequence[Candidate]) -> str:
    """Return what a store is called; empty when its names are hidden.

    The first that the storage took decides: a host that was broken into could give its next
    snapshot another name, to have the store judged by the policy of that one.
    """
    named = [
        (candidate.committed_ns, one.session.seq, one.store)
        for one, candidate in zip(members, candidates, strict=True)
        if one.store
    ]
    return min(named)[2] if named else ""


def _policy(rules: Rules, store: str) -> RetentionPolicy | None:
    """Return what is kept of a store; ``None`` when nobody said, or its name is hidden."""
    policy = rules.policy_of(store) if store else None
    if policy is None:
        return None
    return replace(policy, min_age_s=max(policy.min_age_s, rules.min_age_days * _DAY_S))


def _judged(one: Snapshot, verdict: Verdict, policy: RetentionPolicy | None) -> Judged:
    return Judged(
        snapshot=one,
        committed_ns=verdict.candidate.committed_ns,
        kept=verdict.kept,
        reasons=verdict.reasons,
        policy="" if policy is None else policy.words(),
    )


def _clock(committed: dict[str, int], now_ns: int) -> list[str]:
    behind_s = (max(committed.values(), default=now_ns) - now_ns) / _SECOND_NS
    if behind_s <= _TOLERANCE_S:
        return []
    return [f"this machine's clock is {format_duration(behind_s)} behind the storage's"]
