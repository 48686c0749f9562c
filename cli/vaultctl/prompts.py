"""Questions to the person at the terminal; on standard error, so that results stay clean."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from vaultd.core.errors import ConfigError

MIN_PASSPHRASE = 10
"""Characters below which a new passphrase is refused."""

_WORDS = 24


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_passphrase(what: str) -> str:
    """Ask for a passphrase that exists; what is typed is not shown.

    Args:
        what: What it opens.
    """
    return str(click.prompt(f"Passphrase of {what}", hide_input=True, err=True))


def ask_new_passphrase() -> str:
    """Ask for a new passphrase, twice; what is typed is not shown."""
    click.echo(
        "Choose a passphrase for the key files: several words that nobody can guess.", err=True
    )
    while True:
        text = str(click.prompt("New passphrase", hide_input=True, err=True))
        if len(text) < MIN_PASSPHRASE:
            click.echo(f"That is too short: at least {MIN_PASSPHRASE} characters.", err=True)
        elif text != click.prompt("The same again", hide_input=True, err=True):
            click.echo("The two are not the same.", err=True)
        else:
            return text


def check_new_passphrase(text: str) -> None:
    """Refuse a new passphrase that is too short.

    Raises:
        ConfigError: It is.
    """
    if len(text) < MIN_PASSPHRASE:
        raise ConfigError(
            f"the new passphrase has {len(text)} characters, expected at least {MIN_PASSPHRASE}",
            hint="Choose several words that nobody can guess.",
        )


def ask_key(what: str) -> str:
    """Ask for a key: the path of its file, or its words on one or several lines.

    Args:
        what: Which key: ``recovery key``.

    Returns:
        The path or the words, as typed.
    """
    click.echo(
        f"The {what} is needed: type the path of its file, or the {_WORDS} words from the sheet\n"
        "(on one line or several; what you type is shown).",
        err=True,
    )
    words: list[str] = []
    while True:
        prompt = f"Words {len(words) + 1} to {_WORDS}" if words else "Key"
        line = str(click.prompt(prompt, err=True, default="", show_default=False)).strip()
        if not words and (not line or "/" in line or Path(line).is_file()):
            return line
        # The sheet numbers its words, and so may whoever copies them.
        words += re.findall(r"[^\W\d_]+", line)
        if len(words) >= _WORDS or not line:
            return " ".join(words)


def ask_yes(question: str) -> bool:
    """Ask a question to which only a typed ``yes`` means yes."""
    return str(click.prompt(f"{question} Type yes or no", err=True)).strip().lower() == "yes"
