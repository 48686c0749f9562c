"""Winning back the space of packs of which little is still needed, without reading them.

A snapshot names every pack of its chain, however little of it its tree still uses, and only who
holds a recovery key can see trees. With one, packs that are mostly dead are listed in the log as
to be avoided: the next snapshot stores the little that it needs of them anew and no longer names
them, and they go with the last older snapshot that does. Nothing becomes less safe by it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from msgspec import Struct

from vaultd.compression import Decompressor
from vaultd.core.events import Advanced, PhaseStarted
from vaultd.core.snapshot import Snapshot
from vaultd.core.units import MIB
from vaultd.format.log import AvoidBody, Listed, name_columns
from vaultd.format.session import PackRef
from vaultd.maintenance.keeping import KeeperContext
from vaultd.vault.proving import chunks_of
from vaultd.vault.reader import DATA, META, ReadContext, SnapshotReader

_SMALL_BYTES = MIB
"""Smaller packs are mostly header and padding, and not worth an entry."""


class CondenseRule(Struct, frozen=True, kw_only=True):
    """When a pack is sparse, and how much may be stored anew for it.

    Attributes:
        below: Of a pack's bytes less than this share is needed: 0 to 1.
        most: At most this share of all bytes that a snapshot names is stored anew by the next run.
    """

    below: float = 0.4
    most: float = 0.05


class Sparse(Struct, frozen=True, kw_only=True):
    """Packs of one host of which little is needed.

    Attributes:
        snapshot: The newest of its store, whose tree was read.
        packs: By session and hash, ascending.
        size: Bytes of these packs.
        needed: Bytes of them that the next snapshot stores anew.
    """

    snapshot: Snapshot
    packs: tuple[Listed, ...]
    size: int
    needed: int


def find_sparse(
    context: KeeperContext, reading: ReadContext, snapshots: Sequence[Snapshot], rule: CondenseRule
) -> Iterator[Sparse]:
    """Yield what is sparse in the newest snapshot of each store; changes nothing.

    Args:
        context: What the keeper has.
        reading: What reading trees needs.
        snapshots: The live ones, oldest first.
        rule: What is sparse.

    Raises:
        IntegrityError: A tree cannot be read whole.
        StorageError: The backend does not answer.
    """
    newest = {(one.session.host, one.store_id): one for one in snapshots}
    context.observer(PhaseStarted(name="look at what trees need", files=len(newest)))
    for number, snapshot in enumerate(newest.values()):
        avoided = context.catalog.state().avoided.get(snapshot.session.host, {})
        with SnapshotReader(reading, snapshot) as reader:
            found = _sparse(reader, snapshot, rule, avoided)
        if found.packs:
            yield found
        context.observer(Advanced(files=number + 1, data=0, stored=0))


def condense(context: KeeperContext, found: Iterable[Sparse]) -> None:
    """Tell hosts to avoid what is sparse.

    Raises:
        AccessDeniedError: This machine may not write the log.
    """
    for sparse in found:
        host = sparse.snapshot.session.host
        context.say(AvoidBody(host, "sparse", name_columns(sparse.packs)))


def _sparse(
    reader: SnapshotReader, snapshot: Snapshot, rule: CondenseRule, avoided: Iterable[Listed]
) -> Sparse:
    known = set(avoided)
    needed = _needed(reader)
    packs = [ref for ref in reader.packs() if (ref.seq, ref.sha256) not in known]
    left = rule.most * sum(ref.size for ref in packs)
    chosen: list[PackRef] = []
    for ref in sorted(packs, key=lambda ref: needed[ref.sha256] / ref.size):
        left -= needed[ref.sha256]
        if needed[ref.sha256] >= rule.below * ref.size or left < 0:
            break
        if ref.size >= _SMALL_BYTES:
            chosen.append(ref)
    return Sparse(
        snapshot=snapshot,
        packs=tuple(sorted((ref.seq, ref.sha256) for ref in chosen)),
        size=sum(ref.size for ref in chosen),
        needed=sum(needed[ref.sha256] for ref in chosen),
    )


def _needed(reader: SnapshotReader) -> Counter[bytes]:
    """Return how many bytes of each pack the tree of a snapshot needs."""
    found: Counter[bytes] = Counter()
    # In a file, because a tree may name very many chunks, each of them often.
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        db.execute("CREATE TABLE chunk (id BLOB, kind INTEGER, PRIMARY KEY (id)) WITHOUT ROWID")
        db.execute("BEGIN")
        db.executemany("INSERT OR IGNORE INTO chunk VALUES (?,?)", _chunks(reader))
        for chunk_id, kind in db.execute("SELECT id, kind FROM chunk"):
            found.update(reader.stored_in(chunk_id, kind))
    return found


def _chunks(reader: SnapshotReader) -> Iterator[tuple[bytes, int]]:
    decompressor = Decompressor()
    for at, chunk in enumerate(reader.meta.tree):
        yield chunk.chunk_id, META
        for block in reader.blocks_of(at, decompressor):
            for content in block.contents:
                if isinstance(content, tuple):
                    yield from ((chunk_id, META) for chunk_id in content)
                for chunk_id in chunks_of(reader, content, decompressor):
                    yield chunk_id, DATA
