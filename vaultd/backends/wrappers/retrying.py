"""Trying again: the one place where that is done, and where a lost answer is made up for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec import Struct

from vaultd.backends.base import Backend, Body, ObjectInfo
from vaultd.backends.bodies import blocks_of, size_of
from vaultd.backends.versions import Versions
from vaultd.backends.wrappers.calling import CallingVersions
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.clock import Clock
from vaultd.core.errors import (
    AccessDeniedError,
    ObjectExistsError,
    ObjectNotFoundError,
    VaultdError,
)
from vaultd.core.events import Note, Observer, ignore
from vaultd.core.units import MIB, format_duration

Result = TypeVar("Result")

_COMPARED_BYTES = MIB


class RetryOptions(Struct, frozen=True, kw_only=True):
    """How long to go on.

    The wait before try n + 1 is drawn evenly from 0 to ``first_s * 2**(n - 1)``, at most
    ``longest_s`` ("full jitter": many that failed together do not come back together).

    Attributes:
        first_s: Longest wait after the first failure.
        longest_s: Longest wait at all.
        deadline_s: When to give up, counted from the first failure of an operation; of a listing,
            from the first since it last brought an object.

    Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    first_s: float = 0.2
    longest_s: float = 30
    deadline_s: float = 900


DEFAULTS = RetryOptions()


class Retrying(Forwarding):
    """Tries again after every error that says it may help.

    A put that got no answer and then finds its name taken looks at what lies there: its own bytes
    are a success, others the error that they always were.

    Args:
        inner: The backend that does the work.
        clock: For waiting.
        randomness: Returns that many random bytes.
        options: How long to go on.
        observer: Told of the first tries of an operation, of ever fewer later ones, and of giving
            up.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        clock: Clock,
        randomness: Callable[[int], bytes],
        options: RetryOptions = DEFAULTS,
        observer: Observer = ignore,
    ) -> None:
        super().__init__(inner)
        self._clock = clock
        self._randomness = randomness
        self._options = options
        self._observer = observer

    @property
    def versions(self) -> Versions | None:
        """Older versions, and locks: see `Backend.versions`."""
        inner = self._inner.versions
        return None if inner is None else CallingVersions(inner, self._repeat)

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        """Create an object: see `Backend.put`."""
        patience = self._patience()
        while True:
            try:
                self._inner.put(name, body, sha256=sha256)
            except ObjectExistsError:
                if patience.tries and self._holds(name, body, sha256):
                    return
                raise
            except VaultdError as exc:
                patience.wait_after(exc)
            else:
                return

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""
        return self._repeat(lambda: self._inner.get(name, offset=offset, length=length))

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object: see `Backend.head`."""
        return self._repeat(lambda: self._inner.head(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield objects in order: see `Backend.list`; goes on where it was broken off."""
        patience = self._patience()
        last = resumed_after = ""
        while True:
            try:
                for info in self._inner.list(prefix):
                    if info.name > resumed_after:
                        yield info
                        last = info.name
                        if patience.tries:
                            patience = self._patience()
            except VaultdError as exc:
                patience.wait_after(exc)
                resumed_after = last
            else:
                return

    def delete(self, name: str) -> None:
        """Remove an object: see `Backend.delete`."""
        self._repeat(lambda: self._inner.delete(name))

    def _repeat(self, call: Callable[[], Result]) -> Result:
        patience = self._patience()
        while True:
            try:
                return call()
            except VaultdError as exc:
                patience.wait_after(exc)

    def _patience(self) -> _Patience:
        return _Patience(self._clock, self._randomness, self._options, self._observer)

    def _holds(self, name: str, body: Body, sha256: bytes | None) -> bool:
        """Tell whether an object has the bytes that an earlier try may have put."""
        try:
            if self.head(name).size != size_of(name, body):
                return False
            offset = 0
            for block in blocks_of(body, _COMPARED_BYTES):
                if self.get(name, offset=offset, length=len(block)) != block:
                    return False
                offset += len(block)
        except AccessDeniedError:
            # Hosts may not read their own packs. Those are named by the hash of their bytes, which
            # the server checked; what else would lie under that name?
            return sha256 is not None and name.endswith(f"/{sha256.hex()}")
        except ObjectNotFoundError:  # removed meanwhile
            return False
        return True


class _Patience:
    """One operation's waiting.

    Attributes:
        tries: How many tries have failed.
    """

    def __init__(
        self,
        clock: Clock,
        randomness: Callable[[int], bytes],
        options: RetryOptions,
        observer: Observer,
    ) -> None:
        self._clock = clock
        self._randomness = randomness
        self._options = options
        self._observer = observer
        self._started_s = 0.0
        self.tries = 0

    def wait_after(self, error: VaultdError) -> None:
        """Wait before the next try, or raise the error if there should be none."""
        if not error.retryable:
            raise error
        now_s = self._clock.monotonic_s()
        if not self.tries:
            self._started_s = now_s
        self.tries += 1
        # The exponent is bounded, because a float is.
        longest_s = self._options.first_s * 2 ** min(self.tries - 1, 30)
        share = int.from_bytes(self._randomness(4), "big") / 2**32
        delay_s = min(longest_s, self._options.longest_s) * share
        waited_s = now_s - self._started_s
        if waited_s + delay_s > self._options.deadline_s:
            text = f"{error.message}; given up after {self.tries} tries"
            self._observer(Note(text=f"{text} in {format_duration(waited_s)}", warning=True))
            raise error
        if self.tries & (self.tries - 1) == 0:  # the 1st, 2nd, 4th, 8th …
            text = f"{error.message}; trying again, {self.tries} so far"
            self._observer(Note(text=text, warning=self.tries > 1))
        self._clock.sleep(delay_s)
