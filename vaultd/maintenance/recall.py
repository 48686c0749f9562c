"""Bringing forgotten snapshots back, as long as nothing that they need was swept; and pins."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from vaultd.core.errors import CautionError, ObjectExistsError
from vaultd.core.snapshot import Snapshot
from vaultd.format.log import PinBody, RecallBody
from vaultd.maintenance.keeping import KeeperContext
from vaultd.maintenance.needs import Needs
from vaultd.maintenance.survey import listed
from vaultd.vault import layout
from vaultd.vault.log import append_next


def recallable(context: KeeperContext) -> list[Snapshot]:
    """Return the forgotten snapshots that can still be brought back, oldest first."""
    state = context.catalog.state()
    seen = context.catalog.all_snapshots()
    swept = {host: _swept(context, host) for host in {one.session.host for one in seen}}
    found = [
        snapshot
        for snapshot in seen
        if snapshot.session in state.forgotten
        and snapshot.root_sha256 not in swept[snapshot.session.host]
    ]
    return sorted(found, key=lambda snapshot: (snapshot.started_ns, snapshot.session))


def recall(context: KeeperContext, snapshots: Sequence[Snapshot], reason: str) -> None:
    """Bring forgotten snapshots back.

    Args:
        context: What the keeper has.
        snapshots: Which; those that are live stay so.
        reason: For the log, in words.

    Raises:
        CautionError: Something that one needs is deleted, or may be at any moment.
        IntegrityError: A root cannot be believed.
        KeyringError: What one needs cannot be seen with the keys at hand.
    """
    for snapshot in snapshots:
        needs = Needs(context.backend, context.trust, context.find_keys)
        if needs.add([snapshot]):
            raise _too_late(snapshot, "its root")
        while True:
            head = context.catalog.refresh_log(context.backend, context.trust)
            if snapshot.session not in context.catalog.forgotten():
                break
            _expect_kept(context, snapshot, needs)
            session = snapshot.session
            event = RecallBody(session.host, session.seq, snapshot.root_sha256, reason)
            with contextlib.suppress(ObjectExistsError):  # perhaps a sweep: look again
                append_next(
                    context.backend, context.trust, context.keeper, context.clock, event, head
                )
    context.catalog.refresh_log(context.backend, context.trust)


def pin(
    context: KeeperContext, snapshots: Sequence[Snapshot], *, pinned: bool, reason: str
) -> None:
    """Keep rules from forgetting snapshots, or let them again.

    Raises:
        AccessDeniedError: This machine may not write the log.
    """
    for snapshot in snapshots:
        session = snapshot.session
        context.say(PinBody(session.host, session.seq, snapshot.root_sha256, pinned, reason))


def _expect_kept(context: KeeperContext, snapshot: Snapshot, needs: Needs) -> None:
    swept = _swept(context, snapshot.session.host)
    gone = len((needs.packs | needs.parts | needs.roots) & swept)
    if gone:
        raise _too_late(snapshot, f"{gone} objects that it needs")
    # A checkpoint leaves out sweeps of which nothing is left, so the log alone does not tell.
    missing = needs.packs | needs.parts
    for kind in (layout.PACKS, layout.PARTS):
        for (_, sha256), _ in listed(context, f"{kind}{snapshot.session.host}/"):
            missing.discard(sha256)
    missing -= context.catalog.state().reindexed.keys()
    if missing:
        raise _too_late(snapshot, f"{len(missing)} objects that it needs")


def _too_late(snapshot: Snapshot, what: str) -> CautionError:
    return CautionError(
        f"snapshot {snapshot.short_id} cannot be brought back: {what} had to go",
        hint="Look for the snapshot in a second copy of the vault.",
    )


def _swept(context: KeeperContext, host: str) -> set[bytes]:
    return {
        sha256
        for mark in context.catalog.state().marks.values()
        if mark.body.host == host and mark.sweep is not None
        for _, sha256 in mark.names
    }
