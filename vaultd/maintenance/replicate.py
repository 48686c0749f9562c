"""Copying a vault to a further target, object by object, each proven before it is put.

Objects are copied as they are, so a replica is a vault: whoever has its location and a recovery key
restores from it. Nothing is ever deleted or replaced there. Plan, execute, report: the plan lists
both targets side by side, and a run that was interrupted is simply made again.

What is listed first is copied last: the packs that an outcome needs were there when it was listed,
so they are listed after it, and copied before it. A reader of the replica sees no snapshot whose
packs have not arrived, and no snapshot that has seen log entries that have not.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from functools import partial
from typing import Final, Self

from msgspec import Struct

from vaultd.backends.base import Backend, ObjectInfo
from vaultd.core.clock import Clock
from vaultd.core.errors import (
    AccessDeniedError,
    ConfigError,
    IntegrityError,
    NoSpaceError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    VaultNotFoundError,
)
from vaultd.core.events import Observer, PhaseStarted
from vaultd.crypto import hashing
from vaultd.pipeline.reporting import Progress
from vaultd.pipeline.workers import Crew, bulk_work
from vaultd.vault import layout
from vaultd.vault.genuine import is_object, verify_object
from vaultd.vault.trust import Trust, load_trust, read_vault

COPIED_IN_ORDER: Final = (
    layout.POLICIES,
    layout.BUNDLES,
    layout.VAULT,
    layout.PACKS,
    layout.PARTS,
    layout.SESSIONS,
    layout.LOG,
    layout.OUTCOMES,
)
"""What is copied one after the other; listed the other way round."""

_AT_ONCE = frozenset({layout.PACKS, layout.PARTS, layout.SESSIONS})
"""Of these, several at once: no reader looks at them before an outcome names them."""

_DENSE = frozenset({layout.POLICIES, layout.LOG})
"""Numbered without gaps: what follows one that cannot be copied would be a gap."""

_NO_ANSWER = (AccessDeniedError, NoSpaceError, StorageUnavailableError)

_MAX_BYTES = 64 << 20
_ROWS = 1000


class ReplicaContext(Struct, frozen=True, kw_only=True):
    """What copying needs.

    Attributes:
        source: Where the vault lies.
        replica: Where its copy lies, or shall lie.
        name: What people call the replica.
        trust: Whom to believe.
        clock: For progress.
        observer: Takes progress.
    """

    source: Backend
    replica: Backend
    name: str
    trust: Trust
    clock: Clock
    observer: Observer


class Wrong(Struct, frozen=True, kw_only=True):
    """One object that was not copied, or that is not right on the replica.

    Attributes:
        name: The object.
        reason: Lower-case clause without final stop.
        at_replica: The replica's is wrong; else the source's.
    """

    name: str
    reason: str
    at_replica: bool


class ReplicaReport(Struct, frozen=True, kw_only=True):
    """What was copied, and what was not.

    Attributes:
        copied: Objects put.
        data: Bytes of these.
        there: Objects that the replica had already, by name and size.
        proven: Of these, how many were read and proven.
        wrong: Damaged objects, on either side.
        gone: Objects that vanished from the source between listing and copying, as prune has it.
        only_there: Objects that the source no longer has; they stay.
    """

    copied: int
    data: int
    there: int
    proven: int
    wrong: tuple[Wrong, ...]
    gone: tuple[str, ...]
    only_there: int


class ReplicaPlan:
    """What is to be copied, in a temporary database: vaults have more objects than fit in memory.

    Attributes:
        objects: To be copied.
        data: Bytes of these.
        there: On both sides with one size.
        differing: On both sides with different sizes.
        only_there: Only on the replica.
        trust: Whom to believe, as the vault had it when everything was listed.

    Args:
        db: A table ``seen`` of rank, name, size and state.
        trust: See above.
    """

    def __init__(self, db: sqlite3.Connection, trust: Trust) -> None:
        self._db = db
        self.trust = trust
        self.objects = self.data = self.there = self.differing = self.only_there = 0

    def __enter__(self) -> Self:
        """Return the plan itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forget it."""
        self._db.close()

    def count(self) -> None:
        """Add up, once everything is noted."""
        found = {
            state: (int(number), int(size))
            for state, number, size in self._db.execute(
                "SELECT state, count(*), coalesce(sum(size), 0) FROM seen GROUP BY state"
            )
        }
        self.objects, self.data = found.get(_MISSING, (0, 0))
        self.there, _ = found.get(_THERE, (0, 0))
        self.differing, _ = found.get(_DIFFERS, (0, 0))

    def of_kind(self, kind: str, *, there: bool) -> Iterator[tuple[str, int, int]]:
        """Yield name, bytes and state of the objects of a kind, in order of their names.

        Args:
            kind: One of `COPIED_IN_ORDER`.
            there: Also those that seem to be right on the replica.
        """
        rows = self._db.cursor().execute(
            "SELECT name, size, state FROM seen WHERE rank=? AND (state<>? OR ?) ORDER BY name",
            (COPIED_IN_ORDER.index(kind), _THERE, there),
        )
        while found := rows.fetchmany(_ROWS):
            yield from found


_MISSING, _THERE, _DIFFERS = range(3)


def plan_replica(context: ReplicaContext, *, begin: bool = False) -> ReplicaPlan:
    """Find out what a replica lacks. Nothing is changed.

    Args:
        context: What copying needs.
        begin: The replica may be empty: this is the first time.

    Raises:
        ConfigError: The replica holds another vault, or none though it should.
        IntegrityError: Its ``vault.json`` is damaged.
        StorageError: One of the two cannot be listed.
    """
    _expect_the_same_vault(context, begin=begin)
    context.observer(PhaseStarted(name="compare"))
    # A nameless SQLite database lives in a temporary file and vanishes with the connection.
    db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    db.execute(
        "CREATE TABLE seen (rank INTEGER, name TEXT, size INTEGER, state INTEGER,"
        " PRIMARY KEY (rank, name)) WITHOUT ROWID"
    )
    plan = ReplicaPlan(db, context.trust)
    for kind in reversed(COPIED_IN_ORDER):
        rank = COPIED_IN_ORDER.index(kind)
        db.execute("BEGIN")
        for info, other in side_by_side(context.source.list(kind), context.replica.list(kind)):
            if info is None:
                plan.only_there += other is not None and is_object(other.name)
            elif is_object(info.name):
                state = _MISSING if other is None else _DIFFERS
                state = _THERE if other is not None and other.size == info.size else state
                row = (rank, info.name, info.size, state)
                db.execute("INSERT OR IGNORE INTO seen VALUES (?,?,?,?)", row)
        db.execute("COMMIT")
    # A host may have been let in meanwhile, and what it signed was listed.
    plan.trust = load_trust(context.source, pin=context.trust.pin)
    plan.count()
    return plan


def _expect_the_same_vault(context: ReplicaContext, *, begin: bool) -> None:
    try:
        found = read_vault(context.replica).vault_id
    except VaultNotFoundError as error:
        if begin:
            return
        raise ConfigError(
            f"replica {context.name} at {context.replica.location}: holds no vault",
            hint="Mount its disk if it is on one; the first time, give --init.",
        ) from error
    if found != context.trust.vault_id:
        raise ConfigError(
            f"replica {context.name} at {context.replica.location}: holds vault "
            f"{found.hex()[:8]}, expected {context.trust.vault_id.hex()[:8]}; nothing was copied",
            hint="Give the replica a place of its own: another folder, bucket or prefix.",
        )


def side_by_side(
    left: Iterator[ObjectInfo], right: Iterator[ObjectInfo]
) -> Iterator[tuple[ObjectInfo | None, ObjectInfo | None]]:
    """Yield two ascending listings side by side: objects of one name together."""
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.name < other.name):
            yield one, None
            one = next(left, None)
        elif one is None or other.name < one.name:
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)


def execute_replica(
    context: ReplicaContext, plan: ReplicaPlan, *, prove: bool = False, workers: int = 4
) -> ReplicaReport:
    """Copy what a replica lacks.

    Args:
        context: What copying needs.
        plan: As `plan_replica` made it.
        prove: Also read what the replica has already, and compare it with its name or signature.
        workers: Objects at once; each is held in memory, at most 64 MiB.

    Raises:
        NoSpaceError: The replica is full.
        StorageError: One of the two does not answer; what was copied stays, and a next run goes on.
    """
    return _Copying(context, plan, prove=prove).run(workers)


class _Copying:
    """One run."""

    def __init__(self, context: ReplicaContext, plan: ReplicaPlan, *, prove: bool) -> None:
        self._context = context
        self._plan = plan
        self._prove = prove
        self._progress = Progress(context.clock, context.observer)
        self._lock = threading.Lock()
        self._copied = self._data = self._proven = 0
        self._wrong: list[Wrong] = []
        self._gone: list[str] = []

    def run(self, workers: int) -> ReplicaReport:
        plan, context = self._plan, self._context
        context.observer(PhaseStarted(name="replicate", files=plan.objects, data=plan.data))
        with bulk_work(), Crew("replicate", workers, 2, lambda: None) as crew:
            for kind in COPIED_IN_ORDER:
                for name, size, state in plan.of_kind(kind, there=self._prove):
                    crew.submit(partial(self._handle, name, size, state))
                    if kind not in _AT_ONCE:
                        crew.drain()
                    self._progress.report(self._copied, self._data, self._data, name.encode())
                    if kind in _DENSE and self._is_wrong(name):
                        break
                # What is copied next relies on this.
                crew.drain()
        self._progress.finish(self._copied, self._data, self._data)
        return ReplicaReport(
            copied=self._copied,
            data=self._data,
            there=plan.there,
            proven=self._proven,
            wrong=tuple(sorted(self._wrong, key=lambda one: (one.name, one.at_replica))),
            gone=tuple(sorted(self._gone)),
            only_there=plan.only_there,
        )

    def _handle(self, name: str, size: int, state: int, _: None) -> None:
        if size > _MAX_BYTES:
            self._note(name, f"has {size} bytes, more than any object has", at_replica=False)
        elif state == _MISSING:
            self._copy(name)
        elif self._read(self._context.replica, name, at_replica=True) is not None:
            with self._lock:
                self._proven += 1
            if state == _DIFFERS:
                # Then the sizes differ because the source's is damaged.
                self._read(self._context.source, name, at_replica=False)

    def _copy(self, name: str) -> None:
        context = self._context
        data = self._read(context.source, name, at_replica=False)
        if data is None:
            return
        try:
            context.replica.put(name, data, sha256=hashing.sha256(data))
        except ObjectExistsError:
            # Somebody else put it meanwhile, or the listing was old: what lies there must be right.
            if self._read(context.replica, name, at_replica=True) is None:
                return
        with self._lock:
            self._copied += 1
            self._data += len(data)

    def _read(self, backend: Backend, name: str, *, at_replica: bool) -> bytes | None:
        """Return a whole object when it is genuine; else note what is wrong with it."""
        try:
            data = backend.get(name)
            verify_object(name, data, self._plan.trust)
        except ObjectNotFoundError:
            with self._lock:
                self._gone.append(name)
        except IntegrityError as error:
            self._note(name, error.message, at_replica=at_replica)
        except _NO_ANSWER:
            raise
        except StorageError as error:
            # A bad sector, for example; unless it is the whole disk.
            next(backend.list(layout.VAULT), None)
            self._note(name, error.message, at_replica=at_replica)
        else:
            return data
        return None

    def _note(self, name: str, reason: str, *, at_replica: bool) -> None:
        with self._lock:
            self._wrong.append(Wrong(name=name, reason=reason, at_replica=at_replica))

    def _is_wrong(self, name: str) -> bool:
        return any(one.name == name and not one.at_replica for one in self._wrong)
