"""Reading objects to prove them, several at once, with every result in the ledger at once."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.compression import Decompressor
from vaultd.core.clock import Clock
from vaultd.core.errors import IntegrityError, ObjectNotFoundError, StorageError
from vaultd.core.events import Observer, PhaseStarted
from vaultd.maintenance.ledger import Ledger, Reading, Result, Spent
from vaultd.pipeline.reporting import Progress
from vaultd.pipeline.workers import Crew, bulk_work
from vaultd.vault import layout
from vaultd.vault.keyring import ReadKeys
from vaultd.vault.proving import PackProver
from vaultd.vault.trust import Trust


class ReadingContext(Struct, frozen=True, kw_only=True):
    """What reading needs.

    Attributes:
        backend: Where the vault lies.
        trust: Whom to believe.
        keys: What a recovery key opens; ``None``: hashes only.
        ledger: Takes the results.
        clock: For the time of readings.
        observer: Takes progress.
        workers: Threads that read.
    """

    backend: Backend
    trust: Trust
    keys: ReadKeys | None
    ledger: Ledger
    clock: Clock
    observer: Observer
    workers: int


class Readings(Struct, kw_only=True):
    """What came of one run.

    Attributes:
        objects: How many objects were read.
        size: Bytes of those that are good.
        requests: Requests made.
        good: Names of good ones among those that were asked about.
        bad: What is not what it should be, each with the reason.
    """

    objects: int = 0
    size: int = 0
    requests: int = 0
    good: set[str]
    bad: dict[str, Reading]


class ObjectReader:
    """Proves objects and writes down what came of it.

    What looks damaged is read a second time before it is called so: bytes are also damaged on the
    way.

    Args:
        context: What reading needs.
        watched: Names whose good readings are to be told, not only counted.
    """

    def __init__(self, context: ReadingContext, watched: Iterable[str] = ()) -> None:
        self._context = context
        self._prover = PackProver(context.backend, context.trust, context.keys, self._requested)
        self._watched = frozenset(watched)
        self._lock = threading.Lock()
        self._requests = 0
        self.done = Readings(good=set(), bad={})

    def _requested(self) -> None:
        with self._lock:
            self._requests += 1

    def read(self, wanted: Iterable[tuple[str, int]], *, count: int, size: int) -> None:
        """Read objects, given name and bytes of each.

        Args:
            wanted: The objects.
            count: How many they are, for progress.
            size: Their bytes.

        Raises:
            StorageError: The backend does not answer; what was read until then is in the ledger.
        """
        context = self._context
        context.observer(PhaseStarted(name="read data", files=count, data=size))
        progress = Progress(context.clock, context.observer)
        with bulk_work(), Crew("read", context.workers, 2, Decompressor) as crew:
            for name, length in wanted:
                crew.submit(partial(self._read, name, length))
                progress.report(self.done.objects, self.done.size, self.done.size, name.encode())
            crew.drain()
        progress.finish(self.done.objects, self.done.size, self.done.size)

    def _read(self, name: str, size: int, decompressor: Decompressor) -> None:
        result, reason = self._result(name, size, decompressor)
        if result is Result.DAMAGED:
            result, reason = self._result(name, size, decompressor)
        opened = self._context.keys is not None and name.startswith(layout.PACKS)
        reading = Reading(
            name=name,
            size=size,
            read_ns=self._context.clock.now_ns(),
            result=result,
            opened=opened and result is Result.GOOD,
            reason=reason,
        )
        with self._lock:
            requests = self._requests - self.done.requests
            self._context.ledger.note([reading], Spent(size=size, requests=requests))
            self.done.requests += requests
            self.done.objects += 1
            if result is not Result.GOOD:
                self.done.bad[name] = reading
                return
            self.done.size += size
            if name in self._watched:
                self.done.good.add(name)

    def _result(self, name: str, size: int, decompressor: Decompressor) -> tuple[Result, str]:
        try:
            self._prover.prove(name, size, decompressor)
        except ObjectNotFoundError as error:
            return Result.LOST, error.message
        except IntegrityError as error:
            return Result.DAMAGED, error.message
        except StorageError as error:
            if not concerns_object(error):
                raise
            self._context.backend.head(layout.VAULT)  # or the whole disk is gone
            return Result.DAMAGED, error.message
        return Result.GOOD, ""


def concerns_object(error: StorageError) -> bool:
    """Tell whether an error says that one object cannot be read, as on a bad sector of a disk.

    That the backend does not answer or refuses to is no word on the object.
    """
    return type(error) is StorageError
