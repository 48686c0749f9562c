"""The programs that are compared: how each makes a vault, backs up, restores and checks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from perf.measuring import Command, extent_of

PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one vault of one program lies, and what belongs to it.

    Attributes:
        folder: A folder of its own for keys, caches, and for a local vault.
        bucket: URL of a prefix in a bucket, without the program's own beginning; empty: local.
        secrets: Variables with the bucket's keys.
    """

    folder: Path
    bucket: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)

    @property
    def vault(self) -> Path:
        """The folder of a local vault."""
        return self.folder / "vault"

    @property
    def location(self) -> str:
        """The vault as restic and vaultctl name it."""
        return f"s3:{self.bucket}" if self.bucket else str(self.vault)

    def stored_bytes(self) -> int:
        """Return the bytes of a local vault; 0 for a bucket."""
        if self.bucket:
            return 0
        return extent_of(self.vault)[1] if self.vault.is_dir() else self.vault.stat().st_size


class Program(Protocol):
    """A program that backs up.

    Attributes:
        name: In results.
        jobs: Kinds of job that it takes part in.
    """

    name: str
    jobs: frozenset[str]

    def version(self) -> str | None:
        """Return its version, ``None`` when it is not here or does not run."""

    def make(self, place: Place) -> Sequence[Command]:
        """Return what makes an empty vault; not measured."""

    def back_up(self, place: Place, source: Path, *, first: bool) -> Command:
        """Return what backs up a folder."""

    def restore(self, place: Place, source: Path, target: Path) -> Command:
        """Return what restores the newest snapshot, with the source's path below the target."""

    def check(self, place: Place) -> Command:
        """Return what reads and proves every byte."""


class Vaultctl:
    """Our own, through its command line; the words of a recovery key open the vault."""

    name = "vaultd"
    jobs = frozenset({"full", "cold", "unchanged", "changed", "restore", "check", "s3"})

    def __init__(self, program: str | None = None) -> None:
        self.program = program or str(Path(sys.executable).with_name("vaultctl"))

    def version(self) -> str | None:
        """Return the version."""
        return _version([self.program, "version"])

    def make(self, place: Place) -> Sequence[Command]:
        """Return `init`, and what takes the words from the sheet that it makes."""
        passphrase = place.folder / "passphrase"
        passphrase.touch(mode=0o600)
        passphrase.write_text(PASSPHRASE, encoding="ascii")
        kit = place.folder / "kit"
        options = ["--kit", str(kit), "--passphrase-file", str(passphrase)]
        take = [sys.executable, "-m", "perf.programs", str(kit), str(self._words(place))]
        root = Path(__file__).parents[1]
        return [self.command(place, "init", *options), Command(argv=take, folder=root)]

    def back_up(self, place: Place, source: Path, *, first: bool) -> Command:  # noqa: ARG002 - the kind is chosen
        """Return `backup`."""
        return self.command(place, "backup", str(source))

    def restore(self, place: Place, source: Path, target: Path) -> Command:  # noqa: ARG002 - all of it
        """Return `restore latest`."""
        return self.read(place, "restore", "latest", "--target", str(target))

    def check(self, place: Place) -> Command:
        """Return `check --read-data`."""
        return self.read(place, "check", "--read-data")

    def read(self, place: Place, *arguments: str) -> Command:
        """Return a command that is given the recovery key."""
        words = ["--recovery-key-file", str(self._words(place))]
        return self.command(place, *arguments, *words)

    def command(self, place: Place, *arguments: str) -> Command:
        """Return a command on a vault.

        Args:
            place: The vault.
            arguments: Command and options.
        """
        state = ["--state-dir", str(place.folder / "state")]
        argv = [self.program, *arguments, "-r", place.location, *state]
        return Command(argv=argv, environment=place.secrets)

    @staticmethod
    def _words(place: Place) -> Path:
        return place.folder / "words"


class Restic:
    """restic: without its cache, but for runs that have an earlier one to compare with."""

    name = "restic"
    jobs = frozenset({"full", "cold", "unchanged", "changed", "restore", "check", "s3"})

    def version(self) -> str | None:
        """Return the version."""
        return _version(["restic", "version"])

    def make(self, place: Place) -> Sequence[Command]:
        """Return `init`."""
        return [self._command(place, "init", "--no-cache")]

    def back_up(self, place: Place, source: Path, *, first: bool) -> Command:
        """Return `backup`."""
        cache = ["--no-cache"] if first else ["--cache-dir", str(place.folder / "cache")]
        return self._command(place, "backup", *cache, str(source))

    def restore(self, place: Place, source: Path, target: Path) -> Command:  # noqa: ARG002 - all of it
        """Return `restore latest`."""
        return self._command(place, "restore", "latest", "--no-cache", "--target", str(target))

    def check(self, place: Place) -> Command:
        """Return `check --read-data`."""
        return self._command(place, "check", "--read-data", "--no-cache")

    @staticmethod
    def _command(place: Place, *arguments: str) -> Command:
        environment = {"RESTIC_PASSWORD": PASSPHRASE, **place.secrets}
        return Command(argv=["restic", "-r", place.location, *arguments], environment=environment)


