"""Servers that are busy, disks that are full, descriptors that run out: a run waits or says so."""

from __future__ import annotations

import os
import random
import resource
from pathlib import Path

import pytest

from tests.support.crash import in_child
from tests.support.vaults import Scene
from tests.unit.vault.making import ToldClock, seeded
from vaultd.backends.wrappers.counting import Counting
from vaultd.backends.wrappers.faults import (
    Fault,
    FaultKind,
    Plan,
    busy,
    during,
    first_of,
    sometimes,
)
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.backends.wrappers.retrying import Retrying
from vaultd.core.errors import VaultdError
from vaultd.core.snapshot import Kind

BUSY = Fault(kind=FaultKind.FAIL, error=busy)
GONE = Fault(kind=FaultKind.FAIL)
NO_ANSWER = Fault(kind=FaultKind.LOSE_ANSWER)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    source = random.Random(1)
    for number in range(3):
        scene.write(f"large/{number}", source.randbytes(530_000))
    for number in range(10):
        scene.write(f"small/{number}", source.randbytes(3000))
    return scene


@pytest.mark.parametrize(
    "plan",
    [
        during(3, 12, BUSY),
        during(9, 9 + 40, GONE),
        sometimes(0.1, seeded(7), GONE),
        first_of(sometimes(0.1, seeded(8), GONE), sometimes(0.1, seeded(9), NO_ANSWER)),
        sometimes(0.3, seeded(10), NO_ANSWER),
    ],
    ids=["busy", "down for a while", "one in ten", "answers get lost", "every third answer"],
)
def test_a_run_gets_through_what_passes(scene: Scene, plan: Plan) -> None:
    clean = Counting(scene.backend)
    scene.machine.backend = clean
    scene.back_up(Kind.FULL)
    asked = Counting(Faulty(scene.backend, plan))
    scene.machine.backend = Retrying(asked, clock=ToldClock(), randomness=seeded())

    scene.back_up(Kind.FULL)
    scene.back_up(Kind.INCREMENTAL)

    scene.expect_whole()
    scene.expect_restorable()


def test_a_tenth_of_errors_costs_less_than_twice_the_requests(scene: Scene) -> None:
    clean = Counting(scene.backend)
    scene.machine.backend = clean
    scene.back_up(Kind.FULL)
    flaky = Counting(Faulty(scene.backend, sometimes(0.1, seeded(7), GONE)))
    scene.machine.backend = Retrying(flaky, clock=ToldClock(), randomness=seeded())

    scene.back_up(Kind.FULL)

    spent, needed = (
        one.traffic.puts + one.traffic.gets + one.traffic.heads + one.traffic.lists
        for one in (flaky, clean)
    )
    assert needed <= spent < 2 * needed


def end_of(scene: Scene, what: int, soft: int) -> str:
    """Run a backup under a limit, in a child; return what it ended with."""

    def limited() -> str:
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (soft, hard))
        try:
            report = scene.machine.back_up(scene.tree, kind=Kind.FULL)
        except VaultdError as error:
            return f"{type(error).__name__}: {error.message}"
        return "incomplete" if report.problems else "complete"

    return in_child(limited)


def no_gaps() -> int:
    """Take all free descriptors between those in use, and return the next one."""
    spare = os.open("/dev/null", os.O_RDONLY)
    last = max(map(int, os.listdir("/proc/self/fd")))
    while os.dup(spare) < last:
        pass
    return last + 1


def test_few_descriptors_stop_a_run_with_a_clear_error(scene: Scene) -> None:
    def with_left(left: int) -> str:
        return in_child(lambda: end_of(scene, resource.RLIMIT_NOFILE, no_gaps() + left))

    told = [with_left(left) for left in (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40)]

    assert told[0].startswith("StorageError")
    assert "complete" == told[-1]
    assert all(end in {"complete", "incomplete"} or "Error: " in end for end in told)
    scene.back_up(Kind.FULL)
    scene.expect_restorable()


@pytest.mark.parametrize("size", [0, 4096, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 540 << 10])
def test_a_full_disk_stops_a_run_with_a_clear_error(scene: Scene, size: int) -> None:
    told = end_of(scene, resource.RLIMIT_FSIZE, size)

    assert told.startswith("NoSpaceError" if size > 32 << 10 else "StorageError")
    scene.back_up(Kind.FULL)
    scene.expect_restorable()


def test_a_disk_too_small_for_the_tree_stops_a_run_with_a_clear_error(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(6000):
        scene.write(f"{number % 3}/{number}", b"")

    told = end_of(scene, resource.RLIMIT_FSIZE, 256 << 10)

    assert told.startswith("NoSpaceError")
    scene.back_up(Kind.FULL)
    scene.expect_restorable()
