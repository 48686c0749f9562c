"""Scrubs that die, or run beside keepers that delete; and hosts that store again what was bad."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.crash import KilledError, die, in_child
from tests.support.scrubbing import Scrubber, replace_object, scrubber_of
from tests.support.vaults import Scene
from vaultd.backends.base import Backend
from vaultd.backends.local import LocalBackend
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.snapshot import Kind, Snapshot
from vaultd.maintenance.scrub import ScrubReport
from vaultd.policy.seats import Health
from vaultd.vault import layout

DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "lost": lambda contents: None,
    "flipped": lambda contents: contents[:3000] + bytes([contents[3000] ^ 1]) + contents[3001:],
    "cut": lambda contents: contents[:-1],
}


class Interrupted(Forwarding):
    """Calls something at the n-th read of a pack or an index part, and notes all of them.

    Args:
        inner: The honest backend.
        at: Which read, counted from 1.
        act: What to do then.
        log: File that takes a line for each; it outlives the process.
    """

    def __init__(self, inner: Backend, at: int, act: Callable[[], object], log: Path) -> None:
        super().__init__(inner)
        self._left = at
        self._act = act
        self._log = log

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        if name.startswith((layout.PACKS, layout.PARTS)):
            with self._log.open("a") as file:
                file.write(f"{name}\n")
            self._left -= 1
            if not self._left:
                self._act()
        return super().get(name, offset=offset, length=length)


def made(folder: Path, backend: Backend | None = None) -> Scene:
    """Return a scene of a full snapshot with some packs, and an incremental one."""
    scene = Scene(folder, backend)
    for number in range(6):
        scene.write(f"large/{number}", os.urandom(540_000))
    scene.back_up(Kind.FULL)
    scene.write("small", os.urandom(90_000))
    scene.back_up(Kind.INCREMENTAL)
    return scene


def pack_of(scene: Scene, snapshot: Snapshot) -> str:
    """Return the largest pack of a snapshot, which holds contents."""
    packs = scene.backend.list(layout.packs_of(snapshot.session))
    return max(packs, key=lambda info: info.size).name


@pytest.mark.parametrize("at", [1, 2, 5, 9])
def test_what_was_read_before_a_scrub_was_killed_is_not_read_again(tmp_path: Path, at: int) -> None:
    scene, log = made(tmp_path), tmp_path / "reads"
    scrubber = scrubber_of(scene)
    scrubber.desk.workers = 1

    def act(kill_at: int) -> ScrubReport:
        honest = LocalBackend(tmp_path / "vault")
        scrubber.desk.backend = Interrupted(honest, kill_at, die, log)
        return scrubber.run()

    with pytest.raises(KilledError):
        in_child(lambda: act(at))
    report = in_child(lambda: act(0))

    counted = Counter(log.read_text().splitlines())
    needed = [one.name for one in scene.backend.list("") if one.name.startswith(("packs", "index"))]
    assert sorted(needed) == sorted(counted)
    assert {1: len(needed) - 1, 2: 1} == Counter(counted.values())  # the one on its way
    assert ((), 0) == (report.damages, report.age.rest)


def test_what_a_keeper_deletes_while_others_read_is_no_damage(tmp_path: Path) -> None:
    for opens in (False, True):
        folder = tmp_path / str(opens)
        folder.mkdir()
        scene = made(folder, MemoryBackend())
        scene.back_up(Kind.FULL)
        doomed = [snapshot for snapshot, _ in scene.seen[:2]]
        gone = [
            info.name for one in doomed for info in scene.backend.list(layout.packs_of(one.session))
        ]

        def prune(
            scene: Scene = scene, doomed: list[Snapshot] = doomed, gone: list[str] = gone
        ) -> None:
            scene.new_desk().forget(doomed)
            for name in (*gone, *(layout.outcome(one.session) for one in doomed)):
                scene.backend.delete(name)

        backend = Interrupted(scene.backend, 2, prune, folder / "reads")
        scrubber = scrubber_of(scene, backend, opens=opens)
        report = scrubber.run()

        assert ((), (), {}) == (report.damages, report.files, scrubber.avoided())
        assert {scene.seen[2][0].session: Health.GOOD} == scrubber.proofs()


def test_a_check_does_not_mind_what_a_keeper_deletes_meanwhile_either(tmp_path: Path) -> None:
    scene = made(tmp_path, MemoryBackend())
    second, _ = scene.seen[1]
    gone = pack_of(scene, second)

    def prune() -> None:
        scene.new_desk().forget([second])
        scene.backend.delete(gone)

    desk = scene.new_desk()
    desk.backend = Interrupted(scene.backend, 3, prune, tmp_path / "reads")
    report = desk.check()

    assert ((), ()) == (report.damages, report.files)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_host_stores_again_what_a_scrub_has_found_damaged(tmp_path: Path, damage: str) -> None:
    scene = made(tmp_path, MemoryBackend())
    (first, _), (second, _) = scene.seen
    name = pack_of(scene, first)
    replace_object(scene.backend, name, DAMAGE[damage](scene.backend.get(name)))
    scrubber = scrubber_of(scene, opens=True)
    before = scrubber.run()
    assert {first.short_id, second.short_id} == set(before.damages[0].snapshots)
    assert damage == "cut" or before.files  # the last byte is padding: it costs no file

    scene.back_up(Kind.INCREMENTAL)

    after = scrubber.run()
    newest = scene.seen[-1][0]
    assert [name] == [one.name for one in after.damages]
    assert newest.short_id not in after.damages[0].snapshots
    scene.expect_restorable(newest)
    assert newest.short_id not in {one for file in after.files for one in file.snapshots}
    assert 0 == after.logged


def expect_proofs(scrubber: Scrubber, scene: Scene, *expected: Health) -> None:
    found = scrubber.proofs()
    assert list(expected) == [found[snapshot.session] for snapshot, _ in scene.seen]


def test_what_is_proven_follows_damage_and_what_was_stored_again(tmp_path: Path) -> None:
    scene = made(tmp_path, MemoryBackend())
    scrubber = scrubber_of(scene)
    name = pack_of(scene, scene.seen[1][0])
    replace_object(scene.backend, name, None)
    scrubber.run()
    expect_proofs(scrubber, scene, Health.GOOD, Health.DAMAGED)

    scene.back_up(Kind.INCREMENTAL)
    expect_proofs(scrubber, scene, Health.GOOD, Health.DAMAGED, Health.UNKNOWN)
    scrubber.run()

    expect_proofs(scrubber, scene, Health.GOOD, Health.DAMAGED, Health.GOOD)
