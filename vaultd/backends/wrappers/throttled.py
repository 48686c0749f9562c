"""Restraint towards one server: how many requests at once, how fast, and none while it is down."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from vaultd.backends.base import Backend, Body, ObjectInfo
from vaultd.backends.bodies import size_of
from vaultd.backends.versions import Versions
from vaultd.backends.wrappers.calling import CallingVersions
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.clock import Clock
from vaultd.core.errors import StorageUnavailableError, VaultdError

_SUCCESSES_FOR_ONE_MORE = 100
_FAILURES_TO_OPEN = 20
_FAILURE_WINDOW_S = 60
_PROBE_EVERY_S = 30
_LISTED_AT_ONCE = 1000

Result = TypeVar("Result")


class Gate:
    """Lets so many requests through at once as the server bears.

    "Slow down" halves the number, once for all requests that were on their way by then; every 100
    successes add one again. (AIMD, as TCP does it.)

    Args:
        limit: The most at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._allowed = limit
        self._active = 0
        self._successes = 0
        self._halvings = 0

    @property
    def allowed(self) -> int:
        """How many may pass at once now."""
        return self._allowed

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait for a turn, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: self._active < self._allowed)
            self._active += 1
            halvings = self._halvings
        try:
            yield
        except StorageUnavailableError as exc:
            if exc.throttled:
                self._halve(halvings)
            raise
        else:
            self._count_success()
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify()

    def _halve(self, halvings: int) -> None:
        with self._changed:
            if halvings == self._halvings:  # else that answer is to a request of before
                self._allowed = max(1, self._allowed // 2)
                self._halvings += 1
                self._successes = 0

    def _count_success(self) -> None:
        with self._changed:
            self._successes += 1
            if self._successes >= _SUCCESSES_FOR_ONE_MORE:
                self._successes = 0
                self._allowed = min(self._limit, self._allowed + 1)


class Breaker:
    """Stops asking a server that is down, but for one request every 30 s.

    It opens after 20 failures within 60 s without a success between them.

    Args:
        clock: For the seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: deque[float] = deque(maxlen=_FAILURES_TO_OPEN)
        self._probe_at_s: float | None = None

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Note how a request ends.

        Raises:
            StorageUnavailableError: It is better not made now.
        """
        self._check()
        try:
            yield
        except VaultdError as exc:
            if isinstance(exc, StorageUnavailableError) and not exc.throttled:
                self._count_failure()
            else:  # that was an answer: it is up
                self._close()
            raise
        self._close()

    def _check(self) -> None:
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._probe_at_s is None:
                return
            if now_s < self._probe_at_s:
                raise StorageUnavailableError(
                    "the server does not answer, and is asked again"
                    f" in {self._probe_at_s - now_s:.0f} s"
                )
            self._probe_at_s = now_s + _PROBE_EVERY_S  # this request is the probe

    def _count_failure(self) -> None:
        with self._lock:
            now_s = self._clock.monotonic_s()
            self._failures.append(now_s)
            full = len(self._failures) == _FAILURES_TO_OPEN
            if full and now_s - self._failures[0] <= _FAILURE_WINDOW_S:
                self._probe_at_s = now_s + _PROBE_EVERY_S

    def _close(self) -> None:
        with self._lock:
            self._failures.clear()
            self._probe_at_s = None


class Pace:
    """Spreads bytes over time.

    Args:
        bytes_s: Bytes per second; 0 is no limit.
        clock: For waiting.
    """

    def __init__(self, bytes_s: float, clock: Clock) -> None:
        self._bytes_s = bytes_s
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at_s = 0.0

    def take(self, count: int) -> None:
        """Wait until the bytes taken before are due, then take ``count`` more."""
        if not self._bytes_s:
            return
        with self._lock:
            now_s = self._clock.monotonic_s()
            start_s = max(now_s, self._free_at_s)
            self._free_at_s = start_s + count / self._bytes_s
        if start_s > now_s:
            self._clock.sleep(start_s - now_s)


class Endpoint:
    """What all backends on one server share.

    Args:
        clock: For waiting.
        limit: The most requests at once.
        upload_bytes_s: Bytes per second to the server; 0 is no limit.
        download_bytes_s: Bytes per second from the server; 0 is no limit.

    Attributes:
        gate: Bounds the requests at once.
        breaker: Spares a server that is down.
        upload: Bounds the bytes to the server.
        download: Bounds the bytes from it.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        limit: int = 16,
        upload_bytes_s: float = 0,
        download_bytes_s: float = 0,
    ) -> None:
        self.gate = Gate(limit)
        self.breaker = Breaker(clock)
        self.upload = Pace(upload_bytes_s, clock)
        self.download = Pace(download_bytes_s, clock)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Make one request: after a turn at the gate, if the breaker lets it."""
        with self.gate.passing(), self.breaker.guarding():
            yield

    def make(self, request: Callable[[], Result]) -> Result:
        """Make one request, as `request` has it, and return its result."""
        with self.request():
            return request()


class Throttled(Forwarding):
    """Makes requests only as an endpoint bears them.

    Args:
        inner: The backend that does the work.
        endpoint: Shared by all backends on that server.
    """

    def __init__(self, inner: Backend, endpoint: Endpoint) -> None:
        super().__init__(inner)
        self._endpoint = endpoint

    @property
    def versions(self) -> Versions | None:
        """Older versions, and locks: see `Backend.versions`; their bytes are not counted."""
        inner = self._inner.versions
        return None if inner is None else CallingVersions(inner, self._endpoint.make)

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        """Create an object: see `Backend.put`."""
        self._endpoint.upload.take(size_of(name, body))
        with self._endpoint.request():
            self._inner.put(name, body, sha256=sha256)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""
        with self._endpoint.request():
            found = self._inner.get(name, offset=offset, length=length)
        self._endpoint.download.take(len(found))
        return found

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object: see `Backend.head`."""
        with self._endpoint.request():
            return self._inner.head(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield objects in order: see `Backend.list`."""
        items = self._inner.list(prefix)
        while True:
            # Not held between items: whoever lists may make other requests meanwhile.
            with self._endpoint.request():
                found = tuple(itertools.islice(items, _LISTED_AT_ONCE))
            yield from found
            if len(found) < _LISTED_AT_ONCE:
                return

    def delete(self, name: str) -> None:
        """Remove an object: see `Backend.delete`."""
        with self._endpoint.request():
            self._inner.delete(name)