class Borg:
    """borg 1: local only."""

    name = "borg"
    jobs = frozenset({"full", "unchanged", "restore", "check"})

    def version(self) -> str | None:
        """Return the version."""
        return _version(["borg", "--version"])

    def make(self, place: Place) -> Sequence[Command]:
        """Return `init`."""
        return [self._command(place, "init", "-e", "repokey-blake2", str(place.vault))]

    def back_up(self, place: Place, source: Path, *, first: bool) -> Command:  # noqa: ARG002 - all alike
        """Return `create`."""
        return self._command(place, "create", f"{place.vault}::{{now:%H%M%S.%f}}", str(source))

    def restore(self, place: Place, source: Path, target: Path) -> Command:
        """Return `extract` of the newest, which is found first."""
        script = 'borg extract "$0::$(borg list --last 1 --short "$0")" "${1#/}"'
        argv = ["sh", "-c", script, str(place.vault), str(source)]
        return Command(argv=argv, environment=self._environment(place), folder=target)

    def check(self, place: Place) -> Command:
        """Return `check --verify-data`."""
        return self._command(place, "check", "--verify-data", str(place.vault))

    def _command(self, place: Place, *arguments: str) -> Command:
        return Command(argv=["borg", *arguments], environment=self._environment(place))

    @staticmethod
    def _environment(place: Place) -> dict[str, str]:
        return {"BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place.folder)}


class TarZstd:
    """``tar | zstd -3 -T2`` to a file: no encryption, no deduplication, nothing flushed to disk."""

    name = "tar|zstd"
    jobs = frozenset({"full", "cold"})

    def version(self) -> str | None:
        """Return the version of zstd."""
        return _version(["zstd", "--version"]) if shutil.which("tar") else None

    def make(self, place: Place) -> Sequence[Command]:  # noqa: ARG002 - a file needs no making
        """Return nothing."""
        return []

    def back_up(self, place: Place, source: Path, *, first: bool) -> Command:  # noqa: ARG002 - all alike
        """Return both in a pipe."""
        script = 'tar -C "${0%/*}" -cf - "${0##*/}" | zstd -3 -T2 -q -o "$1"'
        return Command(argv=["sh", "-c", script, str(source), str(place.vault)])

    def restore(self, place: Place, source: Path, target: Path) -> Command:
        """Return both the other way round, below the source's path."""
        below = target / source.parent.relative_to("/")
        script = 'mkdir -p "$1" && zstd -dcq "$0" | tar -C "$1" -xf -'
        return Command(argv=["sh", "-c", script, str(place.vault), str(below)])

    def check(self, place: Place) -> Command:
        """Return `zstd -t`."""
        return Command(argv=["zstd", "-tq", str(place.vault)])


def programs() -> list[Program]:
    """Return our own program and its peers, whether they are here or not."""
    return [Vaultctl(), Restic(), Borg(), TarZstd()]


def _version(argv: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, check=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\d+(?:\.\d+)+", done.stdout)
    return found[0] if found else done.stdout.strip()


def words_of(sheet: str) -> str:
    """Return the 24 words of a recovery sheet, in order.

    Raises:
        ValueError: They are not there.
    """
    numbered = re.findall(r"(?:^|\s)(\d{1,2}) ([a-z]{3,8})(?=\s|$)", sheet)
    words = {int(number): word for number, word in numbered}
    if sorted(words) != list(range(1, 25)):
        raise ValueError(f"the sheet has {len(words)} numbered words, expected 24")
    return " ".join(words[number] for number in sorted(words))


def main() -> None:
    """Take the words from a kit: ``python -m perf.programs KIT WORDS``."""
    kit, words = map(Path, sys.argv[1:])
    words.touch(mode=0o600)
    sheet = (kit / "recovery-paper-sheet.txt").read_text(encoding="utf-8")
    words.write_text(words_of(sheet), encoding="ascii")


if __name__ == "__main__":
    main()
