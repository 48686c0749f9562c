"""Progress at a rate that people can read, however fast the work goes."""

from __future__ import annotations

from vaultd.core.clock import Clock
from vaultd.core.events import Advanced, Observer

_INTERVAL_S = 0.1


class Progress:
    """Passes progress on, not more often than ten times a second; used by one thread.

    Args:
        clock: The time.
        observer: Takes the events.
    """

    def __init__(self, clock: Clock, observer: Observer) -> None:
        self._clock = clock
        self._observer = observer
        self._next_s = 0.0

    def is_due(self) -> bool:
        """Tell whether a report would be passed on now."""
        return self._clock.monotonic_s() >= self._next_s

    def report(self, files: int, data: int, stored: int, path: bytes = b"") -> None:
        """Report totals of the phase, if it is time."""
        if self.is_due():
            self._next_s = self._clock.monotonic_s() + _INTERVAL_S
            self.finish(files, data, stored, path)

    def finish(self, files: int, data: int, stored: int, path: bytes = b"") -> None:
        """Report totals of the phase now."""
        self._observer(Advanced(files=files, data=data, stored=stored, path=path))
