"""Index parts of the vault, read into the index of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.errors import CorruptObjectError, IntegrityError, ObjectNotFoundError
from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.format.index import IndexedPack, records_in
from vaultd.format.session import PartRef, RootBody
from vaultd.vault import layout, parts
from vaultd.vault.chunk_index import ChunkIndex, PackRow
from vaultd.vault.local_db import savepoint

_PARTS_AT_ONCE = 16
"""About 800,000 chunks, for which the index is gone through once from its beginning to its end."""


class Failure(Struct, frozen=True):
    """An index part that cannot be read, and why."""

    part: PartRef
    error: IntegrityError | ObjectNotFoundError


def load_parts(
    backend: Backend,
    index: ChunkIndex,
    wanted: Iterable[PartRef],
    root: RootBody,
    index_key: parts.IndexKeyFinder,
) -> Iterator[Failure]:
    """Read index parts named by a committed root into an index, those that it does not hold.

    Yields:
        The parts that are gone or are not what the root names.

    Raises:
        StorageError: The backend does not answer.
    """
    missing = [part for part in wanted if index.part_number(part.sha256) is None]
    for batch in _batches(missing):
        opened = []
        failures = []
        for part in batch:
            try:
                opened.append((part, _open(backend, part, root, index_key)))
            except (IntegrityError, ObjectNotFoundError) as error:
                failures.append(Failure(part, error))
        # Not before all have come: meanwhile no backup could journal its packs.
        with index.adding_many() as db:
            for part, packs in opened:
                try:
                    with savepoint(db):
                        _add(index, part, packs)
                except IntegrityError as error:
                    failures.append(Failure(part, error))
        yield from failures


def _batches(missing: list[PartRef]) -> Iterator[list[PartRef]]:
    for start in range(0, len(missing), _PARTS_AT_ONCE):
        yield missing[start : start + _PARTS_AT_ONCE]


def _open(
    backend: Backend, part: PartRef, root: RootBody, index_key: parts.IndexKeyFinder
) -> tuple[IndexedPack, ...]:
    session = SessionId(host=root.host, seq=part.seq)
    data = backend.get(layout.part(session, part.sha256))
    found = hashing.sha256(data)
    if found != part.sha256:
        raise CorruptObjectError(
            f"index part {part.sha256.hex()[:8]}: its bytes have hash {found.hex()[:8]}"
        )
    return parts.open_part(data, session, root.vault_id, index_key)


def _add(index: ChunkIndex, part: PartRef, packs: tuple[IndexedPack, ...]) -> None:
    number = index.add_part(part)
    for pack in packs:
        row = PackRow(0, pack.seq, pack.sha256, pack.size, pack.kind, number)
        index.add_pack(row, records_in(pack, what=f"pack {pack.sha256.hex()[:8]}"), since=None)
