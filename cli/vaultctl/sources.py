"""Options that say what a backup takes: paths, lists of paths, and what is left out."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from vaultd.core.errors import ConfigError
from vaultd.core.units import parse_size
from vaultd.wiring.sources import CaptureOptions, read_patterns

F = TypeVar("F", bound=Callable[..., Any])

MAX_NAME = 200


def source_options(function: F) -> F:
    """Add the options of `capture_options` and `roots_of`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _many(*names: str, metavar: str, text: str) -> Callable[[F], F]:
    return click.option(*names, multiple=True, metavar=metavar, help=text)


_OPTIONS = (
    _many("-e", "--exclude", metavar="PATTERN", text="Leave out what matches; repeatable."),
    _many("--iexclude", metavar="PATTERN", text="The same, whatever the case."),
    _many("--exclude-file", metavar="FILE", text="Patterns from a file, one a line."),
    _many("--iexclude-file", metavar="FILE", text="The same, whatever the case."),
    click.option("--exclude-caches", is_flag=True, help="Leave out folders with a CACHEDIR.TAG."),
    _many("--exclude-if-present", metavar="NAME", text="Leave out folders that hold such a file."),
    click.option("--exclude-larger-than", metavar="SIZE", help="Leave out larger files: 1G."),
    click.option("--exclude-nodump", is_flag=True, help="Leave out what has the nodump flag."),
    click.option("-x", "--one-file-system", is_flag=True, help="Do not enter other file systems."),
    click.option("--no-xattrs", is_flag=True, help="Do not take extended attributes and ACLs."),
    _many("--files-from", metavar="FILE", text="Paths and globs from a file, # for comments."),
    _many("--files-from-verbatim", metavar="FILE", text="Paths from a file, exactly as they are."),
    _many("--files-from-raw", metavar="FILE", text="Paths from a file, separated by NUL bytes."),
)


def capture_options(chosen: dict[str, Any]) -> CaptureOptions:
    """Return what `source_options` says about leaving out.

    Raises:
        ConfigError: A file of patterns cannot be read, or a size not be understood.
    """
    larger = chosen["exclude_larger_than"]
    return CaptureOptions(
        hostname=os.uname().nodename,
        exclude=(*chosen["exclude"], *_patterns(chosen["exclude_file"])),
        iexclude=(*chosen["iexclude"], *_patterns(chosen["iexclude_file"])),
        exclude_if_present=chosen["exclude_if_present"],
        exclude_caches=chosen["exclude_caches"],
        exclude_larger_than_bytes=0 if larger is None else parse_size(larger),
        exclude_nodump=chosen["exclude_nodump"],
        one_file_system=chosen["one_file_system"],
        xattrs=not chosen["no_xattrs"],
    )


def roots_of(paths: Iterable[str], chosen: dict[str, Any]) -> tuple[bytes, ...]:
    """Return the absolute paths to capture, each once, ascending.

    Args:
        paths: As typed.
        chosen: What `source_options` added, by name.

    Raises:
        ConfigError: There is none, or a list cannot be read.
    """
    found = [os.fsencode(path) for path in paths]
    for name in chosen["files_from"]:
        for line in _read(name).splitlines():
            stripped = line.strip()
            if stripped and not stripped.startswith(b"#"):
                found += glob.glob(stripped) or [stripped]
    for name in chosen["files_from_verbatim"]:
        found += [line for line in _read(name).split(b"\n") if line]
    for name in chosen["files_from_raw"]:
        found += [path for path in _read(name).split(b"\0") if path]
    if not found:
        raise ConfigError(
            "nothing to back up was named",
            hint="Give one or more paths, as in `vaultctl backup /srv/crm`.",
        )
    return tuple(sorted({os.path.abspath(path) for path in found}))


def store_name(roots: tuple[bytes, ...]) -> str:
    """Return the name of a store that was given none: its paths, so that it is found again.

    Raises:
        ConfigError: There are too many.
    """
    name = " + ".join(os.fsdecode(root) for root in roots)
    if len(name) > MAX_NAME or not name.isprintable():
        raise ConfigError(
            f"{len(roots)} paths make no name that anybody can read",
            hint="Name the store with --name: the next backup of the same name builds on this one.",
        )
    return name


def check_name(name: str) -> str:
    """Return a store's name when people can read it.

    Raises:
        ConfigError: It is empty, too long, or not printable.
    """
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ConfigError(
            f"store name {name[:20]!r}: expected 1 to {MAX_NAME} printable characters"
        )
    return name


def _patterns(files: Iterable[str]) -> list[str]:
    return [pattern for name in files for pattern in read_patterns(Path(name))]


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as exc:
        raise ConfigError(f"list of paths {name}: cannot be read: {exc.strerror}") from exc
