"""What could not be put back as it was, counted by reason and reported once each."""

from __future__ import annotations

from threading import Lock

from vaultd.core.events import Found, Observer, Problem, ProblemKind


class Shortfalls:
    """Collects metadata that could not be restored; usable by several threads.

    A restore by an ordinary user misses the owner of every file: that is one line, not a million.

    Args:
        observer: Hears of each reason once, at `report`.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._lock = Lock()
        self._found: dict[tuple[str, str], tuple[int, bytes]] = {}

    def add(self, what: str, why: str, path: bytes) -> None:
        """Count one more.

        Args:
            what: What is missing, plural: ``owners``, ``device files``.
            why: The system's words, or a rule of ours.
            path: The entry.
        """
        with self._lock:
            count, first = self._found.get((what, why), (0, path))
            self._found[what, why] = (count + 1, first)

    def report(self) -> None:
        """Report everything that was counted, once."""
        with self._lock:
            found, self._found = self._found, {}
        for (what, why), (count, path) in found.items():
            entries = "1 entry" if count == 1 else f"{count} entries"
            reason = f"{what} not restored for {entries}, this one first: {why}"
            problem = Problem(kind=ProblemKind.METADATA, path=path, reason=reason, warning=True)
            self._observer(Found(problem=problem))
