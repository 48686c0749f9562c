"""Deciding a condemnation: wait for sessions, look again, sweep, delete (FORMAT.md 10.1)."""

from __future__ import annotations

import contextlib
from functools import partial

from msgspec import Struct

from vaultd.core.errors import (
    AccessDeniedError,
    CautionError,
    IntegrityError,
    ObjectExistsError,
)
from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.format.codec import decode
from vaultd.format.log import NameColumns, RevokeBody, SweepBody, name_columns, names_in
from vaultd.format.session import IntentBody, RevokedBody
from vaultd.format.signed import INTENT, OUTCOME
from vaultd.maintenance.keeping import KeeperContext
from vaultd.maintenance.needs import Needs
from vaultd.maintenance.survey import Doomed, PruneRules, needs_now
from vaultd.pipeline.workers import Crew
from vaultd.vault import layout
from vaultd.vault.log import append_next
from vaultd.vault.log_state import Mark
from vaultd.vault.trust import open_object, sign_object

_DELETERS = 8


class OpenSession(Struct, frozen=True, kw_only=True):
    """A session without an outcome.

    Attributes:
        session: Which.
        active_ns: When it last stored something, by the server's clock.
        log_seen: Newest log entry that it surely knows.
    """

    session: SessionId
    active_ns: int
    log_seen: int


def open_sessions(context: KeeperContext, host: str) -> list[OpenSession]:
    """Return the sessions of a host that have begun and not ended, oldest first; looked up anew."""
    backend = context.backend
    begun = {info.name: info for info in backend.list(f"{layout.SESSIONS}{host}/")}
    ended = {
        layout.session_of(info.name) for info in backend.list(f"{layout.OUTCOMES}{host}/")
    } | context.catalog.forgotten()
    found = []
    for name, info in begun.items():
        session = layout.session_of(name)
        if session in ended:
            continue
        stored = (pack.modified_ns for pack in backend.list(layout.packs_of(session)))
        found.append(
            OpenSession(
                session=session,
                active_ns=max(info.modified_ns, *stored, 0),
                log_seen=_log_seen(context, name, session),
            )
        )
    return found


def _log_seen(context: KeeperContext, name: str, session: SessionId) -> int:
    """Return the newest log entry that an intent says it knew; 0 when it cannot be believed."""
    trust = context.trust
    keys = trust.host_keys(session.host, session.seq)
    with contextlib.suppress(IntegrityError):
        data = context.backend.get(name, length=INTENT.limit + 1)
        body = decode(
            IntentBody, open_object(INTENT, data, keys, what=name), what=name, limit=INTENT.limit
        )
        if (body.vault_id, body.host, body.seq) == (trust.vault_id, session.host, session.seq):
            return body.log_seen
    return 0


def close_dead(
    context: KeeperContext, sessions: list[OpenSession], now_ns: int, rules: PruneRules
) -> list[SessionId]:
    """Revoke sessions that seem to be dead, and return them; a host that lives repeats its run.

    Args:
        context: What the keeper has.
        sessions: Open ones of one host, oldest first.
        now_ns: By the server's clock.
        rules: When a session counts as dead.

    Raises:
        AccessDeniedError: This machine may not do so.
    """
    oldest_ns = now_ns - rules.revoke_after_s * 10**9
    closed = []
    for at, one in enumerate(sessions):
        if one.active_ns >= oldest_ns and len(sessions) - at <= rules.max_open:
            continue
        session = one.session
        body = RevokedBody(
            context.trust.vault_id, session.host, session.seq, context.keeper.name, now_ns
        )
        data = sign_object(OUTCOME, body, context.keeper.signer)
        with contextlib.suppress(ObjectExistsError):  # it has ended by itself just now
            context.backend.put(layout.outcome(session), data, sha256=hashing.sha256(data))
            context.say(RevokeBody(session.host, session.seq))
            closed.append(session)
    return closed


def decide(context: KeeperContext, mark: Mark, needs: Needs, since: int) -> SweepBody:
    """Write what of a condemnation is deleted; every session that did not know it has ended.

    Args:
        context: What the keeper has.
        mark: The condemnation.
        needs: What was needed when it was made; grows by what is needed now.
        since: As for `vaultd.maintenance.survey.protected`.

    Returns:
        What is swept, by whoever was first.

    Raises:
        CautionError: The vault is not as it should be.
        IntegrityError: The log or a root cannot be believed.
    """
    body = mark.body
    while True:
        refresh(context)
        known = context.catalog.state().marks[mark.number]
        if known.sweep is not None:
            return known.sweep
        head = context.catalog.log_head()
        needs_now(context, body.host, since, needs)
        sweep = SweepBody(
            mark.number,
            _without(body.packs, needs.packs, mark),
            _without(body.parts, needs.parts, mark),
            _without(body.roots, needs.roots, mark),
        )
        with contextlib.suppress(ObjectExistsError):  # somebody said something meanwhile
            append_next(context.backend, context.trust, context.keeper, context.clock, sweep, head)
            context.catalog.refresh_log(context.backend, context.trust)
            return sweep


def refresh(context: KeeperContext) -> None:
    """Learn what is new in the vault.

    Raises:
        CautionError: Something is wrong with it, so that nothing should be deleted.
    """
    findings = context.catalog.refresh(context.backend, context.trust, context.find_keys)
    if findings:
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        raise CautionError(
            f"nothing is deleted from a vault that is not as it should be: {findings[0]}{more}",
            hint="Run `vaultctl check`; bring back what is missing, or forget that snapshot.",
        )


def _without(columns: NameColumns, needed: set[bytes], mark: Mark) -> NameColumns:
    names = names_in(columns, what=f"log entry {mark.number}")
    return name_columns(name for name in names if name[1] not in needed)


class Deleted(Struct, kw_only=True):
    """What came of deleting.

    Attributes:
        objects: How many are gone.
        size: Their bytes.
        retained: How many the storage still protects.
    """

    objects: int = 0
    size: int = 0
    retained: int = 0


def delete(context: KeeperContext, host: str, doomed: Doomed) -> Deleted:
    """Delete what was swept; whatever a lock protects stays until a later run.

    Raises:
        StorageError: The backend does not answer.
    """
    done = Deleted()

    def one(name: str, size: int, _: None) -> None:
        try:
            context.backend.delete(name)
        except AccessDeniedError:
            done.retained += 1
        else:
            done.objects += 1
            done.size += size

    with Crew("delete", _DELETERS, 2 * _DELETERS, lambda: None) as crew:
        for name, size in doomed.names(host):
            crew.submit(partial(one, name, size))
        crew.drain()
    return done
