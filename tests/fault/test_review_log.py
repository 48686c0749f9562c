"""A log with rubbish in it, or one that grows while it is read."""

from __future__ import annotations

from pathlib import Path

from tests.support.vaults import Desk, Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.faults import Step
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.clock import SystemClock
from vaultd.format.log import ForgetBody, TagBody
from vaultd.vault.log import Keeper, append


def add(scene: Scene, event: ForgetBody | TagBody) -> None:
    """Append an entry to the log as the keeper."""
    keeper = Keeper(name="keeper", signer=scene.vault.keeper)
    append(scene.backend, scene.desk.trust, keeper, SystemClock(), lambda _: event)


def findings(desk: Desk) -> list[str]:
    """Return what a desk finds wrong with the vault."""
    keys = desk.keys
    with desk.catalog() as catalog:
        return catalog.refresh(desk.backend, desk.trust, keys.domain)


def test_tags_that_cannot_be_opened_keep_nobody_from_restoring(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("file", b"contents")
    snapshot = scene.back_up(tags=("kept",)).snapshot
    add(scene, TagBody("web1", 1, "web1", 1, bytes(40)))
    desk = scene.new_desk()

    found = findings(desk)
    keys = desk.keys
    with desk.catalog() as catalog:
        listed = catalog.snapshots(desk.trust, keys.domain)

    assert ["tags in log entry 1: sealed bytes are not what was sealed"] == found
    assert [snapshot] == listed
    scene.expect_restorable()


def test_a_snapshot_made_while_the_vault_is_read_is_no_reason_for_alarm(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("file", b"contents")
    scene.back_up()
    scene.back_up()

    def interfere(step: Step, moment: str) -> None:
        if (step.operation, step.name, moment) == ("list", "snap/", "before"):
            add(scene, ForgetBody("web1", 1, scene.seen[0][0].root_sha256, "a test"))
            scene.back_up()

    desk = scene.new_desk()
    desk.backend = Faulty(scene.backend, hook=interfere)

    assert [] == findings(desk)
