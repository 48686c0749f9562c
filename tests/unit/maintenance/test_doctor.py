"""The doctor: what it tries on good backends, bad ones and none at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.vaults import Vault
from tests.support.versioned import MemoryVersions, VersionedMemory
from tests.unit.vault.making import ToldClock
from vaultd.backends.base import Backend, Body
from vaultd.backends.conformance import DELETING, PROMISES
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.versions import Lock, LockMode, Version
from vaultd.backends.wrappers.faults import Fault, FaultKind, Step, when
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.clock import SystemClock
from vaultd.core.errors import AccessDeniedError, StorageUnavailableError, VaultdError
from vaultd.core.events import Advanced, Event, PhaseStarted
from vaultd.maintenance.doctor import DoctorContext, Finding, examine
from vaultd.vault.lock_options import LockOptions
from vaultd.vault.trust import load_trust


class Careless(Forwarding):
    """A backend that replaces objects."""

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        self._inner.delete(name)
        self._inner.put(name, body, sha256=sha256)


class Guarded(Forwarding):
    """A backend that lets nobody delete."""

    def delete(self, name: str) -> None:
        raise AccessDeniedError(f"{name}: may not be deleted")


@pytest.fixture
def memory() -> MemoryBackend:
    backend = MemoryBackend()
    Vault().found(backend)
    return backend


@pytest.fixture
def context(memory: MemoryBackend, tmp_path: Path) -> DoctorContext:
    return DoctorContext(
        make_backend=lambda: memory,
        pin=load_trust(memory, pin=None).pin,
        prefix="doctor/",
        spool=tmp_path,
        state=tmp_path,
        clock=SystemClock(),
        random=os.urandom,
        observer=lambda _: None,
    )


def on(context: DoctorContext, make: Callable[[], Backend]) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(replace(context, make_backend=make))}


def test_a_good_backend_keeps_its_promises(context: DoctorContext, memory: MemoryBackend) -> None:
    before = [info.name for info in memory.list("")]
    events: list[Event] = []

    findings = examine(replace(context, observer=events.append))

    bad = {finding.name for finding in findings if not finding.ok}
    assert bad <= {"more than one recovery key", "these credentials cannot delete", *ROOM}
    assert all(not finding.serious for finding in findings if not finding.ok)
    assert len(PROMISES) <= len(findings)
    assert before == [info.name for info in memory.list("")]
    assert isinstance(events[0], PhaseStarted)
    assert isinstance(events[-1], Advanced)
    assert len(findings) == events[-1].files


ROOM = {"spool has room", "state directory has room"}
"""Depends on the machine that runs the tests."""


def test_a_backend_that_replaces_objects_is_a_serious_finding(
    context: DoctorContext, memory: MemoryBackend
) -> None:
    findings = on(context, lambda: Careless(memory))

    bad = [finding for finding in findings.values() if not finding.ok and finding.serious]
    assert bad
    assert all(finding.detail for finding in bad)
    assert any(finding.hint for finding in bad)


def test_credentials_that_cannot_delete_are_praised(
    context: DoctorContext, memory: MemoryBackend
) -> None:
    findings = on(context, lambda: Guarded(memory))

    assert findings["these credentials cannot delete"].ok
    assert len(findings) >= len(PROMISES) - len(DELETING)


def test_no_vault_is_a_finding_and_the_rest_is_tried(context: DoctorContext) -> None:
    empty = MemoryBackend()

    findings = on(context, lambda: empty)

    assert (False, True) == (findings["vault"].ok, findings["clocks agree"].ok)
    assert "vault.json" in findings["vault"].detail
    assert findings["vault"].hint


def test_a_server_that_does_not_answer_is_a_finding(
    context: DoctorContext, memory: MemoryBackend
) -> None:
    def refuse(step: Step) -> bool:
        return True

    findings = on(context, lambda: Faulty(memory, when(refuse, Fault(kind=FaultKind.FAIL))))

    assert not findings["vault"].ok
    assert {True} == {finding.ok or bool(finding.detail) for finding in findings.values()}


@pytest.mark.parametrize(("hours", "way"), [(2, "ahead of"), (-2, "behind")])
def test_clocks_that_differ_are_a_finding(context: DoctorContext, hours: int, way: str) -> None:
    now_ns = SystemClock().now_ns()
    other = MemoryBackend(clock=ToldClock(now_ns + hours * 3600 * 10**9))
    Vault().found(other)

    finding = on(replace(context, clock=ToldClock(now_ns)), lambda: other)["clocks agree"]

    assert not finding.ok
    assert f"7200 s {way}" in finding.detail
    assert finding.hint


def test_a_vault_that_is_not_the_one_remembered_is_a_finding(
    context: DoctorContext, memory: MemoryBackend
) -> None:
    assert context.pin is not None
    pin = replace(context.pin, admin_keys=(bytes(32),))

    findings = {one.name: one for one in examine(replace(context, pin=pin))}

    assert not findings["vault"].ok
    assert "this machine expects" in findings["vault"].detail


def test_an_error_of_ours_never_ends_an_examination(context: DoctorContext) -> None:
    def make() -> Backend:
        raise VaultdError("cannot be opened", hint="Open it.")

    findings = on(context, make)

    details = {finding.detail for finding in findings.values() if finding.name not in ROOM}
    assert {"cannot be opened"} == details


LOCK_RULE = LockOptions(mode=LockMode.COMPLIANCE, retain_s=60).rule


class Toothless(MemoryVersions):
    """A server that takes locks and does not mind them."""

    def extend(self, version: Version, lock: Lock) -> None: ...

    def remove(self, version: Version) -> None: ...


class Deaf(MemoryVersions):
    """A server that ignores what a put says of locks."""

    def lock(self, version: Version) -> Lock | None:
        return None


class Silent(MemoryVersions):
    """A server that does not answer when a lock is to be taken away."""

    def extend(self, version: Version, lock: Lock) -> None:
        raise StorageUnavailableError("no answer")


def lock_findings(context: DoctorContext, versions: type[MemoryVersions]) -> dict[str, Finding]:
    memory = VersionedMemory()
    Vault().found(memory)
    memory.versions = versions(memory, LOCK_RULE)
    return on(replace(context, locks_asked=True), lambda: memory)


def test_locks_that_are_enforced_are_good(context: DoctorContext) -> None:
    findings = lock_findings(context, MemoryVersions)
    assert findings["what is locked cannot be deleted"].ok
    assert findings["a lock cannot be shortened"].ok
    assert findings["a put comes with its lock"].ok


def test_locks_that_are_not_enforced_are_a_serious_finding(context: DoctorContext) -> None:
    findings = lock_findings(context, Toothless)
    for name in ("what is locked cannot be deleted", "a lock cannot be shortened"):
        assert (False, True) == (findings[name].ok, findings[name].serious)
        assert "took no notice" in findings[name].detail
    found = lock_findings(context, Deaf)["a put comes with its lock"]
    assert (False, True, "not locked") == (found.ok, found.serious, found.detail)


def test_a_lock_that_could_not_be_tried_is_a_finding(context: DoctorContext) -> None:
    found = lock_findings(context, Silent)["locks"]
    assert (False, "no answer") == (found.ok, found.detail)


def test_locks_asked_of_a_folder_are_a_serious_finding(
    context: DoctorContext, memory: MemoryBackend
) -> None:
    found = on(replace(context, locks_asked=True), lambda: memory)["old versions are kept"]
    assert (False, True) == (found.ok, found.serious)
    assert "nothing can be locked" in found.detail
