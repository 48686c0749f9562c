"""From a vault that was recognised to this machine's work in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import vaultd
from vaultd.backends.base import Backend
from vaultd.core.events import Observer, ignore
from vaultd.vault.catalog import Catalog
from vaultd.vault.chunk_index import ChunkIndex, index_path
from vaultd.vault.host import HostVault
from vaultd.vault.identity import HostIdentity
from vaultd.vault.trust import Trust
from vaultd.wiring.system import system_clock, system_random


@contextmanager
def open_host(
    backend: Backend, trust: Trust, identity: HostIdentity, observer: Observer = ignore
) -> Iterator[HostVault]:
    """Open a vault as this machine's host; its files are closed at the end.

    Args:
        backend: Where the vault lies.
        trust: Whom to believe.
        identity: This machine.
        observer: Takes notes and progress.

    Raises:
        KeyringError: This machine is no host of the vault, or its key files cannot be used.
    """
    keys = identity.host_keys()
    folder = identity.folder
    with (
        closing(ChunkIndex(index_path(folder, keys.host))) as index,
        closing(Catalog(folder / "catalog.sqlite")) as catalog,
    ):
        yield HostVault(
            backend=backend,
            trust=trust,
            keys=keys,
            index=index,
            catalog=catalog,
            folder=folder,
            spool=backend.spool or folder,
            clock=system_clock(),
            random=system_random,
            observer=observer,
            software=f"vaultd {vaultd.__version__}",
        )
