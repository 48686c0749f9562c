"""Object locks: are all snapshots locked as long as was promised, and extending those that are not.

A pack that an old snapshot put is locked from then on; a new one of the same chain needs it for
longer. Only what live snapshots need is extended, each object at most once in a generation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.backends.versions import Lock, LockRule, Version, Versions
from vaultd.core.clock import rfc3339
from vaultd.core.errors import (
    AccessDeniedError,
    ConfigError,
    IntegrityError,
    ObjectNotFoundError,
)
from vaultd.core.events import Advanced, Observer, PhaseStarted
from vaultd.core.snapshot import Snapshot
from vaultd.maintenance.lock_ledger import Due, Ledger
from vaultd.pipeline.workers import Crew
from vaultd.vault import layout, roots
from vaultd.vault.bundles import replaced_copies
from vaultd.vault.catalog import KeyFinder
from vaultd.vault.committed import read_root
from vaultd.vault.trust import Trust

_SLACK_NS = 86_400 * 10**9
"""How much later than it was put a root may claim to have been committed."""

_EVERYBODY = (layout.VAULT, layout.POLICIES, layout.BUNDLES, layout.LOG)
"""What every snapshot needs."""


class LockContext(Struct, frozen=True, kw_only=True):
    """What looking at locks needs.

    Attributes:
        backend: Where the vault lies.
        trust: Whom to believe.
        find_keys: Keys of domains, as far as they are at hand.
        snapshots: The live ones.
        folder: Where this machine remembers what it saw.
        observer: Takes progress.
        workers: Threads that ask.
    """

    backend: Backend
    trust: Trust
    find_keys: KeyFinder
    snapshots: Sequence[Snapshot]
    folder: Path
    observer: Observer
    workers: int = 8


class Violation(Struct, frozen=True, kw_only=True):
    """One object that is not locked as was promised.

    Attributes:
        name: The object.
        reason: Lower-case clause without final stop.
        snapshot: Short id of the snapshot that needs it for longest.
    """

    name: str
    reason: str
    snapshot: str


class LockReport(Struct, frozen=True, kw_only=True):
    """What was looked at, and what is not as was promised.

    Attributes:
        snapshots: Live snapshots.
        promised: Those of them whose promise is in force.
        objects: Objects that these need.
        violations: What is not locked as long as was promised; must be none.
        hidden: Short ids of snapshots whose keys were not at hand.
    """

    snapshots: int
    promised: int
    objects: int
    violations: tuple[Violation, ...]
    hidden: tuple[str, ...]


class Extension(Struct, frozen=True, kw_only=True):
    """One lock that is to be extended.

    Attributes:
        version: Of which version.
        until_ns: When it ends now; 0: it is not locked.
        lock: What it shall be.
    """

    version: Version
    until_ns: int
    lock: Lock


class ExtensionPlan(Struct, frozen=True, kw_only=True):
    """What is to be extended.

    Attributes:
        extensions: By name.
        objects: Objects that live snapshots need.
        violations: What cannot be extended, because it is gone or cannot be read.
        hidden: Short ids of snapshots whose keys were not at hand.
    """

    extensions: tuple[Extension, ...]
    objects: int
    violations: tuple[Violation, ...]
    hidden: tuple[str, ...]


def check_locks(context: LockContext) -> LockReport:
    """Ask for the lock of every object that a live snapshot with a promise needs.

    Raises:
        ConfigError: The storage keeps no versions, so it has no locks.
        StorageError: It does not answer.
    """
    versions = versions_of(context.backend)
    with closing(Ledger(context.folder / "locks.sqlite")) as ledger:
        needs = _gather(context, versions, ledger)
        violations = list(needs.unreadable)

        def look(due: Due, lock: Lock | None) -> None:
            reason = _reason(due, lock)
            if reason:
                violations.append(_violation(context, due, reason))

        _ask(context, versions, ledger, ledger.due(even_known=True), look)
        return LockReport(
            snapshots=len(context.snapshots),
            promised=needs.promised,
            objects=ledger.count(),
            violations=tuple(sorted(violations, key=lambda one: one.name)),
            hidden=needs.hidden,
        )


def plan_extension(context: LockContext) -> ExtensionPlan:
    """Find the locks that end before a snapshot's promise; nothing in the vault is changed.

    Raises:
        ConfigError: The storage keeps no versions, or nobody said how long to lock.
        StorageError: It does not answer.
    """
    versions = versions_of(context.backend)
    rule = versions.rule
    if rule is None:
        raise ConfigError(
            "how long should objects be locked?",
            hint="Set mode and retain in [vault.lock] of the configuration file.",
        )
    with closing(Ledger(context.folder / "locks.sqlite")) as ledger:
        needs = _gather(context, versions, ledger)
        violations = list(needs.unreadable)
        extensions: list[Extension] = []

        def look(due: Due, lock: Lock | None) -> None:
            if due.version is None:
                violations.append(_violation(context, due, _GONE))
            elif _reason(due, lock):
                extensions.append(_extension(due, due.version, lock, rule))

        _ask(context, versions, ledger, ledger.due(even_known=False), look)
        return ExtensionPlan(
            extensions=tuple(sorted(extensions, key=lambda one: one.version.name)),
            objects=ledger.count(),
            violations=tuple(violations),
            hidden=needs.hidden,
        )


def execute_extension(context: LockContext, plan: ExtensionPlan) -> tuple[Violation, ...]:
    """Extend locks as planned; run it again after an interruption, with a new plan.

    Returns:
        What was refused.

    Raises:
        StorageError: The storage does not answer.
    """
    versions = versions_of(context.backend)
    context.observer(PhaseStarted(name="extend locks", files=len(plan.extensions)))
    refused: list[Violation] = []
    done: list[tuple[Version, int]] = []

    def extend(extension: Extension, _: None) -> None:
        try:
            versions.extend(extension.version, extension.lock)
        except (AccessDeniedError, ObjectNotFoundError) as error:
            name = extension.version.name
            refused.append(Violation(name=name, reason=error.message, snapshot=""))
        else:
            done.append((extension.version, extension.lock.until_ns))
            context.observer(Advanced(files=len(done), data=0, stored=0))

    with closing(Ledger(context.folder / "locks.sqlite")) as ledger:
        try:
            _together(context, (partial(extend, one) for one in plan.extensions))
        finally:
            ledger.remember(done)
    return tuple(sorted(refused, key=lambda one: one.name))


def versions_of(backend: Backend) -> Versions:
    """Return the versions of a backend that keeps them.

    Raises:
        ConfigError: It does not.
    """
    versions = backend.versions
    if versions is None or not versions.are_kept():
        raise ConfigError(
            f"vault at {backend.location}: the storage keeps no versions, so it has no locks",
            hint="Make a bucket with object lock, and copy the vault into it.",
        )
    return versions


class _Needs(Struct, frozen=True, kw_only=True):
    promised: int
    unreadable: tuple[Violation, ...]
    hidden: tuple[str, ...]


def _gather(context: LockContext, versions: Versions, ledger: Ledger) -> _Needs:
    """Fill a ledger with what live snapshots need, and with what is there."""
    context.observer(PhaseStarted(name="list what is needed"))
    put_ns = _first_puts(versions)
    now_ns = versions.now_ns()
    promised, longest = 0, (0, 0)
    unreadable, hidden = [], []
    for position, snapshot in enumerate(context.snapshots):
        name = layout.outcome(snapshot.session)
        try:
            root = read_root(context.backend, context.trust, snapshot)
            promise_ns = _promise_ns(root.retain_until_ns, put_ns.get(name), versions.rule)
            if promise_ns <= now_ns:
                continue
            promised += 1
            longest = max(longest, (promise_ns, position))
            ledger.need([(name, None)], promise_ns, position)
            keys = context.find_keys(context.trust.host_domain(root.host), root.epoch)
            if keys is None:
                hidden.append(snapshot.short_id)
                continue
            refs = roots.open_refs(root, keys.index_key)
            ledger.need(roots.needed(root, refs), promise_ns, position)
        except (IntegrityError, ObjectNotFoundError) as error:
            found = Violation(name=name, reason=error.message, snapshot=snapshot.short_id)
            unreadable.append(found)
    if promised:
        ledger.need(((name, None) for name in _for_everybody(versions)), *longest)
        for prefix in (layout.PACKS, layout.PARTS, layout.OUTCOMES, *_EVERYBODY):
            ledger.found(versions.list(prefix))
    return _Needs(promised=promised, unreadable=tuple(unreadable), hidden=tuple(hidden))


def _first_puts(versions: Versions) -> dict[str, int]:
    found: dict[str, int] = {}
    for version in versions.list(layout.OUTCOMES):
        if not version.is_marker:
            found.setdefault(version.name, version.modified_ns)
    return found


def _promise_ns(claimed_ns: int, put_ns: int | None, rule: LockRule | None) -> int:
    """Return until when a snapshot is promised: what its root says, within reason.

    A host that was broken into may claim centuries, and locks cannot be taken back.
    """
    if rule is None or put_ns is None:
        return claimed_ns
    return min(claimed_ns, put_ns + int(rule.promise_s * 1e9) + _SLACK_NS)


def _for_everybody(versions: Versions) -> Iterator[str]:
    names = [
        version.name
        for prefix in _EVERYBODY
        for version in versions.list(prefix)
        if not version.is_marker
    ]
    replaced = replaced_copies(names)
    return (name for name in dict.fromkeys(names) if name not in replaced)


def _ask(
    context: LockContext,
    versions: Versions,
    ledger: Ledger,
    wanted: Iterable[Due],
    look: Callable[[Due, Lock | None], None],
) -> None:
    """Ask for locks, and remember them; calls ``look`` from one thread at a time."""
    context.observer(PhaseStarted(name="look at locks", files=ledger.count()))
    turn = threading.Lock()
    seen: list[tuple[Version, int]] = []

    def ask(due: Due, _: None) -> None:
        version = due.version
        try:
            lock = None if version is None else versions.lock(version)
        except ObjectNotFoundError:
            lock = None
        with turn:
            if version is not None:
                seen.append((version, 0 if lock is None else lock.until_ns))
                context.observer(Advanced(files=len(seen), data=0, stored=0))
            look(due, lock)

    _together(context, (partial(ask, due) for due in wanted))
    ledger.remember(seen)


def _together(context: LockContext, jobs: Iterable[Callable[[None], None]]) -> None:
    with Crew("locks", context.workers, context.workers, lambda: None) as crew:
        for job in jobs:
            crew.submit(job)
        crew.drain()


_GONE = "is gone: no version of it is left"


def _reason(due: Due, lock: Lock | None) -> str:
    """Return why an object is not locked as was promised; empty when it is."""
    if due.version is None:
        return _GONE
    if lock is None:
        return f"is not locked, promised until {rfc3339(due.promise_ns)}"
    if lock.until_ns < due.promise_ns:
        return f"is locked until {rfc3339(lock.until_ns)}, promised {rfc3339(due.promise_ns)}"
    return ""


def _violation(context: LockContext, due: Due, reason: str) -> Violation:
    snapshot = context.snapshots[due.snapshot].short_id
    return Violation(name=due.name, reason=reason, snapshot=snapshot)


def _extension(due: Due, version: Version, lock: Lock | None, rule: LockRule) -> Extension:
    # A generation more than is needed now: so it is not needed again before that has passed.
    until_ns = due.promise_ns + int(rule.generation_s * 1e9)
    mode = rule.mode if lock is None else lock.mode
    return Extension(
        version=version,
        until_ns=0 if lock is None else lock.until_ns,
        lock=Lock(mode=mode, until_ns=until_ns),
    )
