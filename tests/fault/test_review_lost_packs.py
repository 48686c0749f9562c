"""Packs that get lost: whatever is committed later either has their contents or says so."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.vaults import Scene
from vaultd.backends.base import Backend
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.faults import Step
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.clock import SystemClock
from vaultd.core.errors import SourceUnreadableError
from vaultd.core.snapshot import Kind, SessionId

_HOUR_NS = 3600 * 10**9


class Later(SystemClock):
    """An hour ahead: files written just now are old enough to be believed unchanged."""

    def now_ns(self) -> int:
        """Return the time in an hour."""
        return super().now_ns() + _HOUR_NS


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A few files, each larger than a pack."""
    made = Scene(tmp_path, MemoryBackend())
    made.machine.clock = Later()
    for number in range(6):
        made.write(f"{number}/large", random.Random(number).randbytes(700_000))
    return made


def lose_a_pack(backend: Backend, seq: int = 1) -> str:
    """Remove the largest pack of a session, as a provider may; return its name."""
    prefix = f"packs/web1/{seq:010d}/"
    name = max(backend.list(prefix), key=lambda info: info.size).name
    backend.delete(name)
    return name


def test_a_differential_does_not_rely_on_a_pack_that_an_incremental_found_missing(
    scene: Scene,
) -> None:
    scene.back_up(Kind.FULL)
    lose_a_pack(scene.backend)
    scene.write("small", b"1")
    scene.back_up(Kind.INCREMENTAL)
    scene.write("small", b"2")

    scene.back_up(Kind.DIFFERENTIAL)

    scene.expect_restorable(*(snapshot for snapshot, _ in scene.seen[1:]))


def test_a_run_does_not_rely_on_a_pack_that_an_interrupted_run_found_missing(
    scene: Scene, tmp_path: Path
) -> None:
    scene.back_up(Kind.FULL)
    lose_a_pack(scene.backend)
    with pytest.raises(SourceUnreadableError):
        scene.machine.back_up(scene.tree, tmp_path / "missing")

    scene.back_up(Kind.INCREMENTAL)

    scene.expect_restorable(scene.seen[-1][0])


def test_a_revoked_run_whose_packs_are_gone_stores_them_once_more(scene: Scene) -> None:
    vault = scene.backend

    def revoke(step: Step, moment: str) -> None:
        if (step.operation, step.name, moment) == ("put", "snap/web1/0000000001", "before"):
            scene.vault.revoke(vault, SessionId(host="web1", seq=1))
            lose_a_pack(vault)

    scene.machine.backend = Faulty(vault, hook=revoke)
    report = scene.back_up(Kind.FULL)

    assert any("lost while it ran" in note for note in scene.machine.notes)
    assert report.snapshot.session.seq > 1
    scene.expect_restorable()
    scene.expect_whole()
