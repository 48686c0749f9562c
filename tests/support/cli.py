"""The real `vaultctl`, as a process of its own: with pipes, or on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

PROGRAM = Path(sys.executable).with_name("vaultctl")
PASSPHRASE = "seven green lamps under water"
LIMIT_S = 60

_WORDS = re.compile(r"^ *(?:\d+ [a-z]+ *){4}$", re.MULTILINE)
_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "COVERAGE_PROCESS_START",
    "COVERAGE_PROCESS_CONFIG",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a run ended, and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        """The last JSON line."""
        return self.lines[-1]

    def of_type(self, message_type: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["message_type"] == message_type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine: a folder of its own, with the state that `vaultctl` keeps."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def variables(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        home = {"HOME": str(self.folder), "VAULTD_STATE_DIR": str(self.state)}
        return kept | home | dict(self.environment)

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        """Start `vaultctl` and return at once."""
        return subprocess.Popen(
            [str(PROGRAM), *map(str, arguments)],
            cwd=self.folder,
            env=self.variables(),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def run(self, *arguments: object, given: bytes | None = None, **options: Any) -> Done:
        """Run `vaultctl` to its end, whatever that is."""
        stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
        process = self.start(*arguments, stdin=stdin, **options)
        out, err = process.communicate(given, timeout=LIMIT_S)
        return Done(code=process.returncode, out=out, err=err.decode())

    def ok(self, *arguments: object, **options: Any) -> Done:
        """Run `vaultctl`, which must succeed."""
        done = self.run(*arguments, **options)
        assert done.code == 0, f"vaultctl {arguments} ended with {done.code}:\n{done.err}"
        return done

    def json(self, *arguments: object, **options: Any) -> Done:
        """Run `vaultctl` with ``--json``, which must succeed and write nothing else."""
        return self.ok(*arguments, "--json", **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home(Machine):
    """A machine with a vault that it made, and the vault's kit."""

    location: str

    @property
    def vault(self) -> Path:
        return self.folder / "vault"

    @property
    def kit(self) -> Path:
        return self.folder / "kit"

    @property
    def words_file(self) -> Path:
        """The words of the paper key in a file: opens without the cost of a passphrase."""
        path = self.folder / "words"
        if not path.exists():
            path.write_text(" ".join(self.words))
            path.chmod(0o600)
        return path

    @property
    def words(self) -> list[str]:
        return words_of(self.kit / "recovery-paper-sheet.txt")

    @property
    def key(self) -> tuple[str, ...]:
        return ("--recovery-key-file", str(self.words_file))

    @property
    def admin(self) -> tuple[str, ...]:
        path = self.folder / "admin-words"
        if not path.exists():
            path.write_text(" ".join(words_of(self.kit / "admin-sheet.txt")))
            path.chmod(0o600)
        return ("--admin-key-file", str(path))

    @property
    def passphrase_file(self) -> Path:
        return self.folder / "passphrase"

    @property
    def fingerprint(self) -> str:
        sheet = (self.kit / "recovery-paper-sheet.txt").read_text()
        match = re.search(r"Fingerprint +(\S+)", sheet)
        assert match is not None
        return match[1]

    def machine(self, name: str, **environment: str) -> Machine:
        """Return another machine, which knows nothing yet."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Machine(folder=folder, environment={**self.environment, **environment})


def words_of(sheet: Path) -> list[str]:
    """Return the 24 words that stand on a sheet."""
    words = [word for row in _WORDS.findall(sheet.read_text()) for word in row.split()[1::2]]
    assert 24 == len(words)
    return words


def make_home(folder: Path, location: str = "", **environment: str) -> Home:
    """Make a vault with `vaultctl init`, on a machine of its own."""
    home = Home(folder=folder, location=location or str(folder / "vault"), environment=environment)
    home.passphrase_file.write_text(PASSPHRASE + "\n")
    home.passphrase_file.chmod(0o600)
    home.ok(
        *("init", "-r", home.location, "--host", "web1", "--label", "tests", "--kit", home.kit),
        *("--passphrase-file", home.passphrase_file),
    )
    return home


class Terminal:
    """A run on a terminal of its own: types, and waits for what appears; a context manager."""

    def __init__(self, machine: Machine, *arguments: object, columns: int = 100) -> None:
        self._controller, terminal = pty.openpty()
        environment = machine.variables() | {
            "TERM": "xterm",
            "COLUMNS": str(columns),
            "LINES": "30",
        }
        self.process = subprocess.Popen(
            [str(PROGRAM), *map(str, arguments)],
            cwd=machine.folder,
            env=environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            close_fds=True,
        )
        os.close(terminal)
        self.shown = ""
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._controller)

    def wait_for(self, text: str) -> None:
        """Wait until a text appears after the one that was waited for last."""
        give_up = time.monotonic() + LIMIT_S
        while text not in self.shown[self._seen :]:
            assert self._read(give_up), f"{text!r} never appeared in:\n{self.shown}"
        self._seen = self.shown.index(text, self._seen) + len(text)

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._controller, f"{text}\n".encode())

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read(time.monotonic() + LIMIT_S):
            pass
        return self.process.wait(LIMIT_S)

    def _read(self, give_up_s: float) -> bool:
        left = give_up_s - time.monotonic()
        if left <= 0 or not select.select([self._controller], [], [], left)[0]:
            return False
        try:
            piece = os.read(self._controller, 65536)
        except OSError:  # the other side was closed
            return False
        self.shown += piece.decode(errors="replace")
        return bool(piece)
