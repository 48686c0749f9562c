"""Folders for tests that play with rights: those of pytest belong to whoever runs it alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stores.taking import NOBODY
from vaultd.stores.files.safewalk import remove_entry


@pytest.fixture
def common() -> Iterator[Path]:
    """An empty folder that an ordinary user can reach and owns."""
    path = Path(tempfile.mkdtemp(prefix="vaultd-test-"))
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    path.chmod(0o755)
    yield path
    for folder, names, _ in os.walk(path):
        for name in names:
            if not os.path.islink(f"{folder}/{name}"):
                os.chmod(f"{folder}/{name}", 0o700)
    shutil.rmtree(path)


@pytest.fixture
def bottomless(tmp_path: Path) -> Iterator[Path]:
    """An empty folder for trees that are too deep for pytest to remove."""
    path = tmp_path / "bottomless"
    path.mkdir()
    yield path
    fd = os.open(tmp_path, os.O_RDONLY)
    remove_entry(fd, b"bottomless")
    os.close(fd)
