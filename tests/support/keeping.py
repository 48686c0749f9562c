"""A keeper at work on a vault, from a folder of its own, with index keys and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.vaults import Scene, Vault, epoch_of
from vaultd.backends.base import Backend
from vaultd.core.clock import SystemClock
from vaultd.core.snapshot import Snapshot
from vaultd.maintenance.forget import forget
from vaultd.maintenance.keeping import KeeperContext
from vaultd.maintenance.prune import PruneReport, execute_prune, plan_prune
from vaultd.maintenance.recall import recall
from vaultd.maintenance.survey import PruneRules
from vaultd.vault.catalog import Catalog
from vaultd.vault.keyring import IndexKey
from vaultd.vault.log import Keeper as Name
from vaultd.vault.trust import load_trust

AT_ONCE = PruneRules(recall_s=0, wait_s=0, max_share=1.0)
"""Nothing is waited for but sessions that are open."""


def index_key(domain: str, epoch: int) -> IndexKey:
    """Return all that a keeper is given of a domain."""
    return IndexKey(domain=domain, epoch=epoch, index_key=epoch_of(domain, epoch).keys.index_key)


@dataclass(kw_only=True)
class Keeper:
    """A keeper: it opens everything for one call and closes it again, as a process would."""

    vault: Vault
    backend: Backend
    folder: Path

    @contextmanager
    def context(self) -> Iterator[KeeperContext]:
        """Open what a keeper has."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        catalog = Catalog(self.folder / "catalog.sqlite")
        try:
            yield KeeperContext(
                backend=self.backend,
                trust=load_trust(self.backend, pin=None),
                catalog=catalog,
                keeper=Name(name="keeper", signer=self.vault.keeper),
                find_keys=index_key,
                clock=SystemClock(),
            )
        finally:
            catalog.close()

    def forget(self, *snapshots: Snapshot) -> None:
        """Take snapshots out of the live set."""
        with self.context() as context:
            forget(context, snapshots, "a test")

    def recall(self, *snapshots: Snapshot) -> None:
        """Bring forgotten snapshots back."""
        with self.context() as context:
            context.catalog.refresh(context.backend, context.trust, context.find_keys)
            recall(context, snapshots, "a test")

    def prune(self, rules: PruneRules = AT_ONCE, *, ahead_s: int = 0) -> PruneReport:
        """Plan and execute a prune.

        Args:
            rules: How careful to be.
            ahead_s: How much later it is than it is.
        """
        with self.context() as context:
            now_ns = context.clock.now_ns() + ahead_s * 10**9
            return execute_prune(context, plan_prune(context, now_ns, rules))


def keeper_of(scene: Scene, name: str = "keeper", backend: Backend | None = None) -> Keeper:
    """Return a keeper of a scene's vault that remembers what it did under this name."""
    place = scene.backend if backend is None else backend
    return Keeper(vault=scene.vault, backend=place, folder=scene.folder / name)
