from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vaultd.backends.s3.options import Addressing, Conditional
from vaultd.core.errors import ConfigError, KeyringError
from vaultd.crypto.secret import Secret
from vaultd.settings import (
    PassphraseSource,
    S3Settings,
    Settings,
    SourceKind,
    Typed,
    load_settings,
    read_passphrase,
    read_recovery_key,
)
from vaultd.vault.private import GIVEN_LIMIT

HOME = {"HOME": "/home/ada"}


def load(typed: Typed | None = None, **environment: str) -> Settings:
    return load_settings({**HOME, **environment}, typed, uid=1000)


def private_file(path: Path, contents: bytes) -> Path:
    path.write_bytes(contents)
    path.chmod(0o600)
    return path


def test_nothing_asked_for_gives_defaults() -> None:
    expected = Settings(
        vault=None,
        state_dir=Path("/home/ada/.local/state/vaultd"),
        recovery_key_file=None,
        passphrase=None,
        fingerprint=None,
        host_key_file=None,
        keeper_key_file=None,
        limit_upload_bytes_s=None,
        limit_download_bytes_s=None,
        s3=S3Settings(),
    )
    assert expected == load()


def test_every_variable_is_heard(tmp_path: Path) -> None:
    settings = load(
        VAULTD_VAULT="/srv/vault",
        VAULTD_STATE_DIR="/var/state",
        VAULTD_RECOVERY_KEY_FILE="/media/usb/key",
        VAULTD_PASSPHRASE_FILE="/run/pass",
        VAULTD_FINGERPRINT="abcd-efgh",
        VAULTD_HOST_KEY_FILE="/run/host",
        VAULTD_KEEPER_KEY_FILE="/run/keeper",
        VAULTD_CACERT="/etc/ca.pem",
        VAULTD_INSECURE_TLS="1",
        VAULTD_LIMIT_UPLOAD="10M",
        VAULTD_LIMIT_DOWNLOAD="1.5MiB/s",
        VAULTD_S3_ENDPOINT="https://s3.example",
        VAULTD_S3_REGION="eu-central-1",
        VAULTD_S3_ADDRESSING="virtual",
        VAULTD_S3_CONDITIONAL="none",
        VAULTD_S3_STORAGE_CLASS="STANDARD_IA",
        VAULTD_S3_PROFILE="backup",
    )
    expected = Settings(
        vault="/srv/vault",
        state_dir=Path("/var/state"),
        recovery_key_file=Path("/media/usb/key"),
        passphrase=PassphraseSource(
            kind=SourceKind.FILE, value="/run/pass", name="VAULTD_PASSPHRASE_FILE"
        ),
        fingerprint="abcd-efgh",
        host_key_file=Path("/run/host"),
        keeper_key_file=Path("/run/keeper"),
        limit_upload_bytes_s=10 << 20,
        limit_download_bytes_s=3 << 19,
        s3=S3Settings(
            endpoint="https://s3.example",
            region="eu-central-1",
            addressing=Addressing.DNS,
            conditional=Conditional.NONE,
            storage_class="STANDARD_IA",
            profile="backup",
            ca_bundle="/etc/ca.pem",
            insecure_tls=True,
        ),
    )
    assert expected == settings


def test_what_was_typed_goes_before_variables() -> None:
    settings = load(
        Typed(
            vault="/typed",
            passphrase_fd=3,
            insecure_tls=True,
            s3_addressing="path",
            limit_upload="1K",
        ),
        VAULTD_VAULT_FILE="/nowhere",
        VAULTD_PASSPHRASE="from the environment",
        VAULTD_INSECURE_TLS="0",
        VAULTD_S3_ADDRESSING="dns",
        VAULTD_LIMIT_UPLOAD="1G",
    )
    assert "/typed" == settings.vault
    assert PassphraseSource(kind=SourceKind.FD, value="3", name="--passphrase-fd") == (
        settings.passphrase
    )
    assert (True, Addressing.PATH) == (settings.s3.insecure_tls, settings.s3.addressing)
    assert 1024 == settings.limit_upload_bytes_s


