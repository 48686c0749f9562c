from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaultd.backends.s3.options import Addressing, Conditional
from vaultd.core.errors import ConfigError
from vaultd.settings.asked import S3Settings, Settings, Typed, load_settings
from vaultd.settings.file import ConfigFile, VaultTable
from vaultd.settings.secrets import PassphraseSource, SourceKind

HOME = {"HOME": "/home/ada"}


def load(typed: Typed | None = None, **environment: str) -> Settings:
    return load_settings({**HOME, **environment}, typed, uid=1000)


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


def test_the_configuration_file_is_looked_for_where_it_was_said(tmp_path: Path) -> None:
    file = tmp_path / "vaultd.toml"
    file.write_text('[vault]\nlocation = "/from/file"\n')
    assert "/from/file" == load(VAULTD_CONFIG=str(file)).vault
    assert "/from/file" == load(Typed(config=str(file)), VAULTD_CONFIG="/nowhere").vault
    assert "/said" == load(VAULTD_CONFIG=str(file), VAULTD_VAULT="/said").vault


def test_the_users_own_configuration_file_is_taken_when_there(tmp_path: Path) -> None:
    folder = tmp_path / ".config/vaultd"
    folder.mkdir(parents=True)
    assert ConfigFile() == load(HOME=str(tmp_path)).config
    (folder / "vaultd.toml").write_text('[vault]\nlocation = "/mine"\n')
    assert ConfigFile(vault=VaultTable(location="/mine")) == load(HOME=str(tmp_path)).config


def test_a_configuration_file_that_was_named_must_be_there() -> None:
    with pytest.raises(ConfigError, match="config /nowhere: cannot be read"):
        load(VAULTD_CONFIG="/nowhere")
