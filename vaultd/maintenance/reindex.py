"""Index parts that are lost or damaged: found, and written anew from the tables of their packs.

The same bytes cannot be made again: a part's key comes from a random number that was in it. So the
new part has another name, and the log says in whose place it stands (FORMAT.md 7, 10). Where a
chunk lies is a hint, and readers compare ids: a part that is wrong restores nothing wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.errors import IntegrityError, NoMatchingKeyError, ObjectNotFoundError
from vaultd.core.events import Note, PhaseStarted
from vaultd.core.snapshot import SessionId, Snapshot
from vaultd.crypto import hashing
from vaultd.format.index import IndexedPack, PartHeader, indexed_pack
from vaultd.format.log import Listed, ReindexBody
from vaultd.format.session import PartRef, RefsSection, pack_refs
from vaultd.maintenance.keeping import KeeperContext
from vaultd.vault import layout, parts, roots
from vaultd.vault.committed import read_root
from vaultd.vault.keyring import ReadKeys
from vaultd.vault.packs import PackOpener


class ReindexContext(Struct, frozen=True, kw_only=True):
    """What writing index parts anew needs.

    Attributes:
        keeper: What writing the log needs.
        keys: What a recovery key opens.
        random: Source of random bytes.
    """

    keeper: KeeperContext
    keys: ReadKeys
    random: Callable[[int], bytes]


class LostPart(Struct, frozen=True, kw_only=True):
    """An index part that snapshots name and that cannot be read.

    Attributes:
        host: Whose.
        part: As the snapshots name it.
        reason: Lower-case clause without final stop.
        snapshots: Those that name it, oldest first.
    """

    host: str
    part: PartRef
    reason: str
    snapshots: tuple[Snapshot, ...]

    @property
    def name(self) -> str:
        """The object's name."""
        return layout.part(SessionId(host=self.host, seq=self.part.seq), self.part.sha256)


class Reindexed(Struct, frozen=True, kw_only=True):
    """What was done about a lost part.

    Attributes:
        lost: The lost part.
        name: The object in its place; empty when none of its packs could be read.
        packs: How many packs it describes.
        unread: Packs that could not be read, each with the reason.
    """

    lost: LostPart
    name: str
    packs: int
    unread: tuple[str, ...]


def find_lost(
    context: ReindexContext, snapshots: Sequence[Snapshot], *, read_data: bool = False
) -> list[LostPart]:
    """Return the index parts that are gone or damaged, and that nothing good stands in for.

    Args:
        context: What is needed; the catalog was just refreshed.
        snapshots: The live ones, oldest first.
        read_data: Read every part; otherwise those count as good that are listed with their size.

    Raises:
        StorageError: The backend does not answer.
    """
    keeper = context.keeper
    keeper.observer(PhaseStarted(name="look for index parts", files=len(snapshots)))
    named: dict[tuple[str, PartRef], list[Snapshot]] = {}
    for snapshot in snapshots:
        refs = _refs(context, snapshot)
        for part in () if refs is None else refs.parts:
            named.setdefault((snapshot.session.host, part), []).append(snapshot)
    sizes = {
        info.name: info.size
        for host in sorted({host for host, _ in named})
        for info in keeper.backend.list(f"{layout.PARTS}{host}/")
    }
    stand_ins = keeper.catalog.state().stand_ins()
    lost = []
    for (host, part), users in named.items():
        judge = partial(_fault, context, host, sizes, read_data=read_data)
        reason = judge(part)
        stand_in = stand_ins.get(part.sha256)
        if reason and (stand_in is None or judge(stand_in)):
            lost.append(LostPart(host=host, part=part, reason=reason, snapshots=tuple(users)))
    return lost


def _refs(context: ReindexContext, snapshot: Snapshot) -> RefsSection | None:
    keeper = context.keeper
    try:
        root = read_root(keeper.backend, keeper.trust, snapshot)
        domain = keeper.trust.host_domain(snapshot.session.host)
        return roots.open_refs(root, context.keys.index_key(domain, root.epoch))
    except (IntegrityError, NoMatchingKeyError, ObjectNotFoundError) as error:
        text = f"snapshot {snapshot.short_id} is left out: {error.message}"
        keeper.observer(Note(text=text, warning=True))
        return None