@pytest.mark.parametrize(
    ("typed", "environment"),
    [
        (Typed(vault="/a", vault_file="/b"), {}),
        (Typed(passphrase_file="/a", passphrase_fd=3), {}),
        (None, {"VAULTD_VAULT": "/a", "VAULTD_VAULT_FILE": "/b"}),
        (None, {"VAULTD_PASSPHRASE": "a", "VAULTD_PASSPHRASE_FILE": "/b"}),
        (None, {"VAULTD_PASSPHRASE_COMMAND": "a", "VAULTD_PASSPHRASE_FD": "3"}),
    ],
)
def test_two_sources_of_one_thing_are_refused(
    typed: Typed | None, environment: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match="are both given"):
        load_settings(environment, typed, uid=0)


def test_empty_variables_are_as_good_as_unset() -> None:
    assert load() == load(VAULTD_VAULT="", VAULTD_PASSPHRASE="", VAULTD_S3_REGION="")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VAULTD_S3_ADDRESSING", "sideways"),
        ("VAULTD_S3_CONDITIONAL", "maybe"),
        ("VAULTD_INSECURE_TLS", "perhaps"),
        ("VAULTD_LIMIT_UPLOAD", "fast"),
        ("VAULTD_LIMIT_DOWNLOAD", "0"),
        ("VAULTD_VAULT_FILE", "/nowhere/at/all"),
    ],
)
def test_values_that_cannot_be_are_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError):
        load_settings({name: value}, uid=0)


def test_a_file_may_say_where_the_vault_lies(tmp_path: Path) -> None:
    file = tmp_path / "vault"
    file.write_text("s3://bucket/prefix\n")
    assert "s3://bucket/prefix" == load(Typed(vault_file=str(file))).vault
    for wrong in (b"", b"a\nb\n", b"\xff"):
        file.write_bytes(wrong)
        with pytest.raises(ConfigError):
            load(VAULTD_VAULT_FILE=str(file))


@pytest.mark.parametrize(
    ("expected", "uid", "environment"),
    [
        ("/given", 0, {"VAULTD_STATE_DIR": "/given", "STATE_DIRECTORY": "/systemd"}),
        ("/systemd", 0, {"STATE_DIRECTORY": "/systemd:/second"}),
        ("/var/lib/vaultd", 0, {"XDG_STATE_HOME": "/xdg"}),
        ("/xdg/vaultd", 1000, {"XDG_STATE_HOME": "/xdg"}),
        ("/home/ada/.local/state/vaultd", 1000, {"XDG_STATE_HOME": "relative"}),
    ],
)
def test_the_state_folder_is_found_in_order(
    expected: str, uid: int, environment: dict[str, str]
) -> None:
    assert Path(expected) == load_settings(HOME | environment, uid=uid).state_dir


def test_a_relative_state_folder_is_made_absolute() -> None:
    assert Path.cwd() / "state" == load(VAULTD_STATE_DIR="state").state_dir


def test_without_home_the_users_own_is_taken_and_a_stranger_is_told() -> None:
    settings = load_settings({}, uid=1)
    assert settings.state_dir.is_relative_to("/")
    with pytest.raises(ConfigError, match="no home folder"):
        load_settings({}, uid=4_000_000_000)


def test_the_user_of_the_process_is_the_default() -> None:
    assert load_settings(HOME, uid=os.geteuid()) == load_settings(HOME)


def test_credentials_of_systemd_are_taken_when_there(tmp_path: Path) -> None:
    (tmp_path / "vaultd-host-key").touch()
    settings = load(CREDENTIALS_DIRECTORY=str(tmp_path))
    assert (tmp_path / "vaultd-host-key", None) == (
        settings.host_key_file,
        settings.keeper_key_file,
    )
    named = load(CREDENTIALS_DIRECTORY=str(tmp_path), VAULTD_HOST_KEY_FILE="/else")
    assert Path("/else") == named.host_key_file


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
    settings = load(VAULTD_PASSPHRASE="hunter2")
    assert settings.passphrase is not None
    assert Secret(b"hunter2") == read_passphrase(settings.passphrase)
    assert "hunter2" not in repr(settings)


def test_a_recovery_key_is_read_as_text(tmp_path: Path) -> None:
    assert read_recovery_key(load()) is None
    file = private_file(tmp_path / "key", "wörter\n".encode())
    settings = load(Typed(recovery_key_file=str(file)))
    assert "wörter\n" == read_recovery_key(settings)
    file.write_bytes(b"\xff")
    with pytest.raises(KeyringError, match="not text"):
        read_recovery_key(settings)
    file.chmod(0o604)
    with pytest.raises(KeyringError, match="lets others"):
        read_recovery_key(settings)
