"""What every work of a keeper needs, and the little that all of it does."""

from __future__ import annotations

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.clock import Clock
from vaultd.core.events import Observer, ignore
from vaultd.format.log import Event
from vaultd.vault.catalog import Catalog, KeyFinder
from vaultd.vault.log import Keeper, LogEntry, append
from vaultd.vault.trust import Trust


class KeeperContext(Struct, frozen=True, kw_only=True):
    """What writing the log needs.

    Attributes:
        backend: Where the vault lies.
        trust: Whom to believe.
        catalog: What this machine remembers of the log.
        keeper: Who signs.
        find_keys: Keys of domains, to see what snapshots need and to seal tag names.
        clock: For the entries' times.
        observer: Takes progress and notes.
    """

    backend: Backend
    trust: Trust
    catalog: Catalog
    keeper: Keeper
    find_keys: KeyFinder
    clock: Clock
    observer: Observer = ignore

    def say(self, event: Event) -> LogEntry:
        """Append an entry to the log, after whatever others have appended, and remember it.

        Raises:
            BrokenChainError: The log is not what it was.
            AccessDeniedError: This machine may not write the log.
        """
        head = self.catalog.refresh_log(self.backend, self.trust)
        entry = append(self.backend, self.trust, self.keeper, self.clock, lambda _: event, head)
        self.catalog.refresh_log(self.backend, self.trust)
        return entry
