"""Where words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from vaultctl import json_lines
from vaultd.core.errors import VaultdError

if TYPE_CHECKING:  # a terminal library that `version` does not wait for
    from rich.console import RenderableType

_WIDE = 10_000
"""Columns where no person looks."""


def terminal_columns() -> int:
    """Return how many columns the terminal has; 80 when nobody knows."""
    import shutil  # noqa: PLC0415 - most runs draw nothing, and every start would pay

    return shutil.get_terminal_size().columns


class Output:
    """The two streams of one run. Methods may be called from any thread.

    Attributes:
        json: Standard output carries JSON lines and nothing else.
        quiet: Only results, warnings and errors.
        verbose: How often ``-v`` was given.

    Args:
        json: See above.
        quiet: See above.
        verbose: See above.
        stdout: Takes results.
        stderr: Takes the rest.
    """

    def __init__(
        self,
        *,
        json: bool,
        quiet: bool,
        verbose: int,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        self._stdout = sys.stdout if stdout is None else stdout
        self._stderr = sys.stderr if stderr is None else stderr
        self._lock = threading.RLock()
        self._live = ""

    @property
    def draws(self) -> bool:
        """Whether a line that is drawn again and again makes sense."""
        return self._stderr.isatty() and not self.quiet and not self.json

    @property
    def columns(self) -> int:
        """How wide a table may be: nothing is folded or cut for a pipe."""
        return terminal_columns() if self._stdout.isatty() else _WIDE

    def line(self, text: str = "") -> None:
        """Write one line of a result, for people."""
        with self._lock:
            self.draw("")
            self._stdout.write(f"{text}\n")

    def record(self, message_type: str, fields: Mapping[str, object]) -> None:
        """Write one JSON line of a result."""
        with self._lock:
            self._stdout.write(json_lines.line(message_type, fields) + "\n")

    def rich(self, renderable: RenderableType) -> None:
        """Write a table or the like, for people."""
        from rich.console import Console  # noqa: PLC0415 - takes longer than some commands

        with self._lock:
            self.draw("")
            console = Console(
                file=self._stdout,
                width=self.columns,
                markup=False,
                emoji=False,
                highlight=False,
                soft_wrap=not self._stdout.isatty(),
            )
            console.print(renderable)

    def say(self, text: str) -> None:
        """Write a line that is no result: nothing when output is quiet."""
        if self.quiet:
            return
        if self.json:
            self._err(json_lines.line("note", {"warning": False, "text": text}))
        else:
            self._err(text)

    def say_always(self, text: str) -> None:
        """Write a line that was asked for just now, quiet or not."""
        self._err(text)

    def warn(self, text: str) -> None:
        """Write a line that a person should read even when output is quiet."""
        if self.json:
            self._err(json_lines.line("note", {"warning": True, "text": text}))
        else:
            self._err(f"warning: {text}")

    def failure(self, error: VaultdError, code: int) -> None:
        """Write why the run ends without success, and what to do."""
        if self.json:
            self._err(json_lines.line("exit_error", json_lines.error(error, code)))
            return
        self._err(f"vaultctl: error: {error.message}")
        if error.hint:
            self._err(f"hint: {error.hint}")

    def record_aside(self, message_type: str, fields: Mapping[str, object]) -> None:
        """Write one JSON line that is no result."""
        self._err(json_lines.line(message_type, fields))

    def draw(self, text: str) -> None:
        """Show one line that the next one replaces; an empty one removes it."""
        with self._lock:
            self._clear()
            self._live = text
            self._redraw()

    def _err(self, text: str) -> None:
        with self._lock:
            self._clear()
            self._stderr.write(f"{text}\n")
            self._stderr.flush()
            self._redraw()

    def _clear(self) -> None:
        if self._live:
            self._stderr.write("\r\x1b[2K")
            self._stderr.flush()

    def _redraw(self) -> None:
        if self._live:
            # Without wrapping, or a long line would leave its first half behind.
            self._stderr.write(f"\x1b[?7l{self._live}\x1b[?7h")
            self._stderr.flush()
