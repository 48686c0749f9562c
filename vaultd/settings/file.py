"""The configuration file: TOML, read once, every key known, every value checked.

A missing table means its defaults; a key that is not in these structs is an error with its path.
Sizes are text such as ``50G``, durations text such as ``30d`` (`vaultd.core.units`).
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from vaultd.core.errors import ConfigError
from vaultd.core.units import parse_duration
from vaultd.maintenance.survey import PruneRules

_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?", re.DOTALL)


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables of the file."""


class VaultTable(Table, frozen=True, kw_only=True):
    """``[vault]``: where the vault lies.

    Attributes:
        location: As `vaultd.wiring.storage` understands it.
    """

    location: str | None = None


class KeeperTable(Table, frozen=True, kw_only=True):
    """``[keeper]``: how careful a prune is; see `vaultd.maintenance.survey.PruneRules`.

    Attributes:
        recall: How long a forgotten snapshot can be brought back.
        wait: How long what is condemned stays there at least.
        revoke_after: When a session that stores nothing is closed.
        max_open: Sessions that a host may have open before the oldest are closed.
        max_share: Share of the packs that may be condemned without a person's word.
    """

    recall: str = "7d"
    wait: str = "24h"
    revoke_after: str = "24h"
    max_open: Annotated[int, Meta(ge=1)] = 4
    max_share: Annotated[float, Meta(ge=0, le=1)] = 0.3

    def __post_init__(self) -> None:
        """Refuse durations that are none.

        Raises:
            ValueError: One is not.
        """
        try:
            self.rules()
        except ConfigError as exc:
            raise ValueError(exc.message) from exc

    def rules(self) -> PruneRules:
        """Return what is asked."""
        return PruneRules(
            recall_s=parse_duration(self.recall),
            wait_s=parse_duration(self.wait),
            revoke_after_s=parse_duration(self.revoke_after),
            max_open=self.max_open,
            max_share=self.max_share,
        )


class ConfigFile(Table, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        vault: ``[vault]``.
        keeper: ``[keeper]``.
    """

    vault: VaultTable = VaultTable()
    keeper: KeeperTable = KeeperTable()


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
