"""What a person or a service manager asked for.

Options go first, then the environment, then the configuration file, then defaults. This module
alone reads the environment.

=========================== ====================================================================
variable                    meaning
=========================== ====================================================================
``VAULTD_VAULT``            where the vault lies (``_FILE``: a file that says so)
``VAULTD_CONFIG``           the configuration file; see `vaultd.settings.file`
``VAULTD_STATE_DIR``        what this machine remembers
``VAULTD_RECOVERY_KEY_FILE`` a recovery key: a key file, or a text with the 24 words
``VAULTD_PASSPHRASE_FILE``  a file that holds the passphrase of a key file
``VAULTD_PASSPHRASE_COMMAND`` a program that prints it; run without a shell
``VAULTD_PASSPHRASE_FD``    an open descriptor to read it from
``VAULTD_PASSPHRASE``       the passphrase itself; weaker, other processes of the user can see it
``VAULTD_FINGERPRINT``      the admin key's fingerprint, as on the recovery sheet
``VAULTD_HOST_KEY_FILE``    this host's signing key, when not in the state folder
``VAULTD_KEEPER_KEY_FILE``  this keeper's signing key, likewise
``VAULTD_CACERT``           certificates to trust for the storage
``VAULTD_INSECURE_TLS``     ``1``: do not check certificates, allow plain http
``VAULTD_LIMIT_UPLOAD``     at most so many bytes a second, such as ``10M``
``VAULTD_LIMIT_DOWNLOAD``   the same for reading
``VAULTD_S3_ENDPOINT``      server of ``s3://BUCKET``; AWS when not set
``VAULTD_S3_REGION``        region to sign requests for
``VAULTD_S3_ADDRESSING``    ``auto``, ``path`` or ``virtual``: where the bucket's name goes
``VAULTD_S3_CONDITIONAL``   ``header`` or ``none``; see `vaultd.backends.s3.options`
``VAULTD_S3_STORAGE_CLASS`` for big objects
``VAULTD_S3_PROFILE``       section of the AWS settings to use
=========================== ====================================================================

Of systemd, ``STATE_DIRECTORY`` and ``CREDENTIALS_DIRECTORY`` (credentials ``vaultd-host-key`` and
``vaultd-keeper-key``) are looked at.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from vaultd.backends.s3.options import Addressing, Conditional
from vaultd.backends.versions import LockRule
from vaultd.core.errors import ConfigError
from vaultd.core.units import parse_size
from vaultd.settings.file import ConfigFile, read_config
from vaultd.settings.secrets import PassphraseSource, SourceKind

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Typed(Struct, frozen=True, kw_only=True):
    """What was typed on the command line; ``None`` where nothing was.

    The fields are options by their names; each goes before the variable of the same meaning.
    """

    vault: str | None = None
    vault_file: str | None = None
    config: str | None = None
    state_dir: str | None = None
    recovery_key_file: str | None = None
    passphrase_file: str | None = None
    passphrase_command: str | None = None
    passphrase_fd: int | None = None
    fingerprint: str | None = None
    cacert: str | None = None
    insecure_tls: bool | None = None
    limit_upload: str | None = None
    limit_download: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_addressing: str | None = None


class S3Settings(Struct, frozen=True, kw_only=True):
    """How to reach S3-compatible storage; see `vaultd.backends.s3.options.S3Options`."""

    endpoint: str | None = None
    region: str | None = None
    addressing: Addressing = Addressing.AUTO
    conditional: Conditional = Conditional.HEADER
    storage_class: str | None = None
    profile: str | None = None
    ca_bundle: str | None = None
    insecure_tls: bool = False
    lock: LockRule | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that was asked for.

    Attributes:
        vault: Where the vault lies, as `vaultd.wiring` understands it; ``None``: nobody said.
        state_dir: Folder of what this machine remembers.
        recovery_key_file: A key file or a text with words.
        passphrase: Where the passphrase of a key file comes from.
        fingerprint: Of the admin key, as on the recovery sheet.
        host_key_file: This host's signing key, when not in the state folder.
        keeper_key_file: This keeper's signing key, likewise.
        limit_upload_bytes_s: Most bytes to put in a second; ``None``: no limit.
        limit_download_bytes_s: Most bytes to get in a second; ``None``: no limit.
        s3: How to reach S3-compatible storage.
        config: What the configuration file says, as it says it.
    """

    vault: str | None
    state_dir: Path
    recovery_key_file: Path | None
    passphrase: PassphraseSource | None
    fingerprint: str | None
    host_key_file: Path | None
    keeper_key_file: Path | None
    limit_upload_bytes_s: int | None
    limit_download_bytes_s: int | None
    s3: S3Settings
    config: ConfigFile = ConfigFile()


def load_settings(
    environment: Mapping[str, str], typed: Typed | None = None, *, uid: int | None = None
) -> Settings:
    """Gather what was asked for.

    Args:
        environment: Variables of the process.
        typed: Options of the command line.
        uid: User to choose defaults for; the process's by default.

    Raises:
        ConfigError: A value cannot be used, or two sources of one thing are given.
    """
    asked = _Asked(environment, Typed() if typed is None else typed)
    key_file = asked.text("recovery_key_file")
    user = os.geteuid() if uid is None else uid
    config = _config(asked, user)
    return Settings(
        vault=_vault(asked) or config.vault.location,
        state_dir=_state_dir(asked, user),
        recovery_key_file=Path(key_file) if key_file else None,
        passphrase=_passphrase(asked),
        fingerprint=asked.text("fingerprint"),
        host_key_file=_signing_key(asked, "host"),
        keeper_key_file=_signing_key(asked, "keeper"),
        limit_upload_bytes_s=_limit(asked, "limit_upload"),
        limit_download_bytes_s=_limit(asked, "limit_download"),
        s3=_s3(asked, config),
        config=config,
    )


