"""What is said before a backup, when the last snapshot is not what it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.vaults import CAPTURE, STORE, STORE_ID, Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.clock import SystemClock
from vaultd.core.snapshot import Counts
from vaultd.pipeline.backup import BackupRequest
from vaultd.pipeline.preview import Preview, last_counts, preview
from vaultd.stores.files.capture import FilesCapture

_HOUR_NS = 3600 * 10**9
ROOT = "snap/web1/0000000001"


class Later(SystemClock):
    """An hour ahead: files written just now are old enough to be believed unchanged."""

    def now_ns(self) -> int:
        """Return the time in an hour."""
        return super().now_ns() + _HOUR_NS


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A folder that is as it was at its only snapshot."""
    made = Scene(tmp_path, MemoryBackend())
    made.machine.clock = Later()
    made.write("file", b"contents")
    made.back_up()
    return made


def look(scene: Scene) -> Preview:
    """Preview a backup of the folder."""
    request = BackupRequest(store=STORE, store_id=STORE_ID, options=CAPTURE.fingerprint())
    paths = [os.fsencode(scene.tree)]
    with scene.machine.opened() as host:
        return preview(
            host,
            request,
            lambda observer: FilesCapture(paths, CAPTURE, scene.machine.clock, observer),
        )


def counts(scene: Scene) -> Counts | None:
    """Return what the last snapshot held."""
    with scene.machine.opened() as host:
        return last_counts(host, STORE_ID)


def test_a_folder_is_unchanged_while_its_snapshot_is_there(scene: Scene) -> None:
    found = counts(scene)

    assert look(scene).is_unchanged
    assert found is not None
    assert 1 == found.files


def test_a_folder_whose_snapshot_was_forgotten_is_not_unchanged(scene: Scene) -> None:
    desk = scene.new_desk()
    desk.forget(desk.snapshots())

    assert not look(scene).is_unchanged
    assert counts(scene) is None


def test_a_folder_whose_snapshot_is_gone_is_not_unchanged(scene: Scene) -> None:
    scene.backend.delete(ROOT)

    assert not look(scene).is_unchanged
    assert counts(scene) is None


def test_a_folder_whose_snapshot_was_replaced_can_be_previewed(scene: Scene) -> None:
    data = scene.backend.get(ROOT)
    scene.backend.delete(ROOT)
    scene.backend.put(ROOT, data[:-1] + b"x")

    assert counts(scene) is None


def test_nothing_is_built_on_a_log_that_was_tampered_with(scene: Scene) -> None:
    scene.backend.put("log/0000000001", b"rubbish")

    assert not look(scene).is_unchanged
    assert counts(scene) is None
