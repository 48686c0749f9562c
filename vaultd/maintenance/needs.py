"""What the snapshots of one host need: packs and index parts, from their signed roots.

Nothing may be deleted on the word of a set that is too small, so a root that cannot be read,
verified and opened is an error here, never a gap.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial

from vaultd.backends.base import Backend
from vaultd.core.errors import KeyringError, ObjectNotFoundError
from vaultd.core.snapshot import Snapshot
from vaultd.format.session import RefsSection, pack_bytes
from vaultd.pipeline.workers import Crew, bulk_work
from vaultd.vault import roots
from vaultd.vault.catalog import KeyFinder
from vaultd.vault.committed import read_root
from vaultd.vault.trust import Trust

_SHA256_BYTES = 32
_READERS = 4


class Needs:
    """What the snapshots of one host need; it only ever grows.

    Args:
        backend: Where the vault lies.
        trust: Whom to believe.
        find_keys: Gives the index key of a domain and epoch.

    Attributes:
        packs: SHA-256 of every pack needed.
        parts: SHA-256 of every index part needed.
        roots: SHA-256 of the root of every snapshot taken in.
    """

    def __init__(self, backend: Backend, trust: Trust, find_keys: KeyFinder) -> None:
        self._backend = backend
        self._trust = trust
        self._find_keys = find_keys
        self._lock = threading.Lock()
        self._longest: dict[int, bytes] = {}
        self.packs: set[bytes] = set()
        self.parts: set[bytes] = set()
        self.roots: set[bytes] = set()

    def add(self, snapshots: Iterable[Snapshot]) -> list[Snapshot]:
        """Take in what snapshots need; those taken in before are not read again.

        Returns:
            Those whose roots are gone: what they need is not known.

        Raises:
            KeyringError: The index key of one is not at hand.
            IntegrityError: A root cannot be believed.
            StorageError: One cannot be read.
        """
        gone: list[Snapshot] = []
        new = [snapshot for snapshot in snapshots if snapshot.root_sha256 not in self.roots]
        with bulk_work(), Crew("needs", _READERS, 2 * _READERS, lambda: None) as crew:
            for snapshot in new:
                crew.submit(partial(self._add, snapshot, gone))
            crew.drain()
        return gone

    def _add(self, snapshot: Snapshot, gone: list[Snapshot], _: None) -> None:
        session = snapshot.session
        domain = self._trust.host_domain(session.host)
        keys = self._find_keys(domain, snapshot.epoch)
        if keys is None:
            raise KeyringError(
                f"snapshot {snapshot.short_id}: the index key of domain {domain} epoch "
                f"{snapshot.epoch} is not on this machine, so what it needs cannot be seen",
                hint="Renew the keeper's keys: make a request on it, enrol it again, accept it.",
            )
        try:
            root = read_root(self._backend, self._trust, snapshot)
        except ObjectNotFoundError:
            gone.append(snapshot)
            return
        refs = roots.open_refs(root, keys.index_key)
        pack_bytes(refs, what=f"refs of snapshot {snapshot.short_id}")  # columns that fit together
        with self._lock:
            self._take_in(snapshot, refs)

    def _take_in(self, snapshot: Snapshot, refs: RefsSection) -> None:
        sha256s = refs.packs.sha256s
        # Snapshots of one chain begin with the same packs, a million times over.
        before = self._longest.get(snapshot.chain, b"")
        start = len(before) if sha256s.startswith(before) else 0
        if len(sha256s) > len(before):
            self._longest[snapshot.chain] = sha256s
        if not before.startswith(sha256s):
            self.packs.update(
                sha256s[at : at + _SHA256_BYTES] for at in range(start, len(sha256s), _SHA256_BYTES)
            )
        self.parts.update(part.sha256 for part in refs.parts)
        self.roots.add(snapshot.root_sha256)
