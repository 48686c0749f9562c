"""The configuration file: TOML, read once, every key known, every value checked.

A missing table means its defaults; a key that is not in these structs is an error with its path.
Sizes are text such as ``50G`` (`vaultd.core.units`), spans of time text such as ``30d``
(`vaultd.policy.calendar`).
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import asdict

from vaultd.backends.s3.options import Addressing, Conditional
from vaultd.core.errors import ConfigError
from vaultd.core.units import parse_duration, parse_size
from vaultd.maintenance.survey import PruneRules
from vaultd.policy.calendar import parse_age, parse_span, zone_named
from vaultd.policy.copies import Media
from vaultd.policy.scrubbing import ScrubRule
from vaultd.vault.lock_options import LockMode, LockOptions

_REPLICA = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?", re.DOTALL)


Count = Annotated[int, msgspec.Meta(ge=0)]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables of the file."""


class ReplicaTable(Table, frozen=True, kw_only=True):
    """One of ``[[vault.replicas]]``: a second copy of the vault, and how to reach it.

    Nothing about S3 is taken over from the first target but whether certificates are checked: a
    second copy lies elsewhere.

    Attributes:
        name: For people and for options: ``offsite``.
        location: As `vaultd.wiring.storage` understands it.
        media: What it lies on; ``None``: what its location says.
        offsite: It is in another building than the data and the first target.
        limit_upload: At most so many bytes a second, such as ``10M``.
        limit_download: The same for reading.
        keep_deleted: How long it keeps what the vault has deleted, by its own time.
        endpoint: Server of ``s3://BUCKET``.
        region: Region to sign requests for.
        profile: Section of the AWS settings to use: credentials of its own.
        addressing: Where the bucket's name goes.
        ca_bundle: Certificates to trust.
        conditional: See `vaultd.backends.s3.options`.
        storage_class: For big objects.
    """

    name: str
    location: str
    media: Media | None = None
    offsite: bool = False
    limit_upload: str | None = None
    limit_download: str | None = None
    keep_deleted: str = "30d"
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing: Addressing = Addressing.AUTO
    ca_bundle: str | None = None
    conditional: Conditional = Conditional.HEADER
    storage_class: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no replica can be.

        Raises:
            ValueError: It is.
        """
        if _REPLICA.fullmatch(self.name) is None:
            raise ValueError(
                f"replica {self.name!r}: expected a name of 1 to 40 characters a-z, 0-9 and -"
            )
        for limit in (self.limit_upload, self.limit_download):
            if limit is not None and _rate(limit) < 1:
                raise ValueError(f"replica {self.name}: {limit!r} lets nothing through")
        try:
            parse_duration(self.keep_deleted)
        except ConfigError as exc:
            raise ValueError(exc.message) from exc

    @property
    def keep_deleted_s(self) -> int:
        """How long it keeps what the vault has deleted, in seconds."""
        return parse_duration(self.keep_deleted)

    @property
    def limit_upload_bytes_s(self) -> int | None:
        """Most bytes to put in a second; ``None``: no limit."""
        return None if self.limit_upload is None else _rate(self.limit_upload)

    @property
    def limit_download_bytes_s(self) -> int | None:
        """Most bytes to get in a second; ``None``: no limit."""
        return None if self.limit_download is None else _rate(self.limit_download)


class LockTable(Table, frozen=True, kw_only=True):
    """``[vault.lock]``: object lock, in a bucket that has it.

    Attributes:
        mode: Who may take a lock away.
        retain: How long a snapshot cannot be destroyed, such as ``30d``.
        generation: How much longer its objects are locked; at least as long as a chain lasts.
    """

    mode: LockMode
    retain: str
    generation: str = "30d"

    def __post_init__(self) -> None:
        """Refuse what protects nothing.

        Raises:
            ValueError: It does.
        """
        try:
            self.options()
        except ConfigError as exc:
            raise ValueError(exc.message) from exc

    def options(self) -> LockOptions:
        """Return what is asked."""
        return LockOptions(
            mode=self.mode,
            retain_s=parse_duration(self.retain),
            generation_s=parse_duration(self.generation),
        )


class VaultTable(Table, frozen=True, kw_only=True):
    """``[vault]``: where the vault lies.

    Attributes:
        location: As `vaultd.wiring.storage` understands it.
        media: What it lies on; ``None``: what its location says.
        offsite: It is in another building than the data.
        lock: ``[vault.lock]``.
        replicas: Further copies of it.
    """

    location: str | None = None
    media: Media | None = None
    offsite: bool = False
    lock: LockTable | None = None
    replicas: tuple[ReplicaTable, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two replicas of one name or at one place.

        Raises:
            ValueError: There are.
        """
        names = [replica.name for replica in self.replicas]
        places = [replica.location for replica in self.replicas]
        if self.location is not None:
            places.append(self.location)
        for what, values in (("name", names), ("location", places)):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"two copies of one {what}: {', '.join(twice)}")


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


