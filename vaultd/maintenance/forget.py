"""Entries in the keeper log: forgetting snapshots, changing tags. Nothing is deleted here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vaultd.core.errors import KeyringError
from vaultd.core.snapshot import Snapshot
from vaultd.format.log import Event, ForgetBody, TagBody, TagNames
from vaultd.maintenance.keeping import KeeperContext
from vaultd.vault.catalog import seal_tags
from vaultd.vault.keyring import ListingKeys
from vaultd.vault.log import append
from vaultd.vault.trust import Trust


def forget(context: KeeperContext, snapshots: Sequence[Snapshot], reason: str) -> None:
    """Take snapshots out of the live set; their data stays until it is pruned.

    Args:
        context: What writing the log needs.
        snapshots: Which.
        reason: For the log, in words.

    Raises:
        BrokenChainError: The log is not what it was.
        AccessDeniedError: This machine may not write the log.
    """
    for snapshot in snapshots:
        session = snapshot.session
        context.say(ForgetBody(session.host, session.seq, snapshot.root_sha256, reason))


def change_tags(
    context: KeeperContext,
    snapshots: Sequence[Snapshot],
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> None:
    """Add and remove tags of snapshots; the names are sealed, so the provider does not read them.

    Raises:
        KeyringError: The keys of a snapshot's domain are not at hand.
        BrokenChainError: The log is not what it was.
        AccessDeniedError: This machine may not write the log.
    """
    head = context.catalog.refresh_log(context.backend, context.trust)
    names = TagNames(tuple(add), tuple(remove))
    for snapshot in snapshots:
        domain = context.trust.host_domain(snapshot.session.host)
        keys = context.find_keys(domain, snapshot.epoch)
        if keys is None:
            raise KeyringError(
                f"snapshot {snapshot.short_id}: keys of domain {domain} are not on this machine",
                hint="Change its tags on the host that made it, or give a recovery key.",
            )
        make_event = _tagging(context.trust, snapshot, keys, names)
        entry = append(
            context.backend, context.trust, context.keeper, context.clock, make_event, head
        )
        head = entry.head
    context.catalog.refresh_log(context.backend, context.trust)


def _tagging(
    trust: Trust, snapshot: Snapshot, keys: ListingKeys, names: TagNames
) -> Callable[[int], Event]:
    session = snapshot.session

    def make(number: int) -> TagBody:
        sealed = seal_tags(names, number, trust, keys)
        return TagBody(session.host, session.seq, keys.domain, keys.epoch, sealed)

    return make
