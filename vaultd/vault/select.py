"""Choosing snapshots: filters, and the names that people give to one of them. Pure.

A reference is ``latest``, ``latest~2`` (the second before it), the first digits of an id, or
``host/12`` (a session). After a colon may follow a path in the snapshot: ``latest:/etc``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from vaultd.core.clock import rfc3339
from vaultd.core.errors import ConfigError, ObjectNotFoundError
from vaultd.core.snapshot import Snapshot

_LATEST = re.compile(r"latest(?:~(\d{1,6}))?")
_SESSION = re.compile(r"([a-z0-9][a-z0-9-]{0,39})/(\d{1,10})")
_ID = re.compile(r"[0-9a-f]{1,64}")
_SHOWN = 8
"""Candidates named in the message about an ambiguous reference."""


class Filter(Struct, frozen=True, kw_only=True):
    """Which snapshots are looked at; what is empty lets all pass.

    Attributes:
        hosts: Names of hosts, as enrolled or as the machine calls itself: one of them.
        stores: Names of stores: one of them.
        paths: Captured paths: all of them.
        tags: Lists of tags: all tags of one of the lists; an empty list means no tag at all.
        not_after_ns: Captured at or before this instant, nanoseconds since 1970.
    """

    hosts: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    paths: tuple[bytes, ...] = ()
    tags: tuple[tuple[str, ...], ...] = ()
    not_after_ns: int | None = None

    def matches(self, snapshot: Snapshot) -> bool:
        """Tell whether a snapshot passes."""
        if self.hosts and not {snapshot.session.host, snapshot.hostname} & set(self.hosts):
            return False
        if self.stores and snapshot.store not in self.stores:
            return False
        if not set(self.paths) <= set(snapshot.roots):
            return False
        if self.not_after_ns is not None and snapshot.started_ns > self.not_after_ns:
            return False
        return not self.tags or any(_has_tags(snapshot, wanted) for wanted in self.tags)

    def words(self) -> str:
        """Return the filter in words, for messages: `` of host web1, before 2026-…``."""
        parts = []
        if self.hosts:
            parts.append(f"of host {' or '.join(self.hosts)}")
        if self.stores:
            parts.append(f"of store {' or '.join(self.stores)}")
        if self.paths:
            parts.append(f"of {' and '.join(path.decode(errors='replace') for path in self.paths)}")
        if self.tags:
            parts.append(f"tagged {' or '.join(','.join(tags) or 'nothing' for tags in self.tags)}")
        if self.not_after_ns is not None:
            parts.append(f"from {rfc3339(self.not_after_ns)} or before")
        return ", ".join(parts)


class Reference(Struct, frozen=True, kw_only=True):
    """What a reference names.

    Attributes:
        snapshot: The snapshot.
        path: The path below its top, without slashes around it; ``b""`` is all of it.
    """

    snapshot: Snapshot
    path: bytes = b""


def chosen(snapshots: Iterable[Snapshot], wanted: Filter) -> list[Snapshot]:
    """Return the snapshots that pass a filter, in their order."""
    return [snapshot for snapshot in snapshots if wanted.matches(snapshot)]


def latest_of_each(
    snapshots: Iterable[Snapshot], count: int, key: Callable[[Snapshot], object]
) -> list[Snapshot]:
    """Return the newest ``count`` snapshots of each group, in their order.

    Args:
        snapshots: Oldest first.
        count: How many of each group.
        key: Tells the group of a snapshot.
    """
    listed = list(snapshots)
    left: dict[object, int] = {}
    kept = []
    for snapshot in reversed(listed):
        group = key(snapshot)
        left[group] = left.get(group, count) - 1
        if left[group] >= 0:
            kept.append(snapshot)
    return kept[::-1]


def resolve(text: str, snapshots: Sequence[Snapshot], wanted: Filter) -> Reference:
    """Return the snapshot that a reference names, and the path after its colon.

    Filters choose among snapshots for ``latest``; an id or a session is found whatever they say,
    but an instant (`Filter.not_after_ns`) beside one makes no sense.

    Args:
        text: The reference.
        snapshots: All that there are, oldest first.
        wanted: Filters.

    Raises:
        ConfigError: It is no reference, or several snapshots begin so.
        ObjectNotFoundError: There is no such snapshot.
    """
    name, _, path = text.partition(":")
    below = path.encode("utf-8", "surrogateescape").strip(b"/")
    match = _LATEST.fullmatch(name)
    if match is not None:
        snapshot = _counted_back(snapshots, wanted, int(match[1] or 0))
        return Reference(snapshot=snapshot, path=below)
    if wanted.not_after_ns is not None:
        raise ConfigError(
            f"snapshot {name!r} together with an instant",
            hint="Leave out --at, or write latest instead of the id.",
        )
    match = _SESSION.fullmatch(name)
    if match is not None:
        return Reference(snapshot=_of_session(snapshots, match[1], int(match[2])), path=below)
    return Reference(snapshot=_of_id(snapshots, name.lower()), path=below)


def _has_tags(snapshot: Snapshot, wanted: tuple[str, ...]) -> bool:
    return set(wanted) <= set(snapshot.tags) if wanted else not snapshot.tags


def _counted_back(snapshots: Sequence[Snapshot], wanted: Filter, back: int) -> Snapshot:
    found = chosen(snapshots, wanted)
    if len(found) > back:
        return found[-1 - back]
    words = wanted.words()
    count = f"only {len(found)}" if found else "none"
    raise ObjectNotFoundError(
        f"no snapshot latest{f'~{back}' if back else ''}: "
        f"of {len(snapshots)} in the vault, {count} {'is ' + words if words else 'can be seen'}",
        hint="Run `vaultctl snapshots` to see what there is.",
    )


def _of_session(snapshots: Sequence[Snapshot], host: str, seq: int) -> Snapshot:
    for snapshot in snapshots:
        if (snapshot.session.host, snapshot.session.seq) == (host, seq):
            return snapshot
    raise ObjectNotFoundError(
        f"no snapshot {host}/{seq} among the {len(snapshots)} in the vault",
        hint="Run `vaultctl snapshots` to see what there is; it may have been forgotten.",
    )


def _of_id(snapshots: Sequence[Snapshot], prefix: str) -> Snapshot:
    if _ID.fullmatch(prefix) is None:
        raise ConfigError(
            f"{prefix!r} does not name a snapshot",
            hint="Write latest, latest~2, the first digits of an id, or HOST/NUMBER.",
        )
    found = [snapshot for snapshot in snapshots if snapshot.id.startswith(prefix)]
    if not found:
        raise ObjectNotFoundError(
            f"no snapshot begins with {prefix[:16]!r} among the {len(snapshots)} in the vault",
            hint="Run `vaultctl snapshots` to see what there is; it may have been forgotten.",
        )
    if len(found) > 1:
        named = ", ".join(
            f"{one.id[: max(len(prefix) + 4, 8)]} ({rfc3339(one.started_ns)})"
            for one in found[:_SHOWN]
        )
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ConfigError(
            f"{len(found)} snapshots begin with {prefix!r}: {named}{more}",
            hint="Give more digits of the id.",
        )
    return found[0]
