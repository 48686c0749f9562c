"""Object lock on a real server: what it refuses, and what a thief with all rights cannot do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.locks import extend, hide_all, lock_context, locks_of, revive, versions_in
from tests.support.s3 import credentials
from tests.support.seaweed import Seaweed
from tests.support.vaults import Desk, Scene
from vaultd.backends.s3.backend import S3Backend
from vaultd.backends.s3.options import S3Options
from vaultd.backends.versions import Lock, LockMode, Version
from vaultd.backends.wrappers.retrying import Retrying
from vaultd.backends.wrappers.throttled import Endpoint, Throttled
from vaultd.core.clock import SystemClock
from vaultd.core.errors import AccessDeniedError, ObjectNotFoundError, StorageError
from vaultd.core.events import ignore
from vaultd.core.snapshot import Kind
from vaultd.maintenance.doctor import DoctorContext, Finding, locks
from vaultd.maintenance.locks import plan_extension
from vaultd.vault import layout
from vaultd.vault.committed import read_root
from vaultd.vault.lock_options import DAY_S, LockOptions
from vaultd.vault.recall import recalling
from vaultd.vault.trust import load_trust

S_NS = 10**9
RULE = LockOptions(mode=LockMode.COMPLIANCE, retain_s=3 * DAY_S, generation_s=DAY_S).rule


@pytest.fixture
def options(seaweed: Seaweed) -> Iterator[S3Options]:
    with credentials(seaweed.access_key, seaweed.secret_key):
        yield S3Options(
            bucket=seaweed.locked_bucket,
            prefix=seaweed.prefix().rstrip("/"),
            endpoint=seaweed.endpoint,
            lock=RULE,
        )


@pytest.fixture
def locked(options: S3Options) -> Iterator[S3Backend]:
    with S3Backend(options) as backend:
        yield backend


def version_of(backend: S3Backend, name: str) -> Version:
    return next(backend.versions.list(name))


def test_a_put_carries_its_lock_by_the_servers_clock(locked: S3Backend) -> None:
    before_ns = locked.versions.now_ns()
    locked.put("packs/a", b"a")
    locked.put("log/1", b"1")
    locked.put("other", b"other")
    ends = {one.name: locked.versions.lock(one) for one in locked.versions.list("")}
    pack, entry = ends["packs/a"], ends["log/1"]
    assert pack is not None
    assert entry is not None
    assert None is ends["other"]
    assert LockMode.COMPLIANCE is pack.mode
    assert abs(pack.until_ns - before_ns - int(4 * DAY_S) * S_NS) < 5 * S_NS
    assert abs(entry.until_ns - before_ns - int(368 * DAY_S) * S_NS) < 5 * S_NS
    assert abs(before_ns - time.time_ns()) < 3 * S_NS


@pytest.mark.parametrize("mode", LockMode)
def test_the_server_refuses_to_delete_and_to_shorten(options: S3Options, mode: LockMode) -> None:
    with S3Backend(replace(options, lock=replace(RULE, mode=mode))) as backend:
        backend.put("packs/a", b"a")
        version = version_of(backend, "packs/a")
        lock = backend.versions.lock(version)
        assert lock is not None
        with pytest.raises(AccessDeniedError, match="retained until 20") as caught:
            backend.versions.remove(version)
        assert "Wait" in (caught.value.hint or "")
        with pytest.raises(AccessDeniedError):
            backend.versions.extend(version, Lock(mode=mode, until_ns=lock.until_ns - S_NS * 60))
        longer = Lock(mode=mode, until_ns=lock.until_ns + S_NS * 60)
        backend.versions.extend(version, longer)
        assert longer == backend.versions.lock(version)
        backend.delete("packs/a")  # a marker: it hides
        with pytest.raises(ObjectNotFoundError):
            backend.get("packs/a")
        assert b"a" == backend.versions.get(version)


def test_versions_come_by_name_and_oldest_first_page_after_page(
    options: S3Options, seaweed: Seaweed
) -> None:
    client = seaweed.client()
    with S3Backend(replace(options, lock=None), page_names=3) as backend:
        for number in range(10):
            key = f"{options.prefix}/n{number % 3}"
            client.put_object(Bucket=options.bucket, Key=key, Body=b"%d" % number)
        backend.delete("n1")
        versions = list(backend.versions.list("n"))
        assert ["n0"] * 4 + ["n1"] * 4 + ["n2"] * 3 == [one.name for one in versions]
        assert [b"0", b"3", b"6", b"9"] == [backend.versions.get(one) for one in versions[:4]]
        assert [versions[3], versions[7], versions[10]] == [v for v in versions if v.is_newest]
        assert [versions[7]] == [one for one in versions if one.is_marker]
        assert (b"3", b"", b"") == (
            backend.versions.get(versions[1], offset=0, length=5),
            backend.versions.get(versions[1], offset=1),
            backend.versions.get(versions[1], length=0),
        )
        backend.versions.remove(versions[7])
        assert b"7" == backend.get("n1")
        backend.versions.remove(versions[7])
        assert ["n1"] * 3 == [one.name for one in backend.versions.list("n1")]
    client.close()


def test_extending_a_lock_does_not_change_the_order_of_versions(
    options: S3Options, seaweed: Seaweed
) -> None:
    client = seaweed.client()
    with S3Backend(options) as backend:
        backend.put("packs/a", b"first")
        first = version_of(backend, "packs/a")
        time.sleep(1.1)
        client.put_object(Bucket=options.bucket, Key=f"{options.prefix}/packs/a", Body=b"second")
        backend.delete("packs/a")
        lock = backend.versions.lock(first)
        assert lock is not None
        time.sleep(1.1)
        backend.versions.extend(first, Lock(mode=lock.mode, until_ns=lock.until_ns + S_NS))
        found = list(backend.versions.list("packs/"))
        assert [False, False, True] == [one.is_marker for one in found]
        assert [b"first", b"second"] == [backend.versions.get(one) for one in found[:2]]
        assert [False, False, True] == [one.is_newest for one in found]
    client.close()


def test_a_bucket_without_locks_refuses_locked_puts_with_a_hint(
    options: S3Options, seaweed: Seaweed
) -> None:
    for bucket in (seaweed.bucket, seaweed.versioned_bucket):
        with S3Backend(replace(options, bucket=bucket)) as backend:
            with pytest.raises(StorageError, match="has no object lock") as caught:
                backend.put("packs/a", b"a")
            assert "[vault.lock]" in (caught.value.hint or "")


def test_versions_go_through_wrappers(locked: S3Backend) -> None:
    clock = SystemClock()
    throttled = Throttled(locked, Endpoint(clock))
    backend = Retrying(throttled, clock=clock, randomness=os.urandom)
    backend.put("packs/a", b"abc")
    versions = versions_in(backend)
    assert RULE == versions.rule
    assert versions.are_kept()
    version = next(iter(versions.list("packs/")))
    assert b"b" == versions.get(version, offset=1, length=1)
    lock = versions.lock(version)
    assert lock is not None
    assert abs(versions.now_ns() + 4 * int(DAY_S) * S_NS - lock.until_ns) < 5 * S_NS
    versions.extend(version, Lock(mode=lock.mode, until_ns=lock.until_ns + S_NS))
    with pytest.raises(AccessDeniedError, match="retained"):
        versions.remove(version)


def write_a_little(scene: Scene, number: int) -> None:
    scene.write(f"d{number % 3}/f{number % 5}", os.urandom(5_000) + bytes([number]))


def test_fifty_snapshots_are_locked_as_promised(options: S3Options, tmp_path: Path) -> None:
    # A generation of one second: nearly every run needs packs that were put long before it.
    rule = LockOptions(mode=LockMode.GOVERNANCE, retain_s=3600, generation_s=1).rule
    kinds = [None, Kind.DIFFERENTIAL, Kind.INCREMENTAL]
    extended, reports = 0, []
    with S3Backend(replace(options, lock=rule)) as backend:
        scene = Scene(tmp_path, backend)
        for number in range(50):
            write_a_little(scene, number)
            scene.back_up(Kind.FULL if number % 25 == 0 else kinds[number % 3])
            if number % 12 == 11:
                alive = scene.desk.snapshots()
                scene.desk.forget(alive[1:4])
            if number % 10 == 9:
                extended += len(extend(scene.desk).extensions)
                reports.append(locks_of(scene.desk))
                assert ((), ()) == (reports[-1].violations, reports[-1].hidden)
        assert reports[-1].promised > 30
        assert reports[-1].objects > 100
        assert extended > 0


def test_nothing_is_extended_within_a_generation(locked: S3Backend, tmp_path: Path) -> None:
    scene = Scene(tmp_path, locked)
    for number in range(4):
        write_a_little(scene, number)
        scene.back_up()
    assert () == plan_extension(lock_context(scene.desk)).extensions
    assert () == locks_of(scene.desk).violations
    snapshot = scene.seen[-1][0]
    promise_ns = read_root(locked, scene.desk.trust, snapshot).retain_until_ns
    assert abs(promise_ns - time.time_ns() - 3 * int(DAY_S) * S_NS) < 60 * S_NS


def rob(seaweed: Seaweed, backend: S3Backend, options: S3Options) -> None:
    """Do what can be done with every right: cover, hide, cover again, remove what can be."""
    client = seaweed.client()
    names = [info.name for info in backend.list("")]
    for name in names:
        key = f"{options.prefix}/{name}"
        client.put_object(Bucket=options.bucket, Key=key, Body=b"ransom")
    hide_all(backend)
    for name in names[::2]:
        key = f"{options.prefix}/{name}"
        client.put_object(Bucket=options.bucket, Key=key, Body=b"note")
    client.close()


def refused_removals(backend: S3Backend, versions: list[Version]) -> int:
    refused = 0
    for version in versions:
        try:
            backend.versions.remove(version)
        except AccessDeniedError:
            refused += 1
    return refused


def test_a_thief_with_all_rights_destroys_nothing(
    options: S3Options, locked: S3Backend, seaweed: Seaweed, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, locked)
    for number in range(3):
        write_a_little(scene, number)
        scene.back_up()
    scene.desk.forget([scene.seen.pop(0)[0]])
    put = list(locked.versions.list(""))
    before = {one.name: locked.get(one.name) for one in put}

    rob(seaweed, locked, options)
    assert len(put) == refused_removals(locked, put)

    # Still there for whoever sees through him: nothing but bundles must be brought back first.
    trust = load_trust(recalling(locked, ignore), pin=None)
    seeing = recalling(locked, ignore, trust)
    assert before[layout.VAULT] == seeing.get(layout.VAULT)
    for name, data in before.items():
        assert data == seeing.get(name)

    desk = Desk(vault=scene.vault, backend=seeing, folder=tmp_path / "keeper")
    plan, report = revive(desk, locked)
    assert (len(before), len(before)) == (len(plan.revivals), report.revived)
    assert () == report.kept
    assert before == {info.name: locked.get(info.name) for info in locked.list("")}
    assert put == list(locked.versions.list(""))
    scene.expect_whole()
    scene.expect_restorable()


def test_covered_packs_restore_at_once(
    options: S3Options, locked: S3Backend, seaweed: Seaweed, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, locked)
    write_a_little(scene, 1)
    scene.back_up()
    client = seaweed.client()
    for info in list(locked.list(layout.PACKS)):
        body = locked.get(info.name)[: info.size // 2] + bytes(info.size - info.size // 2)
        key = f"{options.prefix}/{info.name}"
        client.put_object(Bucket=options.bucket, Key=key, Body=body)
    client.close()
    scene.backend = recalling(locked, ignore, scene.desk.trust)
    scene.expect_restorable()
    scene.expect_whole()


def findings_of(
    backend: S3Backend, tmp_path: Path, *, locks_asked: bool = True
) -> dict[str, Finding]:
    context = DoctorContext(
        make_backend=lambda: backend,
        pin=None,
        prefix="doctor/x/",
        spool=tmp_path,
        state=tmp_path,
        clock=SystemClock(),
        random=os.urandom,
        observer=ignore,
        locks_asked=locks_asked,
    )
    return {finding.name: finding for finding in locks(context)}


def test_the_doctor_finds_a_bucket_that_enforces_locks_good(
    locked: S3Backend, tmp_path: Path
) -> None:
    findings = findings_of(locked, tmp_path)
    names = (
        "old versions are kept",
        "a put comes with its lock",
        "a lock cannot be shortened",
        "what is locked cannot be deleted",
    )
    assert [True] * 4 == [findings[name].ok for name in names]
    assert "objects are locked" not in findings


def test_the_doctor_finds_buckets_that_do_not_lock(
    options: S3Options, seaweed: Seaweed, tmp_path: Path
) -> None:
    with S3Backend(replace(options, bucket=seaweed.bucket)) as plain:
        found = findings_of(plain, tmp_path)["old versions are kept"]
        assert (False, True) == (found.ok, found.serious)
    with (
        S3Backend(replace(options, bucket=seaweed.versioned_bucket)) as versioned,
        pytest.raises(StorageError, match="has no object lock"),
    ):
        findings_of(versioned, tmp_path)


def test_the_doctor_says_when_no_lock_is_asked_for(locked: S3Backend, tmp_path: Path) -> None:
    found = findings_of(locked, tmp_path, locks_asked=False)["objects are locked"]
    assert (False, False) == (found.ok, found.serious)
    assert "[vault.lock]" in (found.hint or "")
