"""Keys from the hands of people: a file, words, a passphrase; asked for where somebody is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vaultctl import prompts
from vaultctl.context import App
from vaultd.core.errors import ConfigError, KeyringError
from vaultd.settings.secrets import read_recovery_key
from vaultd.vault.keyring import ReadKeys, unlock
from vaultd.vault.sheets import admin_signer, needs_passphrase, recovery_seed
from vaultd.vault.trust import Trust
from vaultd.wiring.keys import Secret, Signer
from vaultd.wiring.storage import Backend

_TRIES = 3
_SHEET_ROW = re.compile(r"^ *(?:[0-9]+ [a-z]+ *){4}$", re.MULTILINE)

T = TypeVar("T")


def read_keys(app: App, backend: Backend, trust: Trust) -> ReadKeys:
    """Return what the recovery key opens: that which was given, or one that is asked for.

    Args:
        app: The run.
        backend: Where the vault lies.
        trust: Its trust.

    Raises:
        KeyringError: None was given and nobody can be asked, or it opens nothing.
    """

    def use(seed: bytes) -> ReadKeys:
        found = unlock(backend, trust, seed)
        for damage in found.damaged:
            app.output.warn(damage)
        return found

    return with_recovery_key(app, trust, use)


def given_keys(app: App, backend: Backend, trust: Trust) -> ReadKeys | None:
    """Return what the recovery key opens that was given; ``None`` when none was.

    Raises:
        KeyringError: It opens nothing.
    """
    if app.settings.recovery_key_file is None:
        return None
    return read_keys(app, backend, trust)


def with_recovery_key(app: App, trust: Trust, use: Callable[[bytes], T]) -> T:
    """Use the recovery key: that which was given, or one that is asked for.

    Args:
        app: The run.
        trust: The vault's.
        use: Takes the seed; when it raises `KeyringError`, who is asked may try again.

    Raises:
        KeyringError: None was given and nobody can be asked, or it is no good.
    """
    text = read_recovery_key(app.settings.recovery_key_file)
    return _with_key(
        app,
        "recovery key",
        text,
        lambda key, passphrase: use(recovery_seed(key, passphrase, trust.vault_id)),
    )


def admin_key(app: App, trust: Trust, key_file: str | None) -> Signer:
    """Return the admin key.

    Args:
        app: The run.
        trust: The vault's.
        key_file: The file that the option named; ``None`` asks.

    Raises:
        KeyringError: None was given and nobody can be asked, or it is not this vault's.
    """
    text = None if key_file is None else _text_of(key_file)
    return _with_key(
        app, "admin key", text, lambda key, passphrase: admin_signer(key, passphrase, trust)
    )


def new_passphrase(app: App) -> Secret:
    """Return the passphrase for new key files: as given, or asked for twice.

    Raises:
        ConfigError: None was given and nobody can be asked, or it is too short.
    """
    secret = app.passphrase
    if secret is not None:
        prompts.check_new_passphrase(secret.reveal().decode("utf-8", "replace"))
        return secret
    if not prompts.can_ask():
        raise ConfigError(
            "a passphrase for the new key files is needed",
            hint="Run this on a terminal, or give --passphrase-file, -command or -fd.",
        )
    return _secret(prompts.ask_new_passphrase())


def _with_key(app: App, what: str, text: str | None, use: Callable[[str, Secret | None], T]) -> T:
    if text is not None:
        return _with_passphrase(app, what, text, use)
    if not prompts.can_ask():
        option = "--admin-key-file" if what.startswith("admin") else "--recovery-key-file"
        raise KeyringError(
            f"this needs a {what}, and none was given",
            hint=f"Give {option} FILE: a key file, or a text with the 24 words.",
        )
    return _again(app, lambda: _asked(app, what, use))


def _asked(app: App, what: str, use: Callable[[str, Secret | None], T]) -> T:
    typed = prompts.ask_key(what)
    words = typed.split()
    text = typed if len(words) > 1 else _text_of(str(Path(typed).expanduser()))
    return _with_passphrase(app, what, text, use)


def _words_on(text: str) -> str:
    """Return the words on a sheet as `vaultctl.sheets` writes it; any other text as it is."""
    rows = " ".join(_SHEET_ROW.findall(text)).split()
    numbers, words = rows[::2], rows[1::2]
    is_sheet = bool(words) and numbers == [str(at) for at in range(1, len(words) + 1)]
    return " ".join(words) if is_sheet else text


def _with_passphrase(app: App, what: str, text: str, use: Callable[[str, Secret | None], T]) -> T:
    if not needs_passphrase(text):
        return use(_words_on(text), None)
    if app.passphrase is not None:
        return use(text, app.passphrase)
    if not prompts.can_ask():
        raise KeyringError(
            f"the file of this {what} has a passphrase, and none was given",
            hint="Give --passphrase-file, --passphrase-command or --passphrase-fd.",
        )
    return _again(app, lambda: use(text, _secret(prompts.ask_passphrase(f"the {what}"))))


def _again(app: App, attempt: Callable[[], T]) -> T:
    """Let a person try a few times: at three in the morning fingers slip."""
    for _ in range(_TRIES - 1):
        try:
            return attempt()
        except KeyringError as error:
            app.output.say_always(f"{error.message}; {error.hint or 'Try again.'}")
    return attempt()


def _text_of(path: str) -> str:
    return read_recovery_key(Path(path)) or ""


def _secret(text: str) -> Secret:
    return Secret(text.encode("utf-8", "surrogateescape"))
