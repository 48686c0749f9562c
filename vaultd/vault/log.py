"""The keeper log: dense, signed, chained entries that say what is still live (FORMAT.md 10).

The log, not the presence of objects, decides: a snapshot that was forgotten here is gone even when
an object with its name turns up again.
"""

from __future__ import annotations

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
from vaultd.format.session import ForgetBody, LogBody, TagBody
from vaultd.format.signed import LOG
from vaultd.vault import layout
from vaultd.vault.trust import Trust, open_object, sign_object


class LogHead(Struct, frozen=True):
    """The newest entry known: its number, and the SHA-256 of its object (empty for no entry)."""

    number: int
    sha256: bytes


EMPTY = LogHead(0, b"")


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
    make_event: Callable[[int], ForgetBody | TagBody],
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
        number = head.number + 1
        body = LogBody(
            trust.vault_id, number, head.sha256, keeper.name, clock.now_ns(), make_event(number)
        )
        data = sign_object(LOG, body, keeper.signer)
        try:
            backend.put(layout.log_entry(number), data)
        except ObjectExistsError:
            continue
        return LogEntry(LogHead(number, hashing.sha256(data)), body)