class _Asked:
    """Options and variables together: an option goes before the variable of its name."""

    def __init__(self, environment: Mapping[str, str], typed: Typed) -> None:
        self.environment = environment
        self._typed = {name: value for name, value in asdict(typed).items() if value is not None}

    def find(self, name: str) -> tuple[str, str] | None:
        """Return the value of an option and what gave it; ``None`` when nobody did."""
        if name in self._typed:
            return str(self._typed[name]), f"--{name.replace('_', '-')}"
        variable = f"VAULTD_{name.upper()}"
        value = self.environment.get(variable, "")
        return (value, variable) if value else None

    def text(self, name: str) -> str | None:
        """Return the value of an option; ``None`` when nobody gave it."""
        found = self.find(name)
        return None if found is None else found[0]

    def one_of(self, *names: str) -> tuple[str, str, str] | None:
        """Return name, value and giver of the one option that is given among some.

        Options of the command line go before variables, all of them together.

        Raises:
            ConfigError: Two are given at the same level.
        """
        found = [(name, *value) for name in names if (value := self.find(name)) is not None]
        typed = [entry for entry in found if entry[0] in self._typed]
        level = typed or found
        if len(level) > 1:
            givers = " and ".join(giver for _, _, giver in level)
            raise ConfigError(f"{givers} are both given", hint="Give one of them.")
        return level[0] if level else None


def _vault(asked: _Asked) -> str | None:
    found = asked.one_of("vault", "vault_file")
    if found is None:
        return None
    name, value, giver = found
    if name == "vault":
        return value
    try:
        text = Path(value).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{giver} {value}: cannot be read: {exc}") from exc
    if not text or "\n" in text:
        raise ConfigError(f"{giver} {value}: expected one line, the vault's location")
    return text


def _config(asked: _Asked, uid: int) -> ConfigFile:
    given = asked.text("config")
    if given is not None:
        return read_config(Path(given))
    usual = Path("/etc/vaultd") if uid == 0 else _xdg(asked, uid, "XDG_CONFIG_HOME", ".config")
    path = usual / "vaultd.toml"
    return read_config(path) if path.exists() else ConfigFile()


def _state_dir(asked: _Asked, uid: int) -> Path:
    given = asked.text("state_dir")
    # systemd lists several folders separated by colons; ours is the first.
    systemd = asked.environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if given or systemd:
        return Path(given or systemd).absolute()
    if uid == 0:
        return Path("/var/lib/vaultd")
    return _xdg(asked, uid, "XDG_STATE_HOME", ".local/state")


def _xdg(asked: _Asked, uid: int, variable: str, default: str) -> Path:
    """Return our folder of a kind, as the XDG base directory specification has it."""
    folder = asked.environment.get(variable, "")
    if folder.startswith("/"):  # others are invalid, it says
        return Path(folder) / "vaultd"
    return Path(asked.environment.get("HOME") or _home_of(uid)) / default / "vaultd"


def _home_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError as exc:
        raise ConfigError(
            f"user {uid} has no home folder", hint="Name a state folder with --state-dir."
        ) from exc


def _passphrase(asked: _Asked) -> PassphraseSource | None:
    kinds = {
        "passphrase_file": SourceKind.FILE,
        "passphrase_command": SourceKind.COMMAND,
        "passphrase_fd": SourceKind.FD,
        "passphrase": SourceKind.TEXT,
    }
    found = asked.one_of(*kinds)
    if found is None:
        return None
    name, value, giver = found
    return PassphraseSource(kind=kinds[name], value=value, name=giver)


def _signing_key(asked: _Asked, role: str) -> Path | None:
    given = asked.text(f"{role}_key_file")
    if given is not None:
        return Path(given)
    folder = asked.environment.get("CREDENTIALS_DIRECTORY", "")
    credential = Path(folder) / f"vaultd-{role}-key"
    return credential if folder and credential.exists() else None


def _limit(asked: _Asked, name: str) -> int | None:
    found = asked.find(name)
    if found is None:
        return None
    value, giver = found
    limit = parse_size(value.removesuffix("/s"))
    if limit < 1:
        raise ConfigError(f"{giver}: {value!r} lets nothing through", hint="Leave it out instead.")
    return limit


def _s3(asked: _Asked, config: ConfigFile) -> S3Settings:
    lock = config.vault.lock
    # boto3's name for it, and the one in S3Options.
    addressing = {"virtual": Addressing.DNS} | {entry.value: entry for entry in Addressing}
    conditional = {entry.value: entry for entry in Conditional}
    insecure = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
    return S3Settings(
        endpoint=asked.text("s3_endpoint"),
        region=asked.text("s3_region"),
        addressing=_choice(asked, "s3_addressing", addressing, default=Addressing.AUTO),
        conditional=_choice(asked, "s3_conditional", conditional, default=Conditional.HEADER),
        storage_class=asked.text("s3_storage_class"),
        profile=asked.text("s3_profile"),
        ca_bundle=asked.text("cacert"),
        insecure_tls=_choice(asked, "insecure_tls", insecure, default=False),
        lock=None if lock is None else lock.options().rule,
    )


V = TypeVar("V")


def _choice(asked: _Asked, name: str, choices: Mapping[str, V], *, default: V) -> V:
    found = asked.find(name)
    if found is None:
        return default
    value, giver = found
    if value.lower() not in choices:
        raise ConfigError(f"{giver}: {value!r}, expected one of {', '.join(choices)}")
    return choices[value.lower()]
