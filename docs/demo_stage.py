"""What `demo.py` plays on: real commands in a folder of their own, and what became of the files."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

_WIDTH = 88
_BOLD, _DIM, _RED, _GREEN, _CYAN = "1", "2", "31", "32", "36"
_SHOWN = 10
"""Differences named before the rest is counted."""


class DemoError(Exception):
    """Something is not as the demonstration promises."""


class Facts(NamedTuple):
    """All of one entry that a restore must bring back."""

    mode: int
    owner: tuple[int, int]
    size: int
    mtime_ns: int
    sha256: str
    runs: tuple[tuple[int, int], ...]
    target: str
    names: tuple[str, ...]
    attributes: tuple[tuple[str, bytes], ...]


class Stage:
    """A folder, the variables set in it, and the terminal that shows what happens.

    Attributes:
        folder: Where commands run.
        compared: Restores compared so far.
        files: Regular files in them.
        data: Bytes in them.

    Args:
        folder: See above; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compared = 0
        self.files = 0
        self.data = 0
        programs = Path(sys.executable).parent
        # Nothing of the user's own settings: the demonstration is the same for everybody.
        self._variables = {
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
            "PWD": str(folder),
            "PYTHONUNBUFFERED": "1",  # keeps what is said and what is shown in their order
        }
        self._colours = (
            sys.stdout.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM", "dumb") != "dumb"
        )

    def chapter(self, title: str) -> None:
        """Begin a part."""
        print(f"\n{self._in(_BOLD + ';' + _CYAN, f'── {title} '.ljust(_WIDTH, '─'))}", flush=True)

    def tell(self, text: str) -> None:
        """Say what happens next, or behind the scenes."""
        lines = textwrap.wrap(text, _WIDTH - 2, initial_indent="# ", subsequent_indent="# ")
        print("\n" + self._in(_DIM, "\n".join(lines)), flush=True)

    def export(self, **variables: str) -> None:
        """Set variables for the commands that follow."""
        self._variables |= variables
        pairs = (f"{name}={shlex.quote(value)}" for name, value in variables.items())
        print("\n" + self._in(_BOLD, "$ export " + " ".join(pairs)), flush=True)

    def run(self, line: str, *, expect: int = 0) -> str:
        """Show a command, run it, show what it says and how long it took.

        Args:
            line: As a person would type it; ``$NAME`` stands for a variable.
            expect: The exit code that is right.

        Returns:
            What it said.

        Raises:
            DemoError: It ended with another code.
        """
        print("\n" + self._in(_BOLD, f"$ {line}"), flush=True)
        words = [self._filled(word) for word in shlex.split(line)]
        began = time.perf_counter()
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        took = f"({time.perf_counter() - began:.1f} s"
        code = f", exit code {done.returncode}" if done.returncode else ""
        print(done.stdout + self._in(_DIM, f"{took}{code})"), flush=True)
        if done.returncode != expect:
            raise DemoError(f"`{line}` ended with code {done.returncode}, expected {expect}")
        return done.stdout

    def remember(self, name: str) -> dict[str, Facts]:
        """Return all that is in a folder of the stage."""
        return facts_of(self.folder / name)

    def compare(self, wanted: dict[str, Facts], name: str, what: str) -> None:
        """Compare a restored folder with what was remembered.

        Args:
            wanted: What was there.
            name: The folder.
            what: What came back, in words.

        Raises:
            DemoError: They differ.
        """
        found = self.remember(name)
        wrong = differences(wanted, found)
        for one in wrong[:_SHOWN]:
            print(self._in(_RED, f"  {one}"))
        if wrong:
            raise DemoError(f"{what}: {len(wrong)} differences")
        files = [facts for facts in found.values() if facts.sha256]
        self.compared += 1
        self.files += len(files)
        self.data += sum(facts.size for facts in files)
        self.right(f"{what}: {len(found)} entries, every byte and all metadata as they were")

    def right(self, text: str) -> None:
        """Say that something is as it must be."""
        print(self._in(_GREEN, f"✔ {text}"), flush=True)

    def wrong(self, text: str) -> None:
        """Say that something is not."""
        print(self._in(_RED, f"✘ {text}"), flush=True)

    def _filled(self, word: str) -> str:
        for name, value in self._variables.items():
            word = word.replace(f"${name}", value)
        return word

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


def facts_of(folder: Path) -> dict[str, Facts]:
    """Return what lies below a folder, by path below it."""
    seen = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
    names: dict[int, list[str]] = {}
    for path, status in seen.items():
        if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
            names.setdefault(status.st_ino, []).append(path)
    return {
        path: _facts(folder / path, status, tuple(sorted(names.get(status.st_ino, ()))))
        for path, status in sorted(seen.items())
    }


def differences(wanted: dict[str, Facts], found: dict[str, Facts]) -> list[str]:
    """Return a line for each difference."""
    lines = [f"{path}: missing" for path in wanted.keys() - found.keys()]
    lines += [f"{path}: was not there" for path in found.keys() - wanted.keys()]
    for path in wanted.keys() & found.keys():
        pairs = zip(Facts._fields, wanted[path], found[path], strict=True)
        lines += [
            f"{path}: {field} {new!r}, was {old!r}" for field, old, new in pairs if old != new
        ]
    return sorted(lines)


def _facts(path: Path, status: os.stat_result, names: tuple[str, ...]) -> Facts:
    is_file = stat.S_ISREG(status.st_mode)
    is_link = stat.S_ISLNK(status.st_mode)
    return Facts(
        mode=status.st_mode,
        owner=(status.st_uid, status.st_gid),
        size=0 if stat.S_ISDIR(status.st_mode) else status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest() if is_file else "",
        runs=_runs(path, status.st_size) if is_file else (),
        target=str(path.readlink()) if is_link else "",
        names=names,
        attributes=_attributes(path),
    )


def _runs(path: Path, size: int) -> tuple[tuple[int, int], ...]:
    """Return (offset, end) of what is data in a file, as opposed to holes."""
    runs = []
    with path.open("rb") as file:
        end = 0
        while end < size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # nothing but a hole follows
                break
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            runs.append((start, end))
    return tuple(runs)


def _attributes(path: Path) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # a file system without any
        return ()
    wanted = sorted(name for name in names if name.startswith("user."))
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in wanted)
