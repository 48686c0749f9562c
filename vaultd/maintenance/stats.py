"""How much a vault holds, for what, and what forgetting would give back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.errors import CautionError, KeyringError
from vaultd.core.snapshot import Snapshot
from vaultd.maintenance.references import References
from vaultd.vault import layout
from vaultd.vault.catalog import KeyFinder
from vaultd.vault.trust import Trust


class Usage(Struct, frozen=True, kw_only=True):
    """Numbers of one group of snapshots.

    Attributes:
        name: Of the group: a store and its host, or a chain.
        snapshots: How many.
        files: Regular files in the newest of them.
        data: Bytes of contents in the newest of them.
        restorable: Bytes of contents of all of them together, each counted whole.
        stored: Bytes put into the backend by these snapshots.
        unique: Bytes of packs and index parts that nothing outside the group needs; ``None``: what
            snapshots of the host need cannot be seen.
    """

    name: str
    snapshots: int
    files: int
    data: int
    restorable: int
    stored: int
    unique: int | None


class SnapshotUsage(Struct, frozen=True, kw_only=True):
    """Numbers of one snapshot.

    Attributes:
        snapshot: Which.
        unique: As in `Usage`: what no other snapshot needs.
    """

    snapshot: Snapshot
    unique: int | None


class Stats(Struct, frozen=True, kw_only=True):
    """Numbers of a vault.

    Attributes:
        stores: One line for each store of each host.
        chains: One line for each chain.
        snapshots: One line for each snapshot.
        objects: Objects in the vault.
        packs: Packs among them.
        pack_bytes: Bytes of all packs, needed by a live snapshot or not.
        unneeded: Bytes of packs and index parts that no live snapshot needs; ``None``: what some
            snapshots need cannot be seen.
        all_bytes: Bytes of all objects.
    """

    stores: tuple[Usage, ...]
    chains: tuple[Usage, ...]
    snapshots: tuple[SnapshotUsage, ...]
    objects: int
    packs: int
    pack_bytes: int
    unneeded: int | None
    all_bytes: int


class Freed(Struct, frozen=True, kw_only=True):
    """What would be deleted when some snapshots were forgotten and could not be recalled any more.

    Attributes:
        snapshots: How many.
        packs: Packs that only they need.
        objects: Packs, index parts and roots.
        size: Bytes of these.
    """

    snapshots: int
    packs: int
    objects: int
    size: int


class StatsContext(Struct, frozen=True, kw_only=True):
    """What adding up needs.

    Attributes:
        backend: Where the vault lies.
        trust: Whom to believe.
        find_keys: Keys of domains, as far as they are at hand.
        snapshots: All live snapshots, oldest first.
    """

    backend: Backend
    trust: Trust
    find_keys: KeyFinder
    snapshots: Sequence[Snapshot]


def stats(context: StatsContext, chosen: Sequence[Snapshot]) -> Stats:
    """Add up what a vault holds.

    Args:
        context: What adding up needs.
        chosen: The snapshots that lines are wanted for, oldest first.

    Raises:
        StorageError: It cannot be listed or read.
    """
    with _gathered(context) as graph:
        (objects, all_bytes), (packs, pack_bytes) = graph.listed(""), graph.listed(layout.PACKS)
        return Stats(
            stores=_usages(graph, chosen, _store),
            chains=_usages(graph, chosen, lambda one: f"{_store(one)} from {one.chain}"),
            snapshots=tuple(_each(graph, chosen)),
            objects=objects,
            packs=packs,
            pack_bytes=pack_bytes,
            unneeded=graph.unneeded(),
            all_bytes=all_bytes,
        )


def freed(context: StatsContext, doomed: Sequence[Snapshot]) -> Freed:
    """Return what forgetting exactly these snapshots would give back, once they are pruned.

    Args:
        context: What adding up needs.
        doomed: Live snapshots.

    Raises:
        CautionError: The root of a snapshot of their hosts cannot be read.
        KeyringError: What a snapshot of their hosts needs cannot be seen with the keys at hand.
        StorageError: The vault cannot be listed or read.
    """
    hosts = {snapshot.session.host for snapshot in doomed}
    with _gathered(context) as graph:
        graph.demand_sight_of(hosts)
        ids = {snapshot.id for snapshot in doomed}
        names = [layout.outcome(snapshot.session) for snapshot in doomed]
        packs, _ = graph.only(lambda one: one.id in ids, layout.PACKS).get(1, (0, 0))
        needed, size = graph.only(lambda one: one.id in ids).get(1, (0, 0))
        count, roots = graph.listed(*names) if names else (0, 0)
    return Freed(snapshots=len(ids), packs=packs, objects=needed + count, size=size + roots)


class _Graph:
    """Which snapshots need which objects, and how big these are.

    Args:
        references: What the snapshots need, and everything that is there.
    """

    def __init__(self, references: References) -> None:
        self._references = references
        self._db = references.db
        self._db.execute("CREATE TABLE grouped (snapshot INTEGER PRIMARY KEY, label)")
        self._blind = {
            one.session.host
            for one in (*references.hidden, *(bad.snapshot for bad in references.unreadable))
        }

    def listed(self, *beginnings: str) -> tuple[int, int]:
        """Return how many objects are there whose names begin so, and their bytes."""
        count = size = 0
        for beginning in beginnings:
            row = self._db.execute(
                "SELECT count(size), coalesce(sum(size), 0) FROM object WHERE name GLOB ?",
                (f"{beginning}*",),
            ).fetchone()
            count, size = count + row[0], size + row[1]
        return count, size

    def unneeded(self) -> int | None:
        """Return the bytes of packs and parts that are there and not needed."""
        if self._blind:
            return None
        references = self._references
        return sum(
            size for kind in (layout.PACKS, layout.PARTS) for _, size in references.unneeded(kind)
        )

    def sees(self, host: str) -> bool:
        """Tell whether it is known what all snapshots of a host need; hosts share no packs."""
        return host not in self._blind

    def demand_sight_of(self, hosts: set[str]) -> None:
        """Raise unless it is known what all snapshots of these hosts need."""
        for one in self._references.hidden:
            if one.session.host in hosts:
                raise KeyringError(
                    f"snapshot {one.short_id}: what it needs cannot be seen with the keys of this "
                    "machine, so what would be freed is not known",
                    hint="Give --recovery-key-file FILE.",
                )
        for bad in self._references.unreadable:
            if bad.snapshot.session.host in hosts:
                raise CautionError(
                    f"snapshot {bad.snapshot.short_id}: its root cannot be read ({bad.reason}), so "
                    "what would be freed is not known",
                    hint="Run `vaultctl check`.",
                )

    def only(
        self, label_of: Callable[[Snapshot], int | str], kind: str = ""
    ) -> dict[int | str, tuple[int, int]]:
        """Return how many objects only snapshots of one label need, and their bytes, by label.

        Args:
            label_of: Gives each live snapshot its label.
            kind: Beginning of the objects' names.
        """
        self._db.execute("DELETE FROM grouped")
        self._db.executemany(
            "INSERT INTO grouped VALUES (?,?)",
            ((number, label_of(one)) for number, one in enumerate(self._references.snapshots)),
        )
        rows = self._db.execute(
            "SELECT low, count(size), coalesce(sum(size), 0) FROM"
            " (SELECT object.size AS size, min(label) AS low, max(label) AS high"
            " FROM need JOIN grouped USING (snapshot) JOIN object ON id=object"
            " WHERE name GLOB ? GROUP BY object) WHERE low=high GROUP BY low",
            (f"{kind}*",),
        )
        return {label: (count, size) for label, count, size in rows}


@contextmanager
def _gathered(context: StatsContext) -> Iterator[_Graph]:
    with References(context.snapshots) as references:
        references.add_needs(context.backend, context.trust, context.find_keys)
        references.add_listed(context.backend, "")
        yield _Graph(references)


def _store(snapshot: Snapshot) -> str:
    return f"{snapshot.session.host}:{snapshot.store or snapshot.store_id.hex()[:8]}"


def _usages(
    graph: _Graph, chosen: Sequence[Snapshot], name_of: Callable[[Snapshot], str]
) -> tuple[Usage, ...]:
    groups: dict[str, list[Snapshot]] = {}
    for snapshot in chosen:
        groups.setdefault(name_of(snapshot), []).append(snapshot)
    ids = {snapshot.id for snapshot in chosen}
    unique = graph.only(lambda one: name_of(one) if one.id in ids else "")
    return tuple(
        _usage(name, group, unique.get(name, (0, 0))[1] if _seen(graph, group) else None)
        for name, group in sorted(groups.items())
    )


def _seen(graph: _Graph, group: Sequence[Snapshot]) -> bool:
    return graph.sees(group[0].session.host)


def _each(graph: _Graph, chosen: Iterable[Snapshot]) -> Iterator[SnapshotUsage]:
    unique = graph.only(lambda one: one.id)
    for one in chosen:
        size = unique.get(one.id, (0, 0))[1] if graph.sees(one.session.host) else None
        yield SnapshotUsage(snapshot=one, unique=size)


def _usage(name: str, group: Sequence[Snapshot], unique: int | None) -> Usage:
    return Usage(
        name=name,
        snapshots=len(group),
        files=group[-1].counts.files,
        data=group[-1].counts.data,
        restorable=sum(snapshot.counts.data for snapshot in group),
        stored=sum(snapshot.counts.stored_added for snapshot in group),
        unique=unique,
    )
