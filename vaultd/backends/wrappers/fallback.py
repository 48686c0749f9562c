"""Reading one vault from several targets: what one has lost or damaged comes from the next."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, MutableSequence, Sequence

from vaultd.backends.base import Backend, Body, ObjectInfo
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    StorageUnavailableError,
    VaultdError,
    VaultNotFoundError,
)
from vaultd.core.events import Note, Observer

IsGenuine = Callable[[str, bytes], bool]
"""Tells whether these, all its bytes, may be the object of that name."""

_DOWN = (StorageUnavailableError, VaultNotFoundError)
"""Errors after which a target is asked last: it has been waited for once."""


class Second(Forwarding):
    """A further target, which says once that something came from it.

    Args:
        inner: The backend that does the work.
        name: What people call it.
        observer: Told.
    """

    def __init__(self, inner: Backend, name: str, observer: Observer) -> None:
        super().__init__(inner)
        self.name = name
        self._observer = observer
        self._lock = threading.Lock()
        self._is_told = False

    @property
    def inner(self) -> Backend:
        """The backend itself, which says nothing."""
        return self._inner

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""
        found = super().get(name, offset=offset, length=length)
        self.tell(name)
        return found

    def tell(self, name: str) -> None:
        """Say that an object comes from here; the first time only."""
        with self._lock:
            if self._is_told:
                return
            self._is_told = True
        text = (
            f"what the first target has lost or damaged is read from replica {self.name} "
            f"({self.location}), {name} to begin with"
        )
        self._observer(Note(text=text, warning=True))


class Standing:
    """What one run has found out about its targets; shared by all `Fallback` of the run.

    Attributes:
        down: Ids of those that did not answer.
        told: Ids of those of which a failure was told.
        lock: Held while either is changed.
    """

    def __init__(self) -> None:
        self.down: set[int] = set()
        self.told: set[int] = set()
        self.lock = threading.Lock()


class Fallback(Forwarding):
    """Reads from the first of several targets that has an object and gives it whole.

    An object that is read whole is believed only when it is genuine; of one that is read in parts
    the reader must judge, and may ask the others itself. When no target has it right, what the
    first one gave is returned, so that whoever verifies it says what is wrong with it; but rubbish
    of the others under a name that the first one does not have is as good as nothing. Nothing is
    written through this.

    Args:
        first: The target that is asked first.
        others: Those after it.
        is_genuine: Judges; ``None``: whatever is there is taken.
        observer: Told of targets that fail.
        standing: What is known of the targets already.
    """

    def __init__(
        self,
        first: Backend,
        others: Sequence[Second],
        is_genuine: IsGenuine | None,
        observer: Observer,
        standing: Standing | None = None,
    ) -> None:
        super().__init__(first)
        self.others: tuple[Second, ...] = tuple(others)
        self._is_genuine = is_genuine
        self._observer = observer
        self._standing = Standing() if standing is None else standing

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""
        wrong: bytes | None = None
        is_invented = False
        failures: list[VaultdError] = []
        for target in self._in_order():
            # Of the others only what turns out right is worth a word.
            asked = target.inner if isinstance(target, Second) else target
            try:
                found = asked.get(name, offset=offset, length=length)
            except VaultdError as error:
                failures.append(self._noted(target, error))
                continue
            if self._is_wrong(name, found, offset, length):
                if wrong is None:
                    wrong, is_invented = found, target is not self._inner
                continue
            if isinstance(target, Second):
                target.tell(name)
            return found
        failure = _most_telling(failures) if failures else None
        if wrong is not None and not (is_invented and isinstance(failure, ObjectNotFoundError)):
            return wrong
        raise failure or ObjectNotFoundError(f"object {name}: not found")

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object: see `Backend.head`."""
        failures: list[VaultdError] = []
        for target in self._in_order():
            try:
                return target.head(name)
            except VaultdError as error:
                failures.append(self._noted(target, error))
        raise _most_telling(failures)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield what any target has, in order: see `Backend.list`; the first one's word counts."""
        failures: list[VaultdError] = []
        targets = (self._inner, *self.others)
        listings = [
            ((info.name, rank, info) for info in self._listing(target, prefix, failures))
            for rank, target in enumerate(targets)
        ]
        last = ""
        for name, _, info in heapq.merge(*listings, key=lambda item: item[:2]):
            if name > last:
                yield info
                last = name
        if len(failures) == len(targets):
            raise failures[0]

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:  # noqa: ARG002 - refused whatever it is
        """Refuse: nobody could say which target is meant.

        Raises:
            AccessDeniedError: Always.
        """
        raise AccessDeniedError(f"object {name}: several targets are only read together")

    def delete(self, name: str) -> None:
        """Refuse: nobody could say which target is meant.

        Raises:
            AccessDeniedError: Always.
        """
        raise AccessDeniedError(f"object {name}: several targets are only read together")

    def _in_order(self) -> tuple[Backend, ...]:
        """Return the targets as they should be asked now: those that were down last."""
        targets, down = (self._inner, *self.others), self._standing.down
        return tuple(sorted(targets, key=lambda target: id(target) in down))

    def _is_wrong(self, name: str, found: bytes, offset: int, length: int | None) -> bool:
        is_whole = offset == 0 and (length is None or len(found) < length)
        return is_whole and self._is_genuine is not None and not self._is_genuine(name, found)

    def _listing(
        self, target: Backend, prefix: str, failures: MutableSequence[VaultdError]
    ) -> Iterator[ObjectInfo]:
        try:
            yield from target.list(prefix)
        except VaultdError as error:
            failures.append(self._noted(target, error))

    def _noted(self, target: Backend, error: VaultdError) -> VaultdError:
        """Say once that a target fails; that it lacks an object is said when another has it."""
        if isinstance(error, ObjectNotFoundError):
            return error
        standing = self._standing
        with standing.lock:
            is_new = id(target) not in standing.told
            standing.told.add(id(target))
            if isinstance(error, _DOWN):
                standing.down.add(id(target))
        if is_new:
            text = f"{target.location}: {error.message}; reading from the other targets"
            self._observer(Note(text=text, warning=True))
        return error


def _most_telling(failures: Sequence[VaultdError]) -> VaultdError:
    """Return that there is no such object when a target said so; else what the first one said."""
    absent = [error for error in failures if isinstance(error, ObjectNotFoundError)]
    return (absent or failures)[0]
