"""One run of a command: what was asked for, where words go, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vaultctl.options import Given
from vaultctl.output import Output
from vaultctl.progress import Progress, watched
from vaultd.core.clock import Clock, SystemClock

if TYPE_CHECKING:  # commands that need no settings do not wait for them
    from vaultd.settings.asked import Settings
    from vaultd.wiring.keys import Secret


class App:
    """What every command is given.

    Attributes:
        output: Where words go.
        clock: The time.
        progress: Takes the events of long work.

    Args:
        given: What was typed.
        output: See above.
        clock: See above.
        progress: See above.
    """

    def __init__(self, given: Given, output: Output, clock: Clock, progress: Progress) -> None:
        self.output = output
        self.clock = clock
        self.progress = progress
        self._given = given

    @cached_property
    def settings(self) -> Settings:
        """Options, then the environment, then defaults.

        Raises:
            ConfigError: A value cannot be used.
        """
        from vaultd.settings.asked import Typed, load_settings  # noqa: PLC0415 - see TYPE_CHECKING above

        options = {
            name: value for name, value in self._given.options.items() if name not in _OUTPUT
        }
        return load_settings(self._given.environment, Typed(**options))

    @cached_property
    def passphrase(self) -> Secret | None:
        """The passphrase that was given, read once; ``None`` when none was.

        Raises:
            ConfigError: Its source gives none.
        """
        from vaultd.settings.secrets import read_passphrase  # noqa: PLC0415 - see TYPE_CHECKING above

        source = self.settings.passphrase
        return None if source is None else read_passphrase(source)

    def tell(
        self, message_type: str, fields: Callable[[], dict[str, Any]], words: Callable[[], str]
    ) -> None:
        """Write one result: as JSON for scripts, as words for people.

        Args:
            message_type: For scripts.
            fields: Makes what scripts read.
            words: Makes what people read, one or several lines.
        """
        if self.output.json:
            self.output.record(message_type, fields())
        else:
            self.output.line(words())


_OUTPUT = ("json", "verbose", "quiet")


@contextmanager
def opened(given: Given) -> Iterator[App]:
    """Begin a run."""
    chosen = given.options
    output = Output(
        json=bool(chosen.get("json")),
        quiet=bool(chosen.get("quiet")),
        verbose=int(chosen.get("verbose", 0)),
    )
    clock = SystemClock()
    with watched(output, clock) as progress:
        yield App(given, output, clock, progress)
