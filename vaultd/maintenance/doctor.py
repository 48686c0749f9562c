"""Can this backend be trusted with a vault, and this machine with a backup: tried, not guessed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.backends.conformance import (
    DELETING,
    PROMISES,
    Bench,
    clock_ahead_s,
    may_delete,
    try_promise,
)
from vaultd.backends.versions import Lock, Versions
from vaultd.core.clock import Clock, rfc3339
from vaultd.core.errors import AccessDeniedError, StorageError, VaultdError
from vaultd.core.events import Advanced, Observer, PhaseStarted
from vaultd.core.units import GIB, format_size
from vaultd.pipeline.restore import free_bytes
from vaultd.pipeline.workers import Crew
from vaultd.vault.lock_options import PROBES
from vaultd.vault.trust import Pin, load_trust

_SKEW_S = 60.0
_ENFORCE = "Do not rely on locks there: this server does not enforce them."
_LITTLE_SPACE = GIB


class DoctorContext(Struct, frozen=True, kw_only=True):
    """What is looked at.

    Attributes:
        make_backend: Opens the backend, with a new connection every time.
        pin: What this machine remembers of the vault, if it is enrolled.
        locks_asked: The settings say that objects shall be locked.
        prefix: Scratch names under which nothing else lies; ends in a slash.
        spool: Folder for spool files.
        state: State directory.
        clock: The time.
        random: Source of random bytes.
        observer: Takes progress.
    """

    make_backend: Callable[[], Backend]
    pin: Pin | None
    prefix: str
    spool: Path
    state: Path
    clock: Clock
    random: Callable[[int], bytes]
    observer: Observer
    locks_asked: bool = False


class Finding(Struct, frozen=True, kw_only=True):
    """One line of the doctor's report.

    Attributes:
        name: What was tried.
        ok: It is as it should be.
        detail: What was found, in words.
        hint: What to do about it.
        serious: Backups or restores are in danger; otherwise it is a piece of advice.
    """

    name: str
    ok: bool
    detail: str
    hint: str | None = None
    serious: bool = True


def examine(context: DoctorContext) -> list[Finding]:
    """Try everything, and return what was found; what cannot be tried is a finding too."""
    tests: Sequence[Callable[[DoctorContext], Iterator[Finding]]] = (
        _vault,
        _promises,
        _rights,
        locks,
        _clock,
        _space,
    )
    findings: list[Finding] = []
    context.observer(PhaseStarted(name="examine", files=len(PROMISES) + len(tests) - 1))
    for test in tests:
        try:
            for finding in test(context):
                findings.append(finding)
                context.observer(Advanced(files=len(findings), data=0, stored=0))
        except VaultdError as error:
            name = test.__name__.strip("_")
            findings.append(Finding(name=name, ok=False, detail=error.message, hint=error.hint))
    return findings


def _vault(context: DoctorContext) -> Iterator[Finding]:
    backend = context.make_backend()
    trust = load_trust(backend, pin=context.pin)
    admins = ", ".join(trust.fingerprints)
    shown = f"{trust.vault_id.hex()[:8]}, key policy {trust.policy.number}, admin key {admins}"
    yield Finding(name="vault is there and signed", ok=True, detail=shown)
    recovery = len(trust.recipients)
    yield Finding(
        name="more than one recovery key",
        ok=recovery > 1,
        detail=f"{recovery} recovery keys",
        hint="Add one with `vaultctl key add`: when the only key is lost, everything is lost.",
        serious=False,
    )


def _promises(context: DoctorContext) -> Iterator[Finding]:
    bench = _bench(context)
    deletes = may_delete(bench)
    for promise in PROMISES:
        if promise in DELETING and not deletes:
            continue
        verdict = try_promise(promise, bench)
        left = (
            f"; {verdict.left} test objects could not be removed"
            if verdict.left and deletes
            else ""
        )
        detail = (verdict.text if verdict.kept else verdict.reason) + left
        yield Finding(name=verdict.name, ok=verdict.kept, detail=detail, hint=verdict.hint)


def _rights(context: DoctorContext) -> Iterator[Finding]:
    deletes = may_delete(_bench(context))
    yield Finding(
        name="these credentials cannot delete",
        ok=not deletes,
        detail="they can delete objects" if deletes else "a test object could not be deleted",
        hint="Give hosts credentials that cannot delete: then no intruder can destroy backups.",
        serious=False,
    )


def locks(context: DoctorContext) -> Iterator[Finding]:
    """Yield what was found about versions and locks; most of the rest takes far longer to try.

    Raises:
        StorageError: It could not be tried.
    """
    versions = context.make_backend().versions
    if not context.locks_asked:
        if versions is not None:  # nobody expects it of a folder
            yield Finding(
                name="objects are locked",
                ok=False,
                detail="no lock is asked for: whoever may delete can destroy the backups",
                hint="Use a bucket with object lock, and set [vault.lock] in the configuration.",
                serious=False,
            )
        return
    kept = versions is not None and versions.are_kept()
    yield Finding(
        name="old versions are kept",
        ok=kept,
        detail="versioning is on" if kept else "[vault.lock] is set, and nothing can be locked",
        hint="Make a bucket with object lock; without it whoever may delete destroys the backups.",
    )
    if versions is not None and kept:
        yield from _try_lock(context, versions)


def _try_lock(context: DoctorContext, versions: Versions) -> Iterator[Finding]:
    """Lock an object for a minute, and try what a thief would."""
    backend, name = context.make_backend(), f"{PROBES}{context.random(8).hex()}"
    backend.put(name, b"locked for a minute")
    version = next(one for one in versions.list(name) if not one.is_marker)
    lock = versions.lock(version)
    yield Finding(
        name="a put comes with its lock",
        ok=lock is not None,
        detail="not locked" if lock is None else f"locked until {rfc3339(lock.until_ns)}",
        hint=_ENFORCE,
    )
    if lock is None:
        return
    shorter = Lock(mode=lock.mode, until_ns=lock.until_ns - 30 * 10**9)
    tries: tuple[tuple[str, Callable[[], None]], ...] = (
        ("a lock cannot be shortened", lambda: versions.extend(version, shorter)),
        ("what is locked cannot be deleted", lambda: versions.remove(version)),
    )
    for what, attempt in tries:
        refusal = _refusal(attempt)
        detail = refusal or "the server did it, and took no notice of the lock"
        yield Finding(name=what, ok=bool(refusal), detail=detail, hint=_ENFORCE)
    with suppress(AccessDeniedError):
        backend.delete(name)  # a marker: it hides what goes by itself in a minute


def _refusal(attempt: Callable[[], None]) -> str:
    """Return why the server refused something; empty when it did it."""
    try:
        attempt()
    except StorageError as error:
        if error.retryable:
            raise
        return error.message
    return ""


def _clock(context: DoctorContext) -> Iterator[Finding]:
    ahead_s = clock_ahead_s(_bench(context), context.clock)
    way = "ahead of" if ahead_s > 0 else "behind"
    yield Finding(
        name="clocks agree",
        ok=abs(ahead_s) <= _SKEW_S,
        detail=f"the backend's clock is {abs(ahead_s):.0f} s {way} this machine's",
        hint="Set this machine's clock by NTP.",
    )


def _space(context: DoctorContext) -> Iterator[Finding]:
    for name, path in (("spool", context.spool), ("state directory", context.state)):
        free = free_bytes(path)
        yield Finding(
            name=f"{name} has room",
            ok=free >= _LITTLE_SPACE,
            detail=f"{format_size(free)} free at {path}",
            hint=f"Free some space on the file system of {path}.",
            serious=False,
        )


def _bench(context: DoctorContext) -> Bench:
    return Bench(
        make=context.make_backend,
        prefix=context.prefix,
        randomness=context.random,
        together=_together,
    )


def _together(calls: Sequence[Callable[[], None]]) -> None:
    """Run calls at the same moment, each in a thread of its own."""
    start = threading.Barrier(len(calls))

    def job(call: Callable[[], None], _: None) -> None:
        start.wait()
        call()

    with Crew("doctor", len(calls), len(calls), lambda: None) as crew:
        for call in calls:
            crew.submit(partial(job, call))
        crew.drain()