class RetentionTable(Table, frozen=True, kw_only=True):
    """``[retention]`` and ``[stores.NAME.retention]``: what is kept; see `RetentionPolicy`.

    Spans are text such as ``30d`` or ``1y5m7d2h``; 0 and empty text mean none.
    """

    keep_last: Count = 0
    keep_hourly: Count = 0
    keep_daily: Count = 0
    keep_weekly: Count = 0
    keep_monthly: Count = 0
    keep_yearly: Count = 0
    keep_within: str = ""
    keep_within_hourly: str = ""
    keep_within_daily: str = ""
    keep_within_weekly: str = ""
    keep_within_monthly: str = ""
    keep_within_yearly: str = ""
    keep_tags: tuple[str, ...] = ()
    min_age: str = ""
    timezone: str = ""

    @property
    def has_rules(self) -> bool:
        """Whether it says what to keep."""
        given = asdict(self).items()
        return any(value for name, value in given if name.startswith("keep_"))

    def fields(self) -> dict[str, Any]:
        """Return the fields of a `RetentionPolicy` that are set here.

        Raises:
            ConfigError: A value cannot be used; the message names its key.
        """
        found: dict[str, Any] = {}
        for name, value in asdict(self).items():
            try:
                if value:
                    found |= _retention_field(name, value)
            except ConfigError as exc:
                raise ConfigError(f"{name}: {exc.message}", hint=exc.hint) from exc
        return found


class StoreTable(Table, frozen=True, kw_only=True):
    """``[stores.NAME]``: what is special about one store.

    Attributes:
        retention: ``[stores.NAME.retention]``.
    """

    retention: RetentionTable = RetentionTable()


class ScrubTable(Table, frozen=True, kw_only=True):
    """``[scrub]``: how fast everything is read again, and what that may cost.

    Attributes:
        window: Everything is read once in this time.
        bytes_per_day: At most so much is read in a day.
        requests_per_day: At most so many requests are made for it in a day.
    """

    window: str = "30d"
    bytes_per_day: str = "50G"
    requests_per_day: Annotated[int, Meta(ge=1)] = 100_000

    def __post_init__(self) -> None:
        """Refuse durations and sizes that are none.

        Raises:
            ValueError: One is not.
        """
        try:
            self.rule()
        except ConfigError as exc:
            raise ValueError(exc.message) from exc

    def rule(self) -> ScrubRule:
        """Return what the table says."""
        return ScrubRule(
            window_s=parse_duration(self.window),
            bytes_per_day=parse_size(self.bytes_per_day),
            requests_per_day=self.requests_per_day,
        )


class ConfigFile(Table, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        vault: ``[vault]``.
        keeper: ``[keeper]``.
        scrub: ``[scrub]``.
        retention: ``[retention]``: of stores that have none of their own.
        stores: ``[stores.NAME]`` by name.
    """

    vault: VaultTable = VaultTable()
    keeper: KeeperTable = KeeperTable()
    scrub: ScrubTable = ScrubTable()
    retention: RetentionTable = RetentionTable()
    stores: dict[str, StoreTable] = {}


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
        config = msgspec.convert(tomllib.loads(text), ConfigFile)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"config {path}: is not TOML: {exc}") from exc
    except msgspec.ValidationError as exc:
        match = _PLACE.fullmatch(str(exc))
        what, where = (match["what"], match["where"]) if match is not None else (str(exc), None)
        raise ConfigError(
            f"config {path}: {where or 'top level'}: {_in_our_words(what)}",
            hint="Compare it with config/vaultd.toml, which has every key with its meaning.",
        ) from exc
    _check_retention(config, path)
    return config


def _check_retention(config: ConfigFile, path: Path) -> None:
    tables = {"retention": config.retention}
    tables |= {f"stores.{name}.retention": one.retention for name, one in config.stores.items()}
    for where, table in tables.items():
        try:
            table.fields()
        except ConfigError as exc:
            raise ConfigError(f"config {path}: {where}.{exc.message}", hint=exc.hint) from exc


def _retention_field(name: str, value: Any) -> dict[str, Any]:
    if name == "min_age":
        return {"min_age_s": parse_age(value)}
    if name == "timezone":
        zone_named(value)
    return {name: parse_span(value) if name.startswith("keep_within") else value}


def _rate(text: str) -> int:
    try:
        return parse_size(text.removesuffix("/s"))
    except ConfigError as exc:
        raise ValueError(exc.message) from exc


def _in_our_words(what: str) -> str:
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what)
    if unknown is not None:
        return f"there is no key {unknown[1]!r} here"
    return (what[:1].lower() + what[1:]).replace("`", "")
