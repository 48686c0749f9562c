"""A provider that shows an older state than it once had is noticed by who kept receipts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.vaults import Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import CorruptObjectError
from vaultd.core.snapshot import Kind
from vaultd.vault import layout


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """One small file."""
    made = Scene(tmp_path, MemoryBackend())
    made.write("file", b"1")
    return made


def test_a_vault_rolled_back_is_noticed_by_a_machine_that_has_receipts(scene: Scene) -> None:
    scene.back_up(Kind.FULL)
    scene.write("file", b"2")
    newest = scene.back_up(Kind.INCREMENTAL).snapshot
    scene.backend.delete(layout.outcome(newest.session))

    blank = scene.new_desk().check()
    assert () == blank.damages, "a machine without receipts cannot know"

    witness = replace(scene.new_desk(), folder=scene.machine.state)
    (found,) = [one for one in witness.check().damages if newest.short_id in one.snapshots]
    assert layout.outcome(newest.session) == found.name


def test_a_snapshot_dropped_from_the_middle_is_noticed_by_anyone(scene: Scene) -> None:
    middle = scene.back_up(Kind.FULL).snapshot
    scene.write("file", b"2")
    scene.back_up(Kind.FULL)
    scene.backend.delete(layout.outcome(middle.session))

    assert [] != list(scene.new_desk().check().damages)


def test_a_commit_that_was_acknowledged_and_not_stored_is_no_success(tmp_path: Path) -> None:
    backend = LosesOutcomes()
    scene = Scene(tmp_path, backend)
    scene.write("file", b"1")
    backend.loses = True
    with pytest.raises(CorruptObjectError):
        scene.back_up(Kind.FULL)
    backend.loses = False
    scene.back_up(Kind.FULL)
    scene.expect_whole()


class LosesOutcomes(MemoryBackend):
    """Acknowledges commits and stores none, while told so."""

    loses = False

    def put(self, name: str, body: object, *, sha256: bytes | None = None) -> None:
        """Put, or pretend to."""
        if not (self.loses and name.startswith(layout.OUTCOMES)):
            super().put(name, body, sha256=sha256)  # type: ignore[arg-type]  # as given
