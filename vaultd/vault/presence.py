"""Are the packs there that an index knows of: two sorted lists, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from vaultd.backends.base import Backend
from vaultd.core.snapshot import SessionId
from vaultd.vault import layout
from vaultd.vault.chunk_index import PackRow


def presence(
    backend: Backend, host: str, packs: Iterable[PackRow]
) -> Iterator[tuple[PackRow, bool]]:
    """Yield packs, each with whether the backend lists it with its size.

    Args:
        backend: Where the vault lies; it lists the packs of each session that is named once.
        host: Whose packs.
        packs: By session and hash, ascending.

    Raises:
        StorageError: It cannot be listed.
    """
    for seq, rows in groupby(packs, key=lambda row: row.seq):
        folder = layout.packs_of(SessionId(host=host, seq=seq))
        listed = backend.list(folder)
        found = next(listed, None)
        for row in rows:
            name = folder + row.sha256.hex()
            while found is not None and found.name < name:
                found = next(listed, None)
            yield row, found is not None and found.name == name and found.size == row.size
