"""Secrets that are given by reference: where they come from, and reading them."""

from __future__ import annotations

import os
import re
import shlex
from enum import StrEnum
from pathlib import Path

from vaultd.core.errors import ConfigError, KeyringError
from vaultd.core.values import Veiled
from vaultd.crypto.secret import Secret
from vaultd.vault.private import GIVEN_LIMIT, read_given

_PATIENCE_S = 300  # a person may have to unlock something


class SourceKind(StrEnum):
    """How a passphrase is given."""

    FILE = "file"
    COMMAND = "command"
    FD = "descriptor"
    TEXT = "text"


class PassphraseSource(Veiled, frozen=True, kw_only=True):
    """Where a passphrase comes from.

    Attributes:
        kind: How it is given.
        value: Path, command line, number of the descriptor, or the passphrase itself.
        name: The option or variable that said so.
    """

    kind: SourceKind
    value: str
    name: str


def read_passphrase(source: PassphraseSource, *, patience_s: float = _PATIENCE_S) -> Secret:
    """Return the passphrase that a source gives, without one newline at its end.

    Args:
        source: Where it comes from.
        patience_s: How long to wait for a program to print it.

    Raises:
        ConfigError: The program or descriptor gives none.
        KeyringError: The file is not there, or everybody can read it.
    """
    if source.kind is SourceKind.FILE:
        contents = read_given(Path(source.value), what=source.name)
    elif source.kind is SourceKind.COMMAND:
        contents = _output_of(source, patience_s)
    elif source.kind is SourceKind.FD:
        contents = _read_descriptor(source)
    else:
        contents = os.fsencode(source.value)
    contents = re.sub(rb"\r?\n\Z", b"", contents)
    if not contents:
        raise ConfigError(f"{source.name}: gives an empty passphrase")
    return Secret(contents)


def read_recovery_key(path: Path | None) -> str | None:
    """Return the text of the recovery key that was named, or ``None`` when none was.

    Args:
        path: A key file, or a text with words.

    Raises:
        KeyringError: It is not there, not text, or everybody can read it.
    """
    if path is None:
        return None
    contents = read_given(path, what="recovery key")
    try:
        return contents.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise KeyringError(f"recovery key {path}: is not text") from exc


def _output_of(source: PassphraseSource, patience_s: float) -> bytes:
    try:
        words = shlex.split(source.value)
    except ValueError as exc:
        raise ConfigError(f"{source.name}: cannot be split into words: {exc}") from exc
    if not words:
        raise ConfigError(f"{source.name}: names no program")
    import subprocess  # noqa: PLC0415 - seldom wanted, and every start would pay

    try:
        # No shell; its standard error and terminal are ours, so that it can ask.
        done = subprocess.run(  # noqa: S603 - the user's own program, split by shlex
            words, stdout=subprocess.PIPE, timeout=patience_s, check=False
        )
    except OSError as exc:
        raise ConfigError(f"{source.name}: {words[0]}: {exc.strerror}") from exc
    except subprocess.TimeoutExpired as exc:
        raise ConfigError(f"{source.name}: {words[0]}: no answer in {patience_s:.0f} s") from exc
    if done.returncode != 0:
        raise ConfigError(f"{source.name}: {words[0]}: ended with code {done.returncode}")
    return _limited(done.stdout, source.name)


def _read_descriptor(source: PassphraseSource) -> bytes:
    try:
        # Kept below 2**31, or `open` takes the number for something else.
        number = min(int(source.value), (1 << 31) - 1)
        with os.fdopen(number, "rb", closefd=False) as file:
            return _limited(file.read(GIVEN_LIMIT + 1), source.name)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"{source.name}: cannot read descriptor {source.value}",
            hint="Open it for reading, as in --passphrase-fd 3 3< FILE.",
        ) from exc


def _limited(contents: bytes, name: str) -> bytes:
    if len(contents) > GIVEN_LIMIT:
        raise ConfigError(f"{name}: more than {GIVEN_LIMIT} bytes, too long for a secret")
    return contents
