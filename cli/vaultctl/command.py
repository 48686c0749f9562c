"""What a command is made of: its options, the global ones, and a function that takes an `App`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from vaultctl.context import opened
from vaultctl.lazy import LazyGroup
from vaultctl.options import global_options

_EXAMPLE = re.compile(r"vaultctl |\w+: +vaultctl ")
_EPILOG = "Global options (-r, --json, -v …) may stand here too: see `vaultctl --help`."


class Command(click.Command):
    """A command whose function takes an `App` first and returns an exit code or ``None``.

    Args:
        arguments: See `click.Command`.
        options: See `click.Command`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("epilog", _EPILOG)
        super().__init__(*arguments, **options)
        self.params += global_options(hidden=True)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if self.callback is None:
            return None
        with opened(ctx.obj) as app:
            return ctx.invoke(self.callback, app, **ctx.params)


def command(doc: str | None) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a command of a function.

    Args:
        doc: Docstring of its module: what the help says.
    """
    return click.command(cls=Command, help=help_text(doc))


def listing_group(
    doc: str | None, *, package: str, sections: Mapping[str, Sequence[str]]
) -> Callable[[Callable[..., int | None]], click.Group]:
    """Make of a function a command that lists things, and has commands below it.

    Args:
        doc: Docstring of its module: what the help says.
        package: Where the commands below it are.
        sections: Their headings and names.
    """

    def make(function: Callable[..., int | None]) -> click.Group:
        @click.pass_context
        def listing(ctx: click.Context, /, **params: Any) -> int | None:
            if ctx.invoked_subcommand is not None:
                return None
            with opened(ctx.obj) as app:
                return function(app, **params)

        params = [
            *reversed(getattr(function, "__click_params__", [])),
            *global_options(hidden=True),
        ]
        return LazyGroup(
            name=package.rpartition(".")[2],
            help=help_text(doc),
            package=package,
            sections=sections,
            params=params,
            callback=listing,
            invoke_without_command=True,
            epilog=_EPILOG,
        )

    return make


def help_text(doc: str | None) -> str:
    """Return a docstring as click takes it: paragraphs of examples keep their lines."""
    paragraphs = (doc or "").strip().split("\n\n")
    return "\n\n".join(f"\b\n{text}" if _EXAMPLE.match(text) else text for text in paragraphs)
