"""Files of this machine that the disk has damaged: nothing but time is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.vaults import Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import StorageError
from vaultd.core.snapshot import Kind

_PAGE_BYTES = 4096


def damage(path: Path) -> None:
    """Overwrite every page but the first, so that the file still looks like a database."""
    size = path.stat().st_size
    assert size > 2 * _PAGE_BYTES
    with path.open("r+b") as stream:
        for at in range(_PAGE_BYTES, size, _PAGE_BYTES):
            stream.seek(at)
            stream.write(b"\xff" * _PAGE_BYTES)


@pytest.mark.parametrize("name", ["index-web1.sqlite", "catalog.sqlite"])
def test_a_damaged_state_file_is_told_once_and_then_rebuilt(tmp_path: Path, name: str) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    for number in range(5):
        scene.write(str(number), random.Random(number).randbytes(600_000))
    scene.back_up()
    damage(scene.machine.state / name)
    scene.write("new", b"contents")

    with pytest.raises(StorageError, match="malformed") as caught:
        scene.back_up()
    report = scene.back_up()

    assert "rebuilt from the vault" in (caught.value.hint or "")
    assert Kind.INCREMENTAL == report.snapshot.kind
    assert report.snapshot.counts.data_added < 600_000
    scene.expect_restorable()
