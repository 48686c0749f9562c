from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vaultd.core.errors import ConfigError, KeyringError
from vaultd.crypto.secret import Secret
from vaultd.settings.asked import load_settings
from vaultd.settings.secrets import (
    PassphraseSource,
    SourceKind,
    read_passphrase,
    read_recovery_key,
)
from vaultd.vault.private import GIVEN_LIMIT


def private_file(path: Path, contents: bytes) -> Path:
    path.write_bytes(contents)
    path.chmod(0o600)
    return path


def source(kind: SourceKind, value: object) -> PassphraseSource:
    return PassphraseSource(kind=kind, value=str(value), name="--given")


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (b"a b", b"a b"),
        (b"a b\n", b"a b"),
        (b"a b\r\n", b"a b"),
        (b"a b\n\n", b"a b\n"),
        (b" a ", b" a "),
    ],
)
def test_one_newline_at_the_end_of_a_passphrase_is_not_part_of_it(
    tmp_path: Path, contents: bytes, expected: bytes
) -> None:
    file = private_file(tmp_path / "pass", contents)
    assert Secret(expected) == read_passphrase(source(SourceKind.FILE, file))


def test_a_passphrase_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    file = private_file(tmp_path / "pass", b"x")
    file.chmod(0o640)
    assert Secret(b"x") == read_passphrase(source(SourceKind.FILE, file))
    file.chmod(0o644)
    with pytest.raises(KeyringError, match=r"--given .*lets others") as caught:
        read_passphrase(source(SourceKind.FILE, file))
    assert caught.value.hint is not None


def test_a_passphrase_file_may_be_a_pipe() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe\n")
    os.close(writing)
    try:
        given = source(SourceKind.FILE, f"/dev/fd/{reading}")
        assert Secret(b"from a pipe") == read_passphrase(given)
    finally:
        os.close(reading)


@pytest.mark.parametrize("contents", [b"", b"\n", b"x" * (GIVEN_LIMIT + 1)])
def test_no_passphrase_and_a_giant_one_are_refused(tmp_path: Path, contents: bytes) -> None:
    file = private_file(tmp_path / "pass", contents)
    with pytest.raises((ConfigError, KeyringError)):
        read_passphrase(source(SourceKind.FILE, file))


def test_a_missing_passphrase_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="cannot be read"):
        read_passphrase(source(SourceKind.FILE, tmp_path / "gone"))


def command(code: str) -> str:
    return f"{sys.executable} -c '{code}'"


def test_a_program_prints_the_passphrase_without_a_shell() -> None:
    printing = f'{command("import sys; print(sys.argv[1])")} "$HOME; a b"'
    assert Secret(b"$HOME; a b") == read_passphrase(source(SourceKind.COMMAND, printing))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (command("raise SystemExit(3)"), "code 3"),
        ("/nowhere/at/all", "No such file"),
        ("'unbalanced", "split"),
        ("  ", "names no program"),
        (command("pass"), "empty"),
        (command(f'print("x" * {GIVEN_LIMIT + 1})'), "too long"),
    ],
)
def test_a_program_that_gives_no_passphrase_is_told(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_passphrase(source(SourceKind.COMMAND, line))


def test_a_program_that_never_answers_is_not_waited_for() -> None:
    given = source(SourceKind.COMMAND, command("import time; time.sleep(60)"))
    with pytest.raises(ConfigError, match="no answer"):
        read_passphrase(given, patience_s=0.1)


def test_an_open_descriptor_gives_the_passphrase_and_stays_open() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"by descriptor\n")
    finally:
        os.close(writing)
    try:
        assert Secret(b"by descriptor") == read_passphrase(source(SourceKind.FD, reading))
        os.fstat(reading)
    finally:
        os.close(reading)


@pytest.mark.parametrize("number", ["-1", "three", "999999", "9" * 30])
def test_a_descriptor_that_is_none_is_told(number: str) -> None:
    with pytest.raises(ConfigError, match="cannot read descriptor"):
        read_passphrase(source(SourceKind.FD, number))


def test_the_passphrase_itself_is_taken_and_never_shown() -> None:
    settings = load_settings({"VAULTD_PASSPHRASE": "hunter2"}, uid=0)
    assert settings.passphrase is not None
    assert Secret(b"hunter2") == read_passphrase(settings.passphrase)
    assert "hunter2" not in repr(settings)


def test_a_recovery_key_is_read_as_text(tmp_path: Path) -> None:
    assert read_recovery_key(None) is None
    file = private_file(tmp_path / "key", "wörter\n".encode())
    assert "wörter\n" == read_recovery_key(file)
    file.write_bytes(b"\xff")
    with pytest.raises(KeyringError, match="not text"):
        read_recovery_key(file)
    file.chmod(0o604)
    with pytest.raises(KeyringError, match="lets others"):
        read_recovery_key(file)
