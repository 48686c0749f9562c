"""How far a run is: a line on a terminal, lines at an interval elsewhere, JSON for scripts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from msgspec import Struct, field

from vaultctl import json_lines
from vaultctl.output import Output, terminal_columns
from vaultctl.text import plain, plural, shown
from vaultd.core.clock import Clock
from vaultd.core.events import Advanced, Event, Found, Note, PhaseStarted
from vaultd.core.units import format_duration, format_size

DRAW_S, STATUS_S, PLAIN_S = 0.1, 1.0, 30.0
"""Seconds between two drawings, two JSON lines, two plain lines."""

_STORING = "scan and store"
_NOUNS = {
    "read data": "pack",
    "check trees": "snapshot",
    "examine": "finding",
    "replicate": "object",
    "repair": "object",
    "count copies": "snapshot",
}
"""What is counted, where it is not files."""

_BAR, _ROOMY = 20, 100
_SPEED_S = 5.0
"""The speed shown is that of about so many seconds."""


class _Phase(Struct):
    name: str = "start"
    files: int = 0
    data: int = 0
    began_s: float = 0.0
    done: Advanced = field(default_factory=lambda: Advanced(files=0, data=0, stored=0))


class Progress:
    """Takes the events of one run and shows them; called from any thread.

    Args:
        output: Where to show them.
        clock: For speed and remaining time.
    """

    def __init__(self, output: Output, clock: Clock) -> None:
        self._output = output
        self._clock = clock
        self._lock = threading.RLock()  # a signal may come while it is held
        self._began_s = clock.monotonic_s()
        self._phase = _Phase(began_s=self._began_s)
        self._expected = (0, 0)
        self._next_s = 0.0
        self._mark = (self._began_s, 0)
        self._speed = 0.0
        self._problems = 0

    def expect(self, files: int, data: int) -> None:
        """Take numbers of an earlier run for a phase that does not know its own."""
        self._expected = (files, data)

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            if isinstance(event, Advanced):
                self._advance(event)
            elif isinstance(event, PhaseStarted):
                self._start(event)
            elif isinstance(event, Found):
                self._found(event)
            else:
                self._note(event)

    def report(self) -> None:
        """Say at once how far the run is (signal USR1)."""
        with self._lock:
            if self._output.json:
                self._output.record_aside("status", self._status())
            else:
                self._output.say_always(self.words())

    def words(self) -> str:
        """Return how far the run is, as one plain line."""
        phase, done = self._phase, self._phase.done
        files, data = self._totals()
        parts = [phase.name]
        if data:
            parts.append(f"{100 * self._ratio():.0f} %")
        left = self._left_s()
        if left is not None:
            parts.append(f"{format_duration(left)} left")
        of = f" of {'' if phase.data else 'about '}{format_size(data)}" if data else ""
        parts.append(f"{format_size(done.data)}{of}")
        if self._speed >= 1:
            parts.append(f"{format_size(self._speed)}/s")
        noun = _NOUNS.get(phase.name, "file")
        parts.append(plural(done.files, noun) + (f" of {files:,}" if files and not data else ""))
        if done.stored and phase.name == _STORING:
            parts.append(f"{format_size(done.stored)} stored")
        if self._problems:
            parts.append(plural(self._problems, "problem"))
        return ", ".join(parts)

    def _start(self, event: PhaseStarted) -> None:
        now_s = self._clock.monotonic_s()
        self._phase = _Phase(event.name, event.files, event.data, now_s)
        self._mark, self._speed = (now_s, 0), 0.0
        self._next_s = 0.0
        if self._output.verbose and not self._output.draws and not self._output.json:
            self._output.say(f"{event.name} …")
            self._next_s = now_s + PLAIN_S
        self._show()

    def _advance(self, event: Advanced) -> None:
        path = event.path or self._phase.done.path
        self._phase.done = Advanced(
            files=event.files, data=event.data, stored=event.stored, path=path
        )
        now_s = self._clock.monotonic_s()
        since_s, data = self._mark
        if now_s - since_s >= 1:
            speed = (event.data - data) / (now_s - since_s)
            weight = min(1.0, (now_s - since_s) / _SPEED_S) if self._speed else 1.0
            self._speed += (max(speed, 0.0) - self._speed) * weight
            self._mark = (now_s, event.data)
        self._show()

    def _found(self, event: Found) -> None:
        problem = event.problem
        if not problem.warning:
            self._problems += 1
        if self._output.json:
            fields = {"error": {"message": problem.reason}, "during": self._phase.name}
            self._output.record_aside("error", {**json_lines.problem(problem), **fields})
        elif self._output.verbose:
            self._output.say(f"{problem.kind}: {shown(problem.path)}: {problem.reason}")

    def _note(self, note: Note) -> None:
        if note.warning:
            self._output.warn(plain(note.text))
        else:
            self._output.say(plain(note.text))

    def _show(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return
        if self._output.draws:
            self._next_s = now_s + DRAW_S
            self._output.draw(self._drawn())
        elif self._output.json:
            self._next_s = now_s + STATUS_S
            self._output.record("status", self._status())
        elif self._output.verbose and self._next_s:
            self._next_s = now_s + PLAIN_S
            self._output.say(self.words())

    def _drawn(self) -> str:
        width = terminal_columns()
        files, data = self._totals()
        line = self.words()
        if files or data:
            bar = _BAR if width >= _ROOMY else _BAR // 2
            filled = round(bar * self._ratio())
            line = f"[{'#' * filled}{'.' * (bar - filled)}] {line}"
        path = self._phase.done.path
        if path:
            name = shown(path if self._phase.name in _NOUNS else b"/" + path.lstrip(b"/"))
            room = width - len(line) - 3
            if room >= 10:  # noqa: PLR2004 - less says nothing
                line += "  " + (name if len(name) <= room else "…" + name[1 - room :])
        return line[: width - 1]

    def _totals(self) -> tuple[int, int]:
        phase = self._phase
        if phase.files or phase.data or phase.name == "commit":
            return phase.files, phase.data
        return self._expected

    def _ratio(self) -> float:
        files, data = self._totals()
        done = self._phase.done
        ratio = done.data / data if data else done.files / files if files else 0.0
        # What is only expected is not reached before the phase ends.
        return min(ratio, 1.0 if self._phase.data or self._phase.files else 0.99)

    def _left_s(self) -> float | None:
        _, data = self._totals()
        ratio, beyond = self._ratio(), self._phase.done.data > data
        if not data or beyond or ratio <= 0 or self._speed < 1:
            return None
        return max(0.0, data * (1 - ratio) / self._speed)

    def _status(self) -> dict[str, object]:
        files, data = self._totals()
        done = self._phase.done
        left = self._left_s()
        return {
            "phase": self._phase.name,
            "seconds_elapsed": round(self._clock.monotonic_s() - self._began_s, 1),
            "seconds_remaining": None if left is None else round(left, 1),
            "percent_done": round(self._ratio(), 4),
            "total_files": files,
            "files_done": done.files,
            "total_bytes": data,
            "bytes_done": done.data,
            "bytes_stored": done.stored,
            "error_count": self._problems,
            **(json_lines.paths("current_files", [done.path]) if done.path else {}),
        }


@contextmanager
def watched(output: Output, clock: Clock) -> Iterator[Progress]:
    """Show the progress of what runs inside; SIGUSR1 tells it at once."""
    progress = Progress(output, clock)

    def on_signal(_: int, __: FrameType | None) -> None:
        progress.report()

    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        yield progress
    finally:
        signal.signal(signal.SIGUSR1, before)
        output.draw("")
