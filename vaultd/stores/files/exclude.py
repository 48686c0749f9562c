r"""Patterns that leave entries out of a capture, in the way of gitignore.

The rules:

- A pattern names entries by their path from ``/``. One that begins with ``/`` is anchored there;
  any other may begin at any depth (also one with a slash inside: ``build/*.o``).
- ``*`` and ``?`` do not match a slash, ``[a-z]`` and ``[!a-z]`` match one character, ``\`` takes
  the next character as it is. ``**`` as a whole component matches any number of directories;
  at the end (``cache/**``) it matches everything below, but not the directory itself.
- A trailing ``/`` matches directories only. A leading ``!`` takes back what earlier patterns
  exclude.
- **The last pattern that matches an entry or a directory above it decides.**
- An excluded directory is not entered, unless a later ``!`` pattern leads through it by name:
  ``/home/*/.cache`` with ``!/home/ann/.cache/keep`` enters ``/home/ann/.cache`` for ``keep`` alone.
  ``!*.md``, which could match anywhere, does not make an excluded directory be entered.
- A root is never excluded itself, and what lies above it does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from vaultd.core.errors import ConfigError
from vaultd.stores.files.globs import glob_expression

NOTHING = -1
"""The rule of an entry that no pattern matches."""

_ANY_NAME = "[^/]+"
_KNOWN_FILTERS = 1024


class _Matcher(Struct, frozen=True):
    """One regular expression for directories and one for names in them."""

    rule: int
    folder: re.Pattern[str]
    name: str
    directories_only: bool


class _Pattern(Struct, frozen=True):
    components: tuple[str, ...]
    negated: bool
    directories_only: bool
    ignore_case: bool


def read_patterns(path: Path) -> tuple[str, ...]:
    r"""Read patterns from a file: one a line, ``#`` begins a comment line, ``\#`` a pattern.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise ConfigError(f"exclude file {path} cannot be read: {error.strerror}") from error
    lines = (_without_trailing_space(line) for line in text.split("\n"))
    return tuple(line for line in lines if line and not line.startswith("#"))


class Rules:
    """All patterns of one capture, compiled.

    Args:
        patterns: Patterns that heed case, in order.
        folded: Patterns that do not; they come after the others.

    Raises:
        ConfigError: A pattern cannot be understood.
    """

    def __init__(self, patterns: Sequence[str], folded: Sequence[str] = ()) -> None:
        parsed = [_parse(text, ignore_case=False) for text in patterns]
        parsed += [_parse(text, ignore_case=True) for text in folded]
        self._negated = [pattern.negated for pattern in parsed]
        self._matchers = [_matcher(rule, pattern) for rule, pattern in enumerate(parsed)]
        self._through = [
            matcher
            for rule, pattern in enumerate(parsed)
            if pattern.negated
            for matcher in _ways_through(rule, pattern)
        ]
        self._filters: dict[tuple[int, ...], tuple[_Names, _Names, _Names]] = {}

    def excludes(self, rule: int) -> bool:
        """Tell whether an entry for which this rule decides is left out."""
        return rule != NOTHING and not self._negated[rule]

    def at(self, path: bytes, inherited: int) -> FolderRules:
        """Return the rules as they apply to the entries of one directory.

        Args:
            path: The directory, without leading slash.
            inherited: The rule that decides for the directory itself.
        """
        where = path.decode("utf-8", "surrogateescape") + "/" if path else ""
        active = tuple(
            at
            for at, matcher in enumerate([*self._matchers, *self._through])
            if matcher.folder.fullmatch(where)
        )
        names = self._filters.get(active)
        if names is None:
            names = self._compile(active)
            if len(self._filters) < _KNOWN_FILTERS:
                self._filters[active] = names
        return FolderRules(self, names, inherited)

    def _compile(self, active: tuple[int, ...]) -> tuple[_Names, _Names, _Names]:
        count = len(self._matchers)
        here = [self._matchers[at] for at in active if at < count]
        through = [self._through[at - count] for at in active if at >= count]
        return (
            _Names(matcher for matcher in here if not matcher.directories_only),
            _Names(here),
            _Names(through),
        )


