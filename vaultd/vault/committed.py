"""The root of a snapshot that was listed, as it was committed: whatever was done to it since."""

from __future__ import annotations

from vaultd.backends.base import Backend
from vaultd.core.errors import CorruptObjectError
from vaultd.core.snapshot import Snapshot
from vaultd.crypto import hashing
from vaultd.format.session import RootBody
from vaultd.vault import layout, roots
from vaultd.vault.recall import recall
from vaultd.vault.trust import Trust


def read_root(backend: Backend, trust: Trust, snapshot: Snapshot) -> RootBody:
    """Return the root of a snapshot that is listed.

    Raises:
        ObjectNotFoundError: It is gone.
        IntegrityError: It is not what was committed.
    """
    name = layout.outcome(snapshot.session)
    data = backend.get(name)
    if hashing.sha256(data) != snapshot.root_sha256 and recall(backend, name):
        data = backend.get(name)
    if hashing.sha256(data) != snapshot.root_sha256:
        raise CorruptObjectError(f"{name}: is another object than the one that was committed")
    root = roots.open_outcome(data, snapshot.session, trust)
    if not isinstance(root, RootBody):
        raise CorruptObjectError(f"{name}: is no snapshot")
    return root
