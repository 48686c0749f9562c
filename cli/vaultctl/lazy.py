"""A group of commands that are imported when they are called, and not before.

Each command is a module with a variable ``command``; the first line of its docstring is what the
list of commands says of it, read from the source without running it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click


class LazyGroup(click.Group):
    """Commands in the modules of a package.

    Args:
        package: The package; a command ``a-b`` is in its module ``a_b``.
        sections: Headings of the list of commands, and what stands below each.
        aliases: Other names of commands.
        options: See `click.Group`.
    """

    def __init__(
        self,
        *,
        package: str,
        sections: Mapping[str, Sequence[str]],
        aliases: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._package = package
        self._sections = sections
        self._aliases = aliases or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names of all commands, section by section."""
        return [name for names in self._sections.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of a name or alias."""
        name = self._aliases.get(cmd_name, cmd_name)
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(self._module(name)).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with.

        Raises:
            click.UsageError: There is none; the message names what comes near.
        """
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            import difflib  # noqa: PLC0415 - only for mistakes

            known = [*self.list_commands(ctx), *self._aliases]
            near = difflib.get_close_matches(name, known, n=3)
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"there is no command {name!r}{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, without importing them."""
        width = max(len(name) for name in self.list_commands(ctx))
        for title, names in self._sections.items():
            rows = [(name.ljust(width), self._summary(name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

    def _module(self, name: str) -> str:
        return f"{self._package}.{name.replace('-', '_')}"

    def _summary(self, name: str) -> str:
        spec = find_spec(self._module(name))
        if spec is None or spec.origin is None:
            raise ImportError(f"command {name}: its module is missing")
        source = Path(spec.origin).read_text(encoding="utf-8")
        return source.split('"""', 2)[1].strip().splitlines()[0].rstrip(".")
