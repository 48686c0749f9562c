"""Entries that are missing or deserve a look, listed for people."""

from __future__ import annotations

from collections.abc import Sequence

from vaultctl.output import Output
from vaultctl.text import plain, plural, shown
from vaultd.core.events import Problem

_SHOWN = 20


def show_problems(output: Output, heading: str, problems: Sequence[Problem]) -> None:
    """Write problems under a heading, to standard error; all of them only with ``-v``.

    Scripts were told of each when it was found.

    Args:
        output: Where to.
        heading: What is wrong, before the number: ``not backed up as it is``.
        problems: What was found; nothing is written when there is none.
    """
    if not problems or output.json:
        return
    output.warn(f"{heading}: {plural(len(problems), 'entry', 'entries')}")
    listed = problems if output.verbose else problems[:_SHOWN]
    for problem in listed:
        output.say_always(f"  {shown(problem.path) or '/'}: {plain(problem.reason)}")
    if len(listed) < len(problems):
        output.say_always(f"  … and {len(problems) - len(listed):,} more: -v shows them all")
