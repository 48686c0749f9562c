"""Putting good copies of objects in place of those that are lost or damaged.

A copy is good when its own bytes show it: the hash in its name, or a valid signature. Only then is
a damaged object deleted, because objects are written once, and the copy is put under its name. A
run that dies between the two leaves the object missing, and the next one puts it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import StrEnum
from functools import partial

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.clock import Clock
from vaultd.core.errors import (
    AccessDeniedError,
    IntegrityError,
    NoSpaceError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    VaultdError,
)
from vaultd.core.events import Observer, PhaseStarted
from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.maintenance.replicate import side_by_side
from vaultd.pipeline.reporting import Progress
from vaultd.pipeline.workers import Crew
from vaultd.vault import layout
from vaultd.vault.genuine import is_genuine, is_object, verify_object
from vaultd.vault.trust import Trust

_WORKERS = 2


class Outcome(StrEnum):
    """How it went with one object."""

    GOOD = "good"
    """It was good already; nothing was changed."""
    HEALED = "healed"
    """A good copy is in its place; in a dry run: there is one."""
    NO_COPY = "no good copy"
    """No other target has it right; what is there was left as it is."""
    REFUSED = "refused"
    """There is a good copy, and the target did not take it."""


class Healed(Struct, frozen=True, kw_only=True):
    """One object.

    Attributes:
        name: The object.
        outcome: How it went.
        was: What was wrong with it, a clause; empty when nothing was.
        source: Where the good copy came from; empty when there was none.
        reason: Why it could not be healed; empty when it could.
    """

    name: str
    outcome: Outcome
    was: str = ""
    source: str = ""
    reason: str = ""


class Copy(Struct, frozen=True, kw_only=True):
    """Another target of the same vault.

    Attributes:
        name: What people call it.
        backend: It.
    """

    name: str
    backend: Backend


class HealContext(Struct, frozen=True, kw_only=True):
    """What healing needs.

    Attributes:
        target: Where objects are lost or damaged; with the right to put and to delete.
        copies: Where good ones may lie, best first.
        trust: Whom to believe.
        clock: For progress.
        observer: Takes progress.
    """

    target: Backend
    copies: tuple[Copy, ...]
    trust: Trust
    clock: Clock
    observer: Observer


def heal(
    context: HealContext, names: Iterable[str], *, dry_run: bool = False
) -> tuple[Healed, ...]:
    """Look at objects, and put good copies in place of those that are lost or damaged.

    Args:
        context: What healing needs.
        names: The objects; one that is good is left alone.
        dry_run: Only find out what would be done.

    Returns:
        How it went with each, by name.

    Raises:
        NoSpaceError: The target is full.
        StorageUnavailableError: The target does not answer.
    """
    wanted = sorted(set(names))
    context.observer(PhaseStarted(name="repair", files=len(wanted)))
    progress = Progress(context.clock, context.observer)
    found: list[Healed] = []
    lock = threading.Lock()

    def handle(name: str, _: None) -> None:
        healed = _heal(context, name, dry_run=dry_run)
        with lock:
            found.append(healed)

    with Crew("repair", _WORKERS, 2, lambda: None) as crew:
        for done, name in enumerate(wanted):
            crew.submit(partial(handle, name))
            progress.report(done, 0, 0, name.encode())
        crew.drain()
    progress.finish(len(wanted), 0, 0)
    return tuple(sorted(found, key=lambda one: one.name))


def _heal(context: HealContext, name: str, *, dry_run: bool) -> Healed:
    was = wrong_with(context.target, name, context.trust)
    if not was:
        return Healed(name=name, outcome=Outcome.GOOD)
    data, source, reason = _good_copy(context, name)
    if data is None:
        return Healed(name=name, outcome=Outcome.NO_COPY, was=was, reason=reason)
    if not dry_run:
        reason = _put_in_place(context, name, data, is_there=was != _MISSING)
        if reason:
            return Healed(name=name, outcome=Outcome.REFUSED, was=was, source=source, reason=reason)
    return Healed(name=name, outcome=Outcome.HEALED, was=was, source=source)


_MISSING = "is missing"
_NO_ANSWER = (AccessDeniedError, NoSpaceError, StorageUnavailableError)


def wrong_with(backend: Backend, name: str, trust: Trust) -> str:
    """Return what is wrong with an object, a clause; empty when nothing is.

    Raises:
        AccessDeniedError: The right to read it is missing.
        StorageUnavailableError: The target does not answer.
    """
    try:
        verify_object(name, backend.get(name), trust)
    except ObjectNotFoundError:
        return _MISSING
    except IntegrityError as error:
        return error.message
    except _NO_ANSWER:
        raise
    except StorageError as error:
        # A bad sector, for example; unless it is the whole disk.
        next(backend.list(layout.VAULT), None)
        return error.message
    return ""


def _good_copy(context: HealContext, name: str) -> tuple[bytes | None, str, str]:
    """Return a good copy and where it is from, or why there is none."""
    reasons = []
    for copy in context.copies:
        try:
            data = copy.backend.get(name)
            verify_object(name, data, context.trust)
        except VaultdError as error:
            reasons.append(f"{copy.name}: {error.message}")
        else:
            return data, copy.name, ""
    return None, "", "; ".join(reasons) or "there is no other target"


def _put_in_place(context: HealContext, name: str, data: bytes, *, is_there: bool) -> str:
    """Put good bytes under a name, and read them back; return why that is not possible."""
    try:
        if is_there:
            context.target.delete(name)
        context.target.put(name, data, sha256=hashing.sha256(data))
    except (AccessDeniedError, ObjectExistsError) as error:
        return error.message
    after = wrong_with(context.target, name, context.trust)
    return f"after it was put: {after}" if after else ""


_SIGNED = (
    layout.POLICIES,
    layout.BUNDLES,
    layout.VAULT,
    layout.SESSIONS,
    layout.LOG,
    layout.OUTCOMES,
)


def survey(context: HealContext, is_forgotten: Callable[[SessionId], bool]) -> Iterator[str]:
    """Yield what is wrong among the signed objects: keys, sessions, log and outcomes, read in full.

    What another target has and this one lacks is lost, unless it was taken away on purpose:
    outcomes of forgotten snapshots, and bundles that stand beside another copy of their epoch.
    Packs and index parts are found by a check.

    Args:
        context: What healing needs.
        is_forgotten: Tells whether the log says that a snapshot is forgotten.

    Raises:
        StorageError: The target does not answer.
    """
    for prefix in _SIGNED:
        for info in context.target.list(prefix):
            if is_object(info.name) and wrong_with(context.target, info.name, context.trust):
                yield info.name
        # An intent that is gone is missed by nobody.
        if prefix != layout.SESSIONS:
            for copy in context.copies:
                yield from _lost(context, copy, prefix, is_forgotten)


def _lost(
    context: HealContext, copy: Copy, prefix: str, is_forgotten: Callable[[SessionId], bool]
) -> Iterator[str]:
    """Yield what one copy has and the target lacks; a rogue may list what never was."""
    epochs: set[str] = set()
    if prefix == layout.BUNDLES:
        epochs = {info.name.partition(".")[0] for info in context.target.list(prefix)}
    with suppress(VaultdError):  # one that does not answer helps nobody, and harms nobody
        for info, other in side_by_side(context.target.list(prefix), copy.backend.list(prefix)):
            if info is not None or other is None or not is_object(other.name):
                continue
            name = other.name
            if name.partition(".")[0] in epochs:
                continue
            if prefix == layout.OUTCOMES and is_forgotten(layout.session_of(name)):
                continue
            if is_genuine(name, copy.backend.get(name), context.trust):
                yield name
