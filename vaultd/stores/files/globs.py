"""One component of a path pattern as a regular expression."""

from __future__ import annotations

import re

from vaultd.core.errors import ConfigError


def glob_expression(part: str, pattern: str) -> str:
    r"""Return the regular expression for one component of a pattern.

    Args:
        part: The component: ``*``, ``?``, ``[...]`` and ``\`` are special.
        pattern: The whole pattern, for the message.

    Raises:
        ConfigError: A bracket is not closed, or nothing follows a backslash.
    """
    found = []
    at = 0
    while at < len(part):
        char = part[at]
        if char == "*":
            while part[at : at + 1] == "*":
                at += 1
            found.append("[^/]*")
            continue
        if char == "[":
            end = _bracket_end(part, at, pattern)
            found.append(_bracket(part[at + 1 : end]))
            at = end
        elif char == "\\":
            at += 1
            if at == len(part):
                raise ConfigError(f"exclude pattern {pattern!r} ends in a backslash")
            found.append(re.escape(part[at]))
        else:
            found.append("[^/]" if char == "?" else re.escape(char))
        at += 1
    text = "".join(found)
    try:
        re.compile(text)
    except re.error as error:
        raise ConfigError(f"exclude pattern {pattern!r} cannot be read: {error}") from error
    return text


def _bracket_end(part: str, start: int, pattern: str) -> int:
    at = start + 1
    if part[at : at + 1] in {"!", "^"}:
        at += 1
    if part[at : at + 1] == "]":  # first in the set: an ordinary character
        at += 1
    while at < len(part) and part[at] != "]":
        at += 2 if part[at] == "\\" else 1
    if at >= len(part):
        raise ConfigError(
            f"exclude pattern {pattern!r} has a [ without its ]",
            hint="Write \\[ for the character itself.",
        )
    return at


def _bracket(body: str) -> str:
    negated = body[0] in "!^"
    body = body[1:] if negated else body
    members = []
    at = 0
    while at < len(body):
        if body[at] == "\\" and at + 1 < len(body):
            at += 1
            members.append(re.escape(body[at]))
        elif body[at] == "-" and 0 < at < len(body) - 1:
            members.append("-")
        else:
            members.append(re.escape(body[at]))
        at += 1
    return f"(?!/)[{'^' if negated else ''}{''.join(members)}]"