def _fault(
    context: ReindexContext, host: str, sizes: dict[str, int], part: PartRef, *, read_data: bool
) -> str:
    """Return what is wrong with an index part; empty for nothing."""
    session = SessionId(host=host, seq=part.seq)
    name = layout.part(session, part.sha256)
    if name not in sizes:
        return "is missing"
    if sizes[name] != part.size:
        return f"has {sizes[name]} bytes, expected {part.size}"
    if read_data:
        try:
            data = context.keeper.backend.get(name)
            if hashing.sha256(data) != part.sha256:
                return "its bytes have another hash"
            parts.open_part(data, session, context.keeper.trust.vault_id, context.keys.index_key)
        except (IntegrityError, NoMatchingKeyError, ObjectNotFoundError) as error:
            return error.message
    return ""


def reindex(context: ReindexContext, lost: LostPart) -> Reindexed:
    """Write an index part in place of a lost one, from the tables of its packs.

    A keeper that prunes meanwhile may delete the new part before the log names it; then it is
    found to be lost by the next call of `find_lost`.

    Args:
        context: What is needed.
        lost: From `find_lost`.

    Raises:
        AccessDeniedError: This machine may not write index parts or the log.
        StorageError: The backend does not answer.
    """
    packs: list[IndexedPack] = []
    unread = []
    for (seq, sha256), size in sorted(_packs_of(context, lost).items()):
        try:
            packs.append(_described(context, lost.host, (seq, sha256), size))
        except (IntegrityError, NoMatchingKeyError, ObjectNotFoundError) as error:
            unread.append(f"pack {sha256.hex()[:8]}: {error.message}")
    name = _put(context, lost, tuple(packs)) if packs else ""
    return Reindexed(lost=lost, name=name, packs=len(packs), unread=tuple(unread))


def _packs_of(context: ReindexContext, lost: LostPart) -> dict[Listed, int]:
    """Return the packs that the lost part described, as far as live snapshots need them."""
    found = {}
    for snapshot in lost.snapshots:
        refs = _refs(context, snapshot)
        if refs is None or lost.part not in refs.parts:
            continue
        position = refs.parts.index(lost.part)
        for ref in pack_refs(refs, what=f"refs of snapshot {snapshot.short_id}"):
            if ref.part == position:
                found[ref.seq, ref.sha256] = ref.size
    return found


def _described(context: ReindexContext, host: str, pack: Listed, size: int) -> IndexedPack:
    seq, sha256 = pack
    keeper = context.keeper
    name = layout.pack(SessionId(host=host, seq=seq), sha256)
    opener = PackOpener(keeper.trust.vault_id, host, context.keys)
    opened, records = opener.open_with_table(
        partial(_get, keeper.backend, name), size, seq, what=f"pack {sha256.hex()[:8]}"
    )
    return indexed_pack(seq, sha256, size, opened.kind, records)


def _get(backend: Backend, name: str, offset: int, length: int) -> bytes:
    return backend.get(name, offset=offset, length=length)


def _put(context: ReindexContext, lost: LostPart, packs: tuple[IndexedPack, ...]) -> str:
    """Put a new part, prove it, and let the log say what it is for."""
    keeper, seq = context.keeper, lost.part.seq
    trust = keeper.trust
    domain = trust.host_domain(lost.host)
    keys = context.keys.domain(domain, _newest_epoch(lost.snapshots))
    header = PartHeader(trust.vault_id, lost.host, seq, 0, domain, keys.epoch, context.random(16))
    data = parts.seal_part(header, packs, keys)
    session = SessionId(host=lost.host, seq=seq)
    parts.open_part(data, session, trust.vault_id, context.keys.index_key)
    part = PartRef(seq, hashing.sha256(data), len(data))
    name = layout.part(session, part.sha256)
    keeper.backend.put(name, data, sha256=part.sha256)
    keeper.say(ReindexBody(lost.host, lost.part.sha256, part))
    return name


def _newest_epoch(snapshots: Iterable[Snapshot]) -> int:
    return max(snapshot.epoch for snapshot in snapshots)
