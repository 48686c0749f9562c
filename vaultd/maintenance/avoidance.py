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
from vaultd.maintenance.keeping import KeeperContext
from vaultd.maintenance.ledger import Result
from vaultd.vault import layout
from vaultd.vault.log_state import HEALED, LogState

_BAD = frozenset({Result.DAMAGED.value, Result.LOST.value})


def called_bad(state: LogState) -> Iterator[str]:
    """Yield the names of the packs that the log calls damaged or lost."""
    for host, listed in state.avoided.items():
        for (seq, sha256), avoided in listed.items():
            if avoided.why in _BAD:
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
            if _why(state, one.name) != one.result.value:
                said.setdefault((session.host, one.result.value), set()).add(listed)
    for name in good:
        if _why(state, name) in _BAD:
            session, sha256 = layout.hashed_of(name)
            said.setdefault((session.host, HEALED), set()).add((session.seq, sha256))
    return tuple(
        AvoidBody(host, why, name_columns(part))
        for (host, why), names in sorted(said.items())
        for part in _parts(sorted(names))
    )


def execute_avoidance(context: KeeperContext, events: Iterable[AvoidBody]) -> None:
    """Append events to the log.

    Raises:
        BrokenChainError: The log is not what it was.
        AccessDeniedError: This machine may not write the log.
    """
    for event in events:
        context.say(event)


def _why(state: LogState, name: str) -> str:
    """Return why the log lets a pack be avoided; empty: it does not."""
    session, sha256 = layout.hashed_of(name)
    avoided = state.avoided.get(session.host, {}).get((session.seq, sha256))
    return "" if avoided is None else avoided.why


def _parts(names: list[Listed]) -> Iterator[list[Listed]]:
    for start in range(0, len(names), MAX_LISTED):
        yield names[start : start + MAX_LISTED]
