"""The keeper log: dense, signed, chained entries that say what is still live (FORMAT.md 10).

The log, not the presence of objects, decides: a snapshot that was forgotten here is gone even when
an object with its name turns up again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.clock import Clock
from vaultd.core.errors import (
    BrokenChainError,
    CorruptObjectError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from vaultd.crypto import hashing
from vaultd.crypto.signing import Signer
from vaultd.format.codec import decode
from vaultd.format.log import CheckpointBody, Event, LogBody
from vaultd.format.signed import LOG
from vaultd.vault import layout
from vaultd.vault.trust import Trust, open_object, sign_object


class LogHead(Struct, frozen=True):
    """The newest entry known: its number, and the SHA-256 of its object (empty for no entry)."""

    number: int
    sha256: bytes


EMPTY = LogHead(0, b"")
_LOOK_BACK = 1000
"""How far from the end a checkpoint is looked for; keepers make one far more often."""


class LogEntry(Struct, frozen=True):
    """One verified entry and its own head."""

    head: LogHead
    body: LogBody


def read_after(backend: Backend, trust: Trust, head: LogHead) -> Iterator[LogEntry]:
    """Yield the entries after ``head``, verified and chained.

    Raises:
        BrokenChainError: An entry does not follow the one before it, or what was seen is gone.
        IntegrityError: An entry is malformed or not signed by a keeper.
    """
    if head.number:
        _check_known(backend, head)
    while True:
        number = head.number + 1
        try:
            data = backend.get(layout.log_entry(number))
        except ObjectNotFoundError:
            return
        entry = _verify(data, number, trust)
        if entry.body.previous != head.sha256:
            raise BrokenChainError(
                f"log entry {number}: follows {entry.body.previous.hex()[:8] or 'nothing'}, "
                f"expected {head.sha256.hex()[:8] or 'nothing'}",
                hint="Compare the vault with its second copy before anything is deleted.",
            )
        head = entry.head
        yield entry


def read_newest(backend: Backend, trust: Trust) -> list[LogEntry]:
    """Return what counts of a log of which nothing is known yet.

    That is its newest checkpoint, what that names, and what follows; nothing when there is no
    checkpoint near the end, and all must be read from the first entry.

    Raises:
        BrokenChainError: An entry does not follow the one before it.
        IntegrityError: An entry is malformed or not signed by a keeper.
    """
    numbers = [layout.log_number(info.name) for info in backend.list(layout.LOG)]
    known = [number for number in numbers if number is not None]
    found: list[LogEntry] = []
    for number in reversed(known[-_LOOK_BACK:]):
        try:
            entry = _verify(backend.get(layout.log_entry(number)), number, trust)
        except ObjectNotFoundError:
            return []
        if found and (entry.head.sha256, number) != (
            found[0].body.previous,
            found[0].head.number - 1,
        ):
            return []  # reading from the first entry finds out what is wrong
        found.insert(0, entry)
        if isinstance(entry.body.event, CheckpointBody):
            return [*_standing(backend, trust, entry.body.event), *found]
    return []


def _standing(backend: Backend, trust: Trust, checkpoint: CheckpointBody) -> Iterator[LogEntry]:
    for one in checkpoint.standing:
        entry = _verify(backend.get(layout.log_entry(one.number)), one.number, trust)
        if entry.head.sha256 != one.sha256:
            raise BrokenChainError(
                f"log entry {one.number}: hash {entry.head.sha256.hex()[:8]}, "
                f"a checkpoint expects {one.sha256.hex()[:8]}",
                hint="Find out who rewrote the vault's log before anything is deleted.",
            )
        yield entry


def _check_known(backend: Backend, head: LogHead) -> None:
    try:
        data = backend.get(layout.log_entry(head.number))
    except ObjectNotFoundError as error:
        raise BrokenChainError(
            f"log entry {head.number}: seen before and gone now; the vault shows an older state",
            hint="Find out who rolled the vault back; a second copy may hold what is missing.",
        ) from error
    if hashing.sha256(data) != head.sha256:
        raise BrokenChainError(
            f"log entry {head.number}: hash {hashing.sha256(data).hex()[:8]}, "
            f"expected {head.sha256.hex()[:8]}",
            hint="Find out who rewrote the vault's log before anything is deleted.",
        )


def _verify(data: bytes, number: int, trust: Trust) -> LogEntry:
    what = layout.log_entry(number)
    body = decode(
        LogBody, open_object(LOG, data, trust.keeper_keys(), what=what), what=what, limit=LOG.limit
    )
    if (body.vault_id, body.number) != (trust.vault_id, number):
        raise CorruptObjectError(f"{what}: says that it is entry {body.number}")
    return LogEntry(LogHead(number, hashing.sha256(data)), body)


class Keeper(Struct, frozen=True, kw_only=True):
    """Who writes the log: a name that the policy grants, and its key."""

    name: str
    signer: Signer


def append(
    backend: Backend,
    trust: Trust,
    keeper: Keeper,
    clock: Clock,
    make_event: Callable[[int], Event],
    head: LogHead = EMPTY,
) -> LogEntry:
    """Append one entry after whatever others have appended meanwhile.

    Args:
        backend: The vault's.
        trust: Whom to believe.
        keeper: Who signs.
        clock: For the entry's time.
        make_event: Makes the event, given the entry's number.
        head: An entry known; those after it are read.

    Raises:
        BrokenChainError: The log is not what it was.
        AccessDeniedError: The backend does not let this machine write the log.
    """
    while True:
        for entry in read_after(backend, trust, head):
            head = entry.head
        with contextlib.suppress(ObjectExistsError):
            return append_next(backend, trust, keeper, clock, make_event(head.number + 1), head)


def append_next(
    backend: Backend, trust: Trust, keeper: Keeper, clock: Clock, event: Event, head: LogHead
) -> LogEntry:
    """Append one entry directly after a known one: nothing was said in between.

    Args:
        backend: The vault's.
        trust: Whom to believe.
        keeper: Who signs.
        clock: For the entry's time.
        event: What the entry says.
        head: The entry that it is to follow.

    Raises:
        ObjectExistsError: Somebody else has appended meanwhile; nothing was written.
        AccessDeniedError: The backend does not let this machine write the log.
    """
    number = head.number + 1
    body = LogBody(trust.vault_id, number, head.sha256, keeper.name, clock.now_ns(), event)
    data = sign_object(LOG, body, keeper.signer)
    sha256 = hashing.sha256(data)
    try:
        backend.put(layout.log_entry(number), data, sha256=sha256)
    except ObjectExistsError:
        # An answer may have been lost on the way: our own bytes are our own entry.
        if backend.get(layout.log_entry(number)) != data:
            raise
    return LogEntry(LogHead(number, sha256), body)