class FolderRules:
    """The rules for the entries of one directory.

    Args:
        rules: All rules.
        names: Compiled for this directory: for any entry, for directories, for ways through.
        inherited: The rule that decides for the directory itself.
    """

    __slots__ = ("_any", "_folders", "_inherited", "_rules", "_through")

    def __init__(self, rules: Rules, names: tuple[_Names, _Names, _Names], inherited: int) -> None:
        self._rules = rules
        self._any, self._folders, self._through = names
        self._inherited = inherited

    def rule_for(self, name: bytes, *, directory: bool) -> int:
        """Return the rule that decides for an entry, `NOTHING` when there is none."""
        text = name.decode("utf-8", "surrogateescape")
        found = (self._folders if directory else self._any).last(text)
        return max(found, self._inherited)

    def leaves_out(self, name: bytes, *, directory: bool) -> bool:
        """Tell whether an entry is left out; a directory that must be entered is not."""
        rule = self.rule_for(name, directory=directory)
        if not self._rules.excludes(rule):
            return False
        return not (
            directory and self._through.last(name.decode("utf-8", "surrogateescape")) > rule
        )

    def sift(self, names: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Leave out what can be left out by its name alone.

        Returns:
            The names that are left, in order; and those of them about which `leaves_out` must be
            asked once it is known whether they are directories.
        """
        search = self._folders.search
        if not self._rules.excludes(self._inherited):
            if search is None:
                return names, []
            touched = [name for name in names if search(name.decode("utf-8", "surrogateescape"))]
        else:
            touched = names
        doubtful, gone = [], set()
        for name in touched:
            if not self.leaves_out(name, directory=True):
                doubtful.append(name)
            elif self.leaves_out(name, directory=False):
                gone.add(name)
            else:
                doubtful.append(name)
        return [name for name in names if name not in gone] if gone else names, doubtful


class _Names:
    """Finds the last of several rules whose glob matches a name."""

    __slots__ = ("_groups", "search")

    def __init__(self, matchers: Iterable[_Matcher]) -> None:
        # Alternatives are tried in order, so the last rule comes first.
        ordered = sorted(matchers, key=lambda matcher: -matcher.rule)
        self._groups = [matcher.rule for matcher in ordered]
        text = "|".join(f"({matcher.name})" for matcher in ordered)
        self.search = re.compile(text, re.DOTALL).fullmatch if ordered else None

    def last(self, name: str) -> int:
        match = self.search(name) if self.search else None
        return self._groups[(match.lastindex or 1) - 1] if match else NOTHING


def _parse(text: str, *, ignore_case: bool) -> _Pattern:
    body = text
    negated = body.startswith("!")
    body = body[1:] if negated else body
    directories_only = body.endswith("/")
    components = [part for part in body.split("/") if part]
    if not components or "." in components or ".." in components or "\0" in text:
        raise ConfigError(
            f"exclude pattern {text!r} names no entry",
            hint="Write a glob such as *.tmp, /var/cache or node_modules/.",
        )
    if not body.startswith("/") and components[0] != "**":
        components.insert(0, "**")
    if components[-1] == "**":
        components.append("*")
    globs = tuple("**" if part == "**" else glob_expression(part, text) for part in components)
    return _Pattern(globs, negated, directories_only, ignore_case)


def _matcher(rule: int, pattern: _Pattern) -> _Matcher:
    *above, last = pattern.components
    return _Matcher(
        rule,
        _folder_expression(above, ignore_case=pattern.ignore_case),
        f"(?i:{last})" if pattern.ignore_case else last,
        pattern.directories_only,
    )


def _ways_through(rule: int, pattern: _Pattern) -> Iterable[_Matcher]:
    # Directories that a proper beginning of the pattern names. A leading ** names none.
    first = 2 if pattern.components[0] == "**" else 1
    for count in range(first, len(pattern.components)):
        *above, last = pattern.components[:count]
        if last == "**":
            above, last = [*above, "**"], _ANY_NAME
        yield _matcher(rule, replace(pattern, components=(*above, last)))


def _folder_expression(components: Sequence[str], *, ignore_case: bool) -> re.Pattern[str]:
    text = "".join(f"(?:{_ANY_NAME}/)*" if part == "**" else f"{part}/" for part in components)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _without_trailing_space(line: str) -> str:
    bare = line.rstrip()
    return bare + " " if bare.endswith("\\") and bare != line else bare
