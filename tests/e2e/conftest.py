"""A vault for each module of tests, and some customer data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.cli import Home, make_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A machine with a local vault; the tests of one module share it."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def data(home: Home) -> Path:
    """Customer data with the usual difficulties."""
    top = home.folder / "data"
    (top / "etc").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (top / "etc/käse").write_text("cheese\n")
    (top / "numbers").write_text("\n".join(map(str, range(40_000))))
    os.symlink("etc/hosts", top / "link")
    os.link(top / "numbers", top / "twin")
    Path(os.fsdecode(os.fsencode(top) + b"/latin\xe9")).write_text("1")
    with (top / "sparse").open("wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"island")
    return top
