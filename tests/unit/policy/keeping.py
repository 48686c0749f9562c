"""Snapshots in a few words, for the tests of retention: a line each, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from vaultd.core.snapshot import Kind, SessionId
from vaultd.policy.retention import RetentionPolicy, judge
from vaultd.policy.seats import Candidate, Health

DAY_NS = 86_400 * 10**9
LETTERS = {"F": Kind.FULL, "D": Kind.DIFFERENTIAL, "I": Kind.INCREMENTAL}


def ns(text: str) -> int:
    """Return a time in UTC, nanoseconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def made(
    seq: int,
    committed: str,
    *,
    started: str | None = None,
    kind: str = "F",
    base: int = 0,
    chain: int = 0,
    **more: object,
) -> Candidate:
    """Return a snapshot.

    Args:
        seq: Its session.
        committed: When the storage took it, in UTC.
        started: When its host says; the same by default.
        kind: F, D or I.
        base: See `Candidate`.
        chain: See `Candidate`; itself by default.
        more: Further fields.
    """
    fields: dict[str, Any] = {"session": SessionId(host="web1", seq=seq), "store": "crm", **more}
    return Candidate(
        kind=LETTERS[kind],
        chain=chain or seq,
        base=base,
        committed_ns=ns(committed),
        started_ns=ns(started or committed),
        **fields,
    )


def spread(*committed: str) -> list[Candidate]:
    """Return full snapshots of these times, oldest first."""
    return [made(seq, text) for seq, text in enumerate(committed, 1)]


def fate(
    candidates: Iterable[Candidate], policy: RetentionPolicy, now: str
) -> dict[int, tuple[str, ...]]:
    """Return what is kept and why, by session."""
    verdicts = judge(list(candidates), policy, ns(now))
    return {one.candidate.session.seq: one.reasons for one in verdicts if one.kept}


GOOD, UNKNOWN, DAMAGED = Health.GOOD, Health.UNKNOWN, Health.DAMAGED
