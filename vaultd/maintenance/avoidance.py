"""Telling hosts through the log which packs they should not rely on, and on which they may again.

A host whose log says that a pack is damaged or lost stores the chunks in it again with its next
run. The log is compared with what is known now, so that a run that died before it said so is made
up for by the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from vaultd.core.snapshot import SessionId
from vaultd.format.log import MAX_LISTED, AvoidBody, Listed, name_columns
from vaultd.maintenance.agenda import Bad
from vaultd.maintenance.forget import KeeperContext
from vaultd.maintenance.ledger import Result
from vaultd.vault import layout
from vaultd.vault.log import LogHead, append
from vaultd.vault.log_state import HEALED, LogState

_BAD = frozenset({Result.DAMAGED.value, Result.LOST.value})


def called_bad(state: LogState) -> Iterator[str]:
    """Yield the names of the packs that the log calls damaged or lost."""
    for host, listed in state.avoided.items():
        for (seq, sha256), why in listed.items():
            if why in _BAD:
                yield layout.pack(SessionId(host=host, seq=seq), sha256)


def plan_avoidance(
    state: LogState, bad: Iterable[Bad], good: Collection[str]
) -> tuple[AvoidBody, ...]:
    """Return what the log does not say yet.

    Args:
        state: What it says.
        bad: What is damaged or lost now; index parts and roots are left out, nothing relies on
            them.
        good: Packs that were read just now and are good.
    """
    said: dict[tuple[str, str], set[Listed]] = {}
    for one in bad:
        if one.name.startswith(layout.PACKS):
            session, sha256 = layout.hashed_of(one.name)
            listed = session.seq, sha256
            if state.avoided.get(session.host, {}).get(listed) != one.result.value:
                said.setdefault((session.host, one.result.value), set()).add(listed)
    for name in good:
        session, sha256 = layout.hashed_of(name)
        if state.avoided.get(session.host, {}).get((session.seq, sha256)) in _BAD:
            said.setdefault((session.host, HEALED), set()).add((session.seq, sha256))
    return tuple(
        AvoidBody(host, why, name_columns(part))
        for (host, why), names in sorted(said.items())
        for part in _parts(sorted(names))
    )


def execute_avoidance(context: KeeperContext, events: Iterable[AvoidBody]) -> int:
    """Append events to the log; return how many.

    Raises:
        BrokenChainError: The log is not what it was.
        AccessDeniedError: This machine may not write the log.
    """
    head = context.catalog.refresh_log(context.backend, context.trust)
    count = 0
    for event in events:
        head = _append(context, event, head)
        count += 1
    context.catalog.refresh_log(context.backend, context.trust)
    return count


def _append(context: KeeperContext, event: AvoidBody, head: LogHead) -> LogHead:
    keeper, clock = context.keeper, context.clock
    return append(context.backend, context.trust, keeper, clock, lambda _: event, head).head


def _parts(names: list[Listed]) -> Iterator[list[Listed]]:
    for start in range(0, len(names), MAX_LISTED):
        yield names[start : start + MAX_LISTED]
