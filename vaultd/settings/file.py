"""The configuration file: TOML, read once, every key known, every value checked.

A missing table means its defaults; a key that is not in these structs is an error with its path.
Sizes are text such as ``50G``, durations text such as ``30d`` (`vaultd.core.units`).
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

from vaultd.core.errors import ConfigError

_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?", re.DOTALL)


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables of the file."""


class VaultTable(Table, frozen=True, kw_only=True):
    """``[vault]``: where the vault lies.

    Attributes:
        location: As `vaultd.wiring.storage` understands it.
    """

    location: str | None = None


class ConfigFile(Table, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        vault: ``[vault]``.
    """

    vault: VaultTable = VaultTable()


def read_config(path: Path) -> ConfigFile:
    """Read a configuration file.

    Raises:
        ConfigError: It cannot be read, is not TOML, or a key or value in it is wrong.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"config {path}: cannot be read: {exc}") from exc
    try:
        return msgspec.convert(tomllib.loads(text), ConfigFile)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"config {path}: is not TOML: {exc}") from exc
    except msgspec.ValidationError as exc:
        match = _PLACE.fullmatch(str(exc))
        what, where = (match["what"], match["where"]) if match is not None else (str(exc), None)
        raise ConfigError(
            f"config {path}: {where or 'top level'}: {_in_our_words(what)}",
            hint="Compare it with config/vaultd.toml, which has every key with its meaning.",
        ) from exc


def _in_our_words(what: str) -> str:
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what)
    if unknown is not None:
        return f"there is no key {unknown[1]!r} here"
    return (what[:1].lower() + what[1:]).replace("`", "")
