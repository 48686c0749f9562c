"""From the configuration's ``[[vault.replicas]]`` to backends, and to all targets read as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from vaultd.backends.base import Backend
from vaultd.backends.wrappers.fallback import Fallback, Second, Standing
from vaultd.backends.wrappers.retrying import RetryOptions
from vaultd.core.errors import ConfigError, IntegrityError, VaultdError, VaultNotFoundError
from vaultd.core.events import Note, Observer, ignore
from vaultd.policy.copies import Media
from vaultd.settings.asked import S3Settings, Settings
from vaultd.settings.file import ReplicaTable
from vaultd.vault import layout
from vaultd.vault.genuine import is_genuine
from vaultd.vault.trust import Trust, read_vault
from vaultd.wiring.storage import open_backend, parse_location

__all__ = [
    "Backend",
    "Replica",
    "Targets",
    "Together",
    "media_of",
    "open_replica",
    "open_targets",
    "replica_named",
]

_IMPATIENT = RetryOptions(deadline_s=60)
"""Where another target may have what is wanted, nobody waits a quarter of an hour for one."""


class Replica(Struct, frozen=True, kw_only=True):
    """A second copy that was reached.

    Attributes:
        table: What the configuration says of it.
        backend: It; says once that something was read from it.
    """

    table: ReplicaTable
    backend: Second


class Together(Struct, frozen=True, kw_only=True):
    """All targets of a vault as one, for reading.

    Attributes:
        backend: Gives what any of them has.
        others: Those after the first, for what is read in parts and turns out wrong.
    """

    backend: Backend
    others: tuple[Backend, ...] = ()


class Targets(Struct, frozen=True, kw_only=True):
    """All targets of a vault that can be reached.

    Attributes:
        first: The vault's own place; ``None`` when it cannot be reached.
        replicas: Its further copies.
        observer: Told what comes from where.
        standing: What is known of them in this run.
    """

    first: Backend | None
    replicas: tuple[Replica, ...]
    observer: Observer
    standing: Standing = field(default_factory=Standing)

    def candidates(self) -> Iterator[Backend]:
        """Yield ways to read the vault's keys, best first: all targets as one, then each alone."""
        seconds = [replica.backend for replica in self.replicas]
        if self.first is None:
            yield from seconds
            return
        if seconds:
            yield Fallback(self.first, seconds, None, self.observer, self.standing)
        yield self.first
        yield from seconds

    def of_vault(self, trust: Trust) -> Targets:
        """Return these without replicas that turn out to hold another vault, or none."""
        return replace(
            self, replicas=tuple(one for one in self.replicas if self._is_of(one, trust))
        )

    def together(self, trust: Trust) -> Together:
        """Return all targets of a vault as one for reading.

        Args:
            trust: Whom to believe.

        Raises:
            VaultNotFoundError: None of them is left.
        """
        seconds = [one.backend for one in self.replicas]
        if self.first is None and not seconds:
            raise VaultNotFoundError("no target of the vault can be reached")
        first: Backend = seconds.pop(0) if self.first is None else self.first
        if not seconds:
            return Together(backend=first)

        def judge(name: str, data: bytes) -> bool:
            return is_genuine(name, data, trust)

        backend = Fallback(first, seconds, judge, self.observer, self.standing)
        return Together(backend=backend, others=tuple(seconds))

    def _is_of(self, replica: Replica, trust: Trust) -> bool:
        backend = replica.backend.inner
        try:
            found = read_vault(backend).vault_id
        except IntegrityError:
            # Damaged: then its other objects may still be good, and each is judged by itself.
            return True
        except VaultdError as error:
            with suppress(VaultdError):
                if next(backend.list(layout.POLICIES), None) is not None:
                    return True
            self._say(f"replica {replica.table.name}: {error.message}")
            return False
        if found != trust.vault_id:
            self._say(f"replica {replica.table.name}: holds vault {found.hex()[:8]}, not used")
        return found == trust.vault_id

    def _say(self, text: str) -> None:
        self.observer(Note(text=text, warning=True))


def replica_named(settings: Settings, name: str | None) -> tuple[ReplicaTable, ...]:
    """Return the replica of a name, or all of them when there is none.

    Raises:
        ConfigError: No replica has that name, or there is none at all.
    """
    replicas = settings.config.vault.replicas
    if not replicas:
        raise ConfigError(
            "the configuration names no replica",
            hint="Write a table [[vault.replicas]] with name and location; see config/vaultd.toml.",
        )
    found = tuple(one for one in replicas if name in {None, one.name})
    if not found:
        known = ", ".join(one.name for one in replicas)
        raise ConfigError(f"there is no replica {name!r}", hint=f"Name one of: {known}.")
    return found


@contextmanager
def open_replica(
    table: ReplicaTable,
    settings: Settings,
    observer: Observer = ignore,
    *,
    create: bool = False,
    retries: RetryOptions | None = None,
) -> Iterator[Backend]:
    """Reach a replica; see `open_backend`.

    Raises:
        VaultNotFoundError: The folder is missing.
    """
    own = replace(
        settings,
        s3=S3Settings(
            endpoint=table.endpoint,
            region=table.region,
            addressing=table.addressing,
            conditional=table.conditional,
            storage_class=table.storage_class,
            profile=table.profile,
            ca_bundle=table.ca_bundle,
            insecure_tls=settings.s3.insecure_tls,
        ),
        limit_upload_bytes_s=table.limit_upload_bytes_s,
        limit_download_bytes_s=table.limit_download_bytes_s,
    )
    options = RetryOptions() if retries is None else retries
    with open_backend(table.location, own, observer, create=create, retries=options) as backend:
        yield backend


@contextmanager
def open_targets(
    location: str, settings: Settings, observer: Observer = ignore
) -> Iterator[Targets]:
    """Reach a vault and its replicas, for reading; what cannot be reached is said and left out.

    Args:
        location: Of the vault.
        settings: How to reach it, and its replicas.
        observer: Told what cannot be reached, and what comes from where.

    Raises:
        VaultdError: There are no replicas, and it cannot be reached; or nothing can be.
    """
    tables = [one for one in settings.config.vault.replicas if one.location != location]
    if not tables or not _is_home(location, settings):
        with open_backend(location, settings, observer) as backend:
            yield Targets(first=backend, replicas=(), observer=observer)
        return
    with ExitStack() as stack:
        first, failure = None, None
        try:
            first = stack.enter_context(
                open_backend(location, settings, observer, retries=_IMPATIENT)
            )
        except VaultdError as error:
            failure = error
            observer(Note(text=error.message, warning=True))
        replicas = []
        for table in tables:
            try:
                backend = stack.enter_context(
                    open_replica(table, settings, observer, retries=_IMPATIENT)
                )
            except VaultdError as error:
                observer(Note(text=f"replica {table.name}: {error.message}", warning=True))
                continue
            replicas.append(Replica(table=table, backend=Second(backend, table.name, observer)))
        if failure is not None and not replicas:
            raise failure
        yield Targets(first=first, replicas=tuple(replicas), observer=observer)


def _is_home(location: str, settings: Settings) -> bool:
    """Tell whether a location is that of the configuration: its replicas belong to no other."""
    home = settings.config.vault.location
    return home is None or home == location


def media_of(location: str, settings: Settings, said: Media | None = None) -> Media:
    """Return what a target lies on: as somebody said, or as its location says.

    Raises:
        ConfigError: The location cannot be understood.
    """
    if said is not None:
        return said
    is_folder = isinstance(parse_location(location, settings.s3), Path)
    return Media.DISK if is_folder else Media.OBJECT_STORAGE
