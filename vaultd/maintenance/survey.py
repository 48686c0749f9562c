"""What lies in a vault of one host, beside what its snapshots need (FORMAT.md 10.1, step 1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from vaultd.core.errors import CautionError, MalformedObjectError
from vaultd.core.snapshot import SessionId, Snapshot
from vaultd.format.log import Listed
from vaultd.maintenance.keeping import KeeperContext
from vaultd.maintenance.needs import Needs
from vaultd.vault import layout
from vaultd.vault.log_state import SPARSE, LogState
from vaultd.vault.recall import plain

_DAY_S = 86_400


class PruneRules(Struct, frozen=True, kw_only=True):
    """How careful a keeper is. Safety depends on none of it (FORMAT.md 10.1), but undoing does.

    Attributes:
        recall_s: A snapshot can be recalled so many seconds after it was forgotten.
        wait_s: Nothing is deleted sooner than so many seconds after it was condemned.
        revoke_after_s: A session that has stored nothing for so many seconds is closed.
        max_open: Of more open sessions of one host than this the oldest are closed.
        max_share: A person must confirm when more of the packs than this would be condemned.
        confirmed: How many packs a person has confirmed; ``None``: nobody has.
    """

    recall_s: int = 7 * _DAY_S
    wait_s: int = _DAY_S
    revoke_after_s: int = _DAY_S
    max_open: int = 4
    max_share: float = 0.3
    confirmed: int | None = None


class Doomed(Struct, frozen=True, kw_only=True):
    """Objects of one host by session and hash, each with its bytes."""

    packs: dict[Listed, int] = field(default_factory=dict)
    parts: dict[Listed, int] = field(default_factory=dict)
    roots: dict[Listed, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.packs or self.parts or self.roots)

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(sum(found.values()) for found in (self.packs, self.parts, self.roots))

    def names(self, host: str) -> Iterator[tuple[str, int]]:
        """Yield their names and bytes."""
        for (seq, sha256), size in self.packs.items():
            yield layout.pack(SessionId(host=host, seq=seq), sha256), size
        for (seq, sha256), size in self.parts.items():
            yield layout.part(SessionId(host=host, seq=seq), sha256), size
        for (seq, _), size in self.roots.items():
            yield layout.outcome(SessionId(host=host, seq=seq)), size


class Survey(Struct, frozen=True, kw_only=True):
    """What lies there of one host.

    Attributes:
        host: The host.
        packs: How many packs are listed.
        lacking: Packs that are needed and not listed, and that the log does not know to be lost.
        fresh: What nothing needs, and nothing condemns yet.
        swept: What was swept before and is still there.
    """

    host: str
    packs: int
    lacking: int
    fresh: Doomed
    swept: Doomed


def protected(context: KeeperContext, host: str, since: int) -> list[Snapshot]:
    """Return the snapshots of a host whose needs must stay: live ones, and those to be recalled.

    Args:
        context: What the keeper has; its catalog was just refreshed.
        host: The host.
        since: Snapshots forgotten by this log entry or a later one can be recalled.
    """
    state = context.catalog.state()
    swept = _said(state, host).swept
    return [
        snapshot
        for snapshot in context.catalog.all_snapshots()
        if snapshot.session.host == host
        and (snapshot.session.seq, snapshot.root_sha256) not in swept
        and (
            snapshot.session not in state.forgotten
            or state.forgotten[snapshot.session].number >= since
        )
    ]


def needs_now(context: KeeperContext, host: str, since: int, needs: Needs | None = None) -> Needs:
    """Return what the snapshots of a host need.

    Args:
        context: What the keeper has; its catalog was just refreshed.
        host: The host.
        since: As for `protected`.
        needs: What is known to be needed already; grows.

    Raises:
        CautionError: The root of a snapshot is gone.
        KeyringError: What a snapshot needs cannot be seen with the keys of this keeper.
        IntegrityError: A root cannot be believed.
    """
    if needs is None:
        needs = Needs(context.backend, context.trust, context.find_keys)
    gone = needs.add(protected(context, host, since))
    if gone:  # perhaps another keeper has just deleted it, for good reason
        context.catalog.refresh_log(context.backend, context.trust)
        still = protected(context, host, since)
        for snapshot in gone:
            if snapshot in still:
                raise CautionError(
                    f"snapshot {snapshot.short_id} of {snapshot.session}: its root is gone, so "
                    "what it needs is not known, and nothing is deleted",
                    hint="Bring the root back from a second copy, or forget that snapshot.",
                )
    stand_ins = context.catalog.state().stand_ins()
    needs.parts.update(one.sha256 for lost, one in stand_ins.items() if lost in needs.parts)
    return needs


def survey(context: KeeperContext, host: str, needs: Needs) -> Survey:
    """Look at everything of one host.

    Args:
        context: What the keeper has; its catalog was just refreshed.
        host: The host.
        needs: What its snapshots need, all of `protected` taken in.

    Raises:
        StorageError: It cannot be listed.
    """
    state = context.catalog.state()
    prefix = f"{layout.OUTCOMES}{host}/"
    said = _said(state, host)
    said.closed.update(layout.session_of(info.name).seq for info in context.backend.list(prefix))
    # What a keeper has deleted in a bucket with versions is hidden, and must not be deleted again.
    there = {layout.session_of(info.name): info for info in plain(context.backend).list(prefix)}
    fresh, swept = Doomed(), Doomed()
    packs, needed = _sort(
        listed(context, f"{layout.PACKS}{host}/"), needs.packs, said, (fresh.packs, swept.packs)
    )
    avoided = state.avoided.get(host, {}).items()
    known = {sha256 for (_, sha256), one in avoided if one.why != SPARSE} & needs.packs
    _sort(listed(context, f"{layout.PARTS}{host}/"), needs.parts, said, (fresh.parts, swept.parts))
    roots = (
        ((one.session.seq, one.root_sha256), there[one.session].size)
        for one in context.catalog.all_snapshots()
        if one.session in there
    )
    _sort(roots, needs.roots, said, (fresh.roots, swept.roots))
    lacking = max(len(needs.packs) - needed - len(known), 0)
    return Survey(host=host, packs=packs, lacking=lacking, fresh=fresh, swept=swept)


def _sort(
    found: Iterable[tuple[Listed, int]],
    needed: set[bytes],
    said: _Said,
    into: tuple[dict[Listed, int], dict[Listed, int]],
) -> tuple[int, int]:
    """Put what nothing needs where it belongs; return how many were found, and how many needed."""
    fresh, swept = into
    count = in_use = 0
    for name, size in found:
        count += 1
        if name[1] in needed:
            in_use += 1
        elif name in said.swept:
            swept[name] = size
        elif name[0] in said.closed and name not in said.condemned:
            fresh[name] = size
    return count, in_use


def first_recallable(context: KeeperContext, now_ns: int, rules: PruneRules) -> int:
    """Return the first log entry whose forgotten snapshots can still be recalled.

    Args:
        context: What the keeper has.
        now_ns: By the server's clock, which also tells when entries were written.
        rules: How long that is.
    """
    oldest_ns = now_ns - rules.recall_s * 10**9
    for info in context.backend.list(layout.LOG):
        number = layout.log_number(info.name)
        if number is not None and info.modified_ns >= oldest_ns:
            return number
    return context.catalog.log_head().number + 1


class _Said(Struct, kw_only=True):
    """What the log says of one host.

    Attributes:
        condemned: And not decided yet.
        swept: To be deleted.
        closed: Sessions that have ended.
    """

    condemned: set[Listed]
    swept: set[Listed]
    closed: set[int]


def _said(state: LogState, host: str) -> _Said:
    closed = {session.seq for session in state.forgotten if session.host == host}
    said = _Said(condemned=set(), swept=set(), closed=closed)
    for mark in state.marks.values():
        if mark.body.host == host:
            found = said.condemned if mark.sweep is None else said.swept
            found.update(mark.names)
    return said


def listed(context: KeeperContext, prefix: str) -> Iterator[tuple[Listed, int]]:
    """Yield packs or index parts that are there by session and hash, each with its bytes."""
    for info in context.backend.list(prefix):
        with contextlib.suppress(MalformedObjectError):  # not ours, so not ours to delete
            session, sha256 = layout.hashed_of(info.name)
            yield (session.seq, sha256), info.size
