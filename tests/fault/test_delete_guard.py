"""`--delete` takes away nothing that the snapshot only failed to capture."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.vaults import Scene
from vaultd.core.clock import SystemClock
from vaultd.core.errors import ConfigError
from vaultd.core.events import ignore
from vaultd.pipeline.restore import RestoreRequest, execute_restore
from vaultd.pipeline.restore_plan import plan_restore
from vaultd.pipeline.select import Selection
from vaultd.stores.files.destination import FilesDestination
from vaultd.stores.files.options import Overwrite, TargetOptions


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two files, captured."""
    made = Scene(tmp_path)
    made.write("kept", b"1")
    made.write("other", b"2")
    made.back_up()
    return made


def request_of(scene: Scene) -> RestoreRequest:
    """Restore the folder over itself, and delete what is not in the snapshot."""
    options = TargetOptions(overwrite=Overwrite.IF_CHANGED, delete=True)
    subdir = str(scene.tree).encode().lstrip(b"/")
    return RestoreRequest(
        destination=FilesDestination(scene.tree, options), selection=Selection(subdir=subdir)
    )


def test_a_dry_run_says_how_much_would_be_removed(scene: Scene) -> None:
    scene.write("new", b"3")
    scene.write("folder/newer", b"4")
    desk = scene.new_desk()
    with desk.reader(scene.seen[0][0]) as reader:
        assert 2 == plan_restore(reader, request_of(scene)).remove
        execute_restore(reader, request_of(scene), SystemClock(), ignore)
    assert ["kept", "other"] == sorted(path.name for path in scene.tree.iterdir())


def test_an_incomplete_snapshot_deletes_nothing(scene: Scene) -> None:
    scene.write("could-not-be-read", b"3")
    snapshot = scene.seen[0][0]
    incomplete = replace(snapshot, counts=replace(snapshot.counts, problems=1))
    with scene.new_desk().reader(incomplete) as reader:
        with pytest.raises(ConfigError, match="incomplete"):
            plan_restore(reader, request_of(scene))
        with pytest.raises(ConfigError, match="incomplete"):
            execute_restore(reader, request_of(scene), SystemClock(), ignore)
    assert b"3" == (scene.tree / "could-not-be-read").read_bytes()
