"""Sessions of a host whose memory, log or right to go on is taken away, and of several at once."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.vaults import STORE_ID, Scene
from vaultd.backends.wrappers.counting import Counting
from vaultd.backends.wrappers.faults import Step
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.errors import LockedError, SessionRevokedError
from vaultd.core.snapshot import Kind, SessionId
from vaultd.format.session import RevokedBody, RootBody, SupersededBody
from vaultd.vault import layout, roots
from vaultd.vault.chunk_index import index_path
from vaultd.vault.host import open_session

SOURCE = random.Random(1)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.write("large", SOURCE.randbytes(530_000))
    for number in range(6):
        scene.write(f"small/{number % 2}/{number}", SOURCE.randbytes(5000))
    return scene


def touch(scene: Scene) -> None:
    """Change the folder: one large file more, one small one other."""
    scene.write(f"large-{len(scene.seen)}", SOURCE.randbytes(530_000))
    scene.write("small/1/1", SOURCE.randbytes(6000))


def put_bytes(scene: Scene, act: Callable[[], object]) -> int:
    """Do something, and return how many bytes it put into the backend."""
    counting = scene.machine.backend = Counting(scene.backend)
    act()
    scene.machine.backend = scene.backend
    return counting.traffic.put_bytes


# Memory


def test_a_machine_that_lost_its_state_stores_almost_nothing_again(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    touch(scene)
    scene.back_up(Kind.INCREMENTAL)
    shutil.rmtree(scene.machine.state)

    spent = put_bytes(scene, scene.back_up)

    snapshot = scene.seen[-1][0]
    assert (3, 2, Kind.INCREMENTAL) == (snapshot.session.seq, snapshot.base, snapshot.kind)
    assert snapshot.counts.files == snapshot.counts.files_read
    assert spent < 200_000  # padded packs of the tree
    assert any("did not know" in note for note in scene.machine.notes)
    scene.expect_whole()
    scene.expect_restorable()


def test_a_machine_that_lost_only_its_trees_reads_all_and_stores_little(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    shutil.rmtree(scene.machine.state / "trees")

    spent = put_bytes(scene, lambda: scene.back_up(Kind.INCREMENTAL))

    assert spent < 200_000
    scene.expect_restorable()


def test_a_damaged_index_is_rebuilt(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    path = index_path(scene.machine.state, scene.machine.host)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(SOURCE.randbytes(10_000))

    spent = put_bytes(scene, scene.back_up)

    assert spent < 200_000, scene.machine.notes
    scene.expect_whole()
    scene.expect_restorable()


def test_a_state_brought_back_from_an_old_copy_loses_nothing(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    shutil.copytree(scene.machine.state, scene.folder / "old")
    for _ in range(3):
        touch(scene)
        scene.back_up(Kind.INCREMENTAL)
    shutil.rmtree(scene.machine.state)
    shutil.copytree(scene.folder / "old", scene.machine.state)

    spent = put_bytes(scene, scene.back_up)

    assert (5, 4) == (scene.seen[-1][0].session.seq, scene.seen[-1][0].base)
    assert spent < 200_000, scene.machine.notes
    scene.expect_whole()
    scene.expect_restorable()


def test_a_lost_state_does_not_stop_at_parts_and_roots_that_are_lost_too(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    touch(scene)
    scene.back_up(Kind.FULL)
    for info in scene.backend.list(f"{layout.PARTS}{scene.seen[1][0].session}/"):
        scene.backend.delete(info.name)
    shutil.rmtree(scene.machine.state)

    report = scene.back_up()

    assert (Kind.INCREMENTAL, 1) == (report.snapshot.kind, report.snapshot.base)
    assert any("nothing new is built on it" in note for note in scene.machine.notes)
    scene.expect_restorable()


# Several at once


def test_two_processes_do_not_capture_the_same_store_at_once(scene: Scene) -> None:
    scene.back_up(Kind.FULL)

    with scene.machine.opened() as host, open_session(host, STORE_ID):
        with pytest.raises(LockedError) as caught:
            scene.back_up()
        other = scene.machine.back_up(scene.tree, wanted={"store_id": b"another store id"})

    assert caught.value.hint is not None
    assert 3 == other.snapshot.session.seq
    report = scene.back_up()
    assert (4, 1) == (report.snapshot.session.seq, report.snapshot.base)
    outcome = outcome_of(scene, 2)
    assert isinstance(outcome, SupersededBody)
    assert 4 == outcome.by_seq


def test_a_session_of_a_living_process_is_left_alone(scene: Scene) -> None:
    beside = replace(scene.machine, notes=[])

    def hook(step: Step, moment: str) -> None:
        if (step.operation, step.name, moment) == ("put", "snap/web1/0000000001", "before"):
            beside.back_up(scene.tree, wanted={"store_id": b"another store id"})

    scene.machine.backend = Faulty(scene.backend, hook=hook)

    report = scene.back_up(Kind.FULL)

    assert 1 == report.snapshot.session.seq
    assert [1, 2] == [snapshot.session.seq for snapshot in scene.new_desk().snapshots()]


# Revocation


def outcome_of(scene: Scene, seq: int) -> RootBody | SupersededBody | RevokedBody:
    session = SessionId(host="web1", seq=seq)
    data = scene.backend.get(layout.outcome(session))
    return roots.open_outcome(data, session, scene.desk.trust)


def revoking(scene: Scene, *seqs: int, also: Callable[[], None] = lambda: None) -> None:
    """Let a keeper close these sessions of the host right before they commit."""

    def hook(step: Step, moment: str) -> None:
        for seq in seqs:
            session = SessionId(host="web1", seq=seq)
            if (step.operation, step.name, moment) == ("put", layout.outcome(session), "before"):
                scene.vault.revoke(scene.backend, session)
                also()

    scene.machine.backend = Faulty(scene.backend, hook=hook)


@pytest.mark.parametrize("kind", [Kind.FULL, Kind.INCREMENTAL, Kind.DIFFERENTIAL])
def test_a_revoked_run_goes_on_in_a_new_session(scene: Scene, kind: Kind) -> None:
    scene.back_up(Kind.FULL)
    touch(scene)
    revoking(scene, 2)

    report = scene.back_up(kind)

    assert (3, kind) == (report.snapshot.session.seq, report.snapshot.kind)
    assert isinstance(outcome_of(scene, 2), RevokedBody)
    scene.expect_whole()
    scene.expect_restorable()
    scene.machine.backend = scene.backend
    touch(scene)
    scene.back_up(Kind.INCREMENTAL)
    scene.expect_whole()
    scene.expect_restorable()


def test_a_run_revoked_twice_ends_and_the_next_one_uploads_nothing_again(scene: Scene) -> None:
    revoking(scene, 1, 2)
    with pytest.raises(SessionRevokedError):
        scene.back_up(Kind.FULL)

    spent = put_bytes(scene, lambda: scene.back_up(Kind.FULL))

    assert 3 == scene.seen[-1][0].session.seq
    assert spent < 200_000, scene.machine.notes
    scene.expect_whole()
    scene.expect_restorable()


def test_a_revoked_verified_full_keeps_what_it_relied_on(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    revoking(scene, 2)

    report = scene.back_up(Kind.FULL, verified=True)

    assert 3 == report.snapshot.session.seq
    scene.expect_whole()
    scene.expect_restorable()


def test_a_revoked_run_that_lost_a_pack_meanwhile_stores_it_once_more(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    touch(scene)

    def lose() -> None:
        first = scene.seen[0][0].session
        for info in scene.backend.list(f"{layout.PACKS}{first}/"):
            scene.backend.delete(info.name)

    revoking(scene, 2, also=lose)
    report = scene.back_up(Kind.INCREMENTAL)

    assert any("stored again" in note for note in scene.machine.notes)
    assert [scene.seen[0][0].session.seq, report.snapshot.session.seq] == [
        snapshot.session.seq for snapshot in scene.new_desk().snapshots()
    ]
    scene.expect_restorable(report.snapshot)


def test_a_session_that_died_and_was_revoked_is_taken_over(scene: Scene) -> None:
    def die(step: Step, moment: str) -> None:
        if (step.operation, step.name) == ("put", "snap/web1/0000000001"):
            raise KeyboardInterrupt

    scene.machine.backend = Faulty(scene.backend, hook=die)
    with pytest.raises(KeyboardInterrupt):
        scene.back_up(Kind.FULL)
    scene.vault.revoke(scene.backend, SessionId(host="web1", seq=1))

    spent = put_bytes(scene, lambda: scene.back_up(Kind.FULL))

    assert spent < 200_000, scene.machine.notes
    scene.expect_whole()
    scene.expect_restorable()


# The log


def forget_one(scene: Scene) -> None:
    """Make two snapshots and forget the first, so that the log has an entry."""
    scene.back_up(Kind.FULL)
    scene.back_up(Kind.FULL)
    scene.new_desk().forget([scene.seen[0][0]])
    touch(scene)
    scene.back_up(Kind.INCREMENTAL)


def rewrite(scene: Scene) -> None:
    name = layout.log_entry(1)
    data = scene.backend.get(name)
    scene.backend.delete(name)
    scene.backend.put(name, data[:-1] + bytes([data[-1] ^ 1]))


def roll_back(scene: Scene) -> None:
    scene.backend.delete(layout.log_entry(1))


def forge(scene: Scene) -> None:
    scene.backend.put(layout.log_entry(2), scene.backend.get(layout.log_entry(1)))


@pytest.mark.parametrize("tamper", [rewrite, roll_back, forge])
def test_a_log_that_was_tampered_with_is_an_alarm_and_nothing_is_built_on(
    scene: Scene, tamper: Callable[[Scene], None]
) -> None:
    forget_one(scene)
    before = sum(info.size for info in scene.backend.list(layout.PACKS))
    tamper(scene)

    report = scene.machine.back_up(scene.tree, kind=Kind.INCREMENTAL)

    assert (Kind.FULL, 0) == (report.snapshot.kind, report.snapshot.base)
    assert report.snapshot.counts.files == report.snapshot.counts.files_read
    stored = sum(info.size for info in scene.backend.list(layout.PACKS)) - before
    assert stored > report.snapshot.counts.data
    alarms = [note for note in scene.machine.notes if note.startswith("ALARM")]
    assert len(alarms) == 1
