"""What the documents show is what the program has: commands, codes, variables, links, output."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from vaultctl import exit_codes
from vaultctl.main import ALIASES, SECTIONS, commands
from vaultctl.options import Given

from vaultd.settings import asked

TOP = Path(__file__).parents[2]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(vaultctl [^`]+)`")
_ENDS = {"|", ">", ">>", "&&", "&", ";", "<"}


def _shown(page: Path) -> Iterator[str]:
    """Yield every command line of a page that calls the program."""
    text = page.read_text(encoding="utf-8")
    for _, block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?<![\w./-])(?:/\S+/)?vaultctl (.*)", line)
            if found and not re.match(r"(ln|#|[a-z-]+:|hint|then |Give )", line):
                yield found[1]
    yield from (found.removeprefix("vaultctl ") for found in _INLINE.findall(text))


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if word in _ENDS:
            break
        words.append(word)
    return words


def _lines() -> list[tuple[str, str]]:
    return [(page.name, line) for page in PAGES for line in dict.fromkeys(_shown(page))]


@pytest.mark.parametrize(("page", "line"), _lines())
def test_every_command_that_is_shown_exists(page: str, line: str) -> None:
    words = _words(line)
    assert words, f"{page}: {line}"
    context = commands.make_context("vaultctl", words, obj=Given(environment={}))
    command: click.Command = commands
    while isinstance(command, click.Group):
        left = [*context._protected_args, *context.args]  # noqa: SLF001 - as click's own invoke does
        if not left or left[0] in {"…", "COMMAND"}:
            return
        name, found, rest = command.resolve_command(context, left)
        assert found is not None, f"{page}: {line}"
        command, context = found, _context(found, name or "", rest, context)


def _context(
    command: click.Command, name: str, words: list[str], parent: click.Context
) -> click.Context:
    context = click.Context(command, info_name=name, parent=parent, obj=parent.obj)
    # Documents name commands without all that they need; what they name must exist.
    with contextlib.suppress(click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        command.parse_args(context, [word for word in words if word != "…"])
    return context


def test_an_option_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        test_every_command_that_is_shown_exists("here", "backup --nothing /srv")
    with pytest.raises(click.UsageError):
        test_every_command_that_is_shown_exists("here", "nothing /srv")


def test_the_table_of_commands_is_complete() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    table = text.partition("## Commands")[2].partition("\n## ")[0]
    names = {name.split()[0] for name in re.findall(r"`([a-z][a-z ]*)`", table)}
    known = {name for section in SECTIONS.values() for name in section}
    assert known | set(ALIASES) <= names


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    table = text.partition("## Exit codes")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE))
    doc = exit_codes.__doc__ or ""
    assert dict(re.findall(r"^(\d+) +(.+)$", doc, re.MULTILINE)) == rows


def test_every_variable_is_explained_and_no_other() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    table = text.partition("## Environment")[2].partition("\n## ")[0]
    shown = set(re.findall(r"VAULTD_\w+", table))
    shown |= {f"VAULTD_PASSPHRASE{ending}" for ending in re.findall(r"`(_[A-Z]+)`", table)}
    known = set(re.findall(r"``(VAULTD_\w+)``", asked.__doc__ or ""))
    assert known == shown - {"VAULTD_VAULT_FILE"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = link.replace("\\", "").partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert [] == broken


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one).strip().lower().replace(" ", "-") for one in headings}
