"""How much a vault holds, and for what."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.snapshot import Snapshot
from vaultd.vault import layout


class Usage(Struct, frozen=True, kw_only=True):
    """Numbers of one group of snapshots.

    Attributes:
        name: Of the group: a store and its host, or a chain.
        snapshots: How many.
        files: Regular files in the newest of them.
        data: Bytes of contents in the newest of them.
        restorable: Bytes of contents of all of them together, each counted whole.
        stored: Bytes put into the backend by these snapshots.
    """

    name: str
    snapshots: int
    files: int
    data: int
    restorable: int
    stored: int


class Stats(Struct, frozen=True, kw_only=True):
    """Numbers of a vault.

    Attributes:
        stores: One line for each store of each host.
        chains: One line for each chain.
        objects: Objects in the vault.
        packs: Packs among them.
        pack_bytes: Bytes of all packs, needed by a live snapshot or not.
        all_bytes: Bytes of all objects.
    """

    stores: tuple[Usage, ...]
    chains: tuple[Usage, ...]
    objects: int
    packs: int
    pack_bytes: int
    all_bytes: int


def stats(backend: Backend, snapshots: Iterable[Snapshot]) -> Stats:
    """Add up what a vault holds.

    Args:
        backend: Where the vault lies.
        snapshots: Its live snapshots, oldest first.

    Raises:
        StorageError: It cannot be listed.
    """
    stores: dict[str, list[Snapshot]] = {}
    chains: dict[str, list[Snapshot]] = {}
    for snapshot in snapshots:
        store = f"{snapshot.session.host}:{snapshot.store or snapshot.store_id.hex()[:8]}"
        stores.setdefault(store, []).append(snapshot)
        chains.setdefault(f"{store} from {snapshot.chain}", []).append(snapshot)
    objects = packs = pack_bytes = all_bytes = 0
    for info in backend.list(""):
        objects += 1
        all_bytes += info.size
        if info.name.startswith(layout.PACKS):
            packs += 1
            pack_bytes += info.size
    return Stats(
        stores=tuple(_usage(name, group) for name, group in sorted(stores.items())),
        chains=tuple(_usage(name, group) for name, group in sorted(chains.items())),
        objects=objects,
        packs=packs,
        pack_bytes=pack_bytes,
        all_bytes=all_bytes,
    )


def _usage(name: str, group: list[Snapshot]) -> Usage:
    return Usage(
        name=name,
        snapshots=len(group),
        files=group[-1].counts.files,
        data=group[-1].counts.data,
        restorable=sum(snapshot.counts.data for snapshot in group),
        stored=sum(snapshot.counts.stored_added for snapshot in group),
    )
