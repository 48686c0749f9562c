"""What commands about locks begin with."""

from __future__ import annotations

from vaultctl.context import App
from vaultctl.listing import Listed
from vaultd.maintenance.locks import LockContext


def lock_context(app: App, listed: Listed) -> LockContext:
    """Return what looking at locks needs."""
    return LockContext(
        backend=listed.place.backend,
        trust=listed.place.trust,
        find_keys=listed.find_keys,
        snapshots=listed.snapshots,
        folder=listed.place.identity.folder,
        observer=app.progress,
    )
