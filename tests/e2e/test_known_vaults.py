"""Every vault that was ever made is read by today's readers: vaultd's, and the rescue reader.

The vaults in ``tests/vaults/v<format>-<name>`` were made once and are never changed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.vaults import Desk, Vault
from tests.vaults.facts import Facts, facts_of
from vaultd.backends.local import LocalBackend
from vaultd.crypto import recovery
from vaultd.crypto.secret import Secret
from vaultd.format.keys import VAULT_FORMAT
from vaultd.vault.sheets import recovery_seed

TOP = Path(__file__).parents[2]
KNOWN = sorted((TOP / "tests/vaults").glob("v*-*"))
RESCUE = TOP / "docs/rescue/vault_rescue.py"


def expected_of(known: Path) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((known / "expected.json").read_text("utf-8"))
    return expected


@pytest.fixture(params=KNOWN, ids=lambda path: path.name)
def known(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


@pytest.fixture
def vault(known: Path, tmp_path: Path) -> Path:
    with tarfile.open(known / "vault.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "vault"


@pytest.fixture
def desk(known: Path, vault: Path, tmp_path: Path) -> Desk:
    seed = recovery.from_words((known / "words.txt").read_text("utf-8"))
    backend = LocalBackend(vault)
    return Desk(vault=Vault(recovery=seed), backend=backend, folder=tmp_path / "desk")


def tree_in(target: Path, known: Path) -> Facts:
    return facts_of(Path(f"{target}{expected_of(known)['source']}"))


def test_there_is_a_vault_of_every_format() -> None:
    formats = {f"v{number}" for number in range(1, VAULT_FORMAT + 1)}
    assert formats == {path.name.partition("-")[0] for path in KNOWN}


def test_vaultd_restores_it(known: Path, desk: Desk, tmp_path: Path) -> None:
    expected = expected_of(known)
    snapshots = {str(snapshot.session): snapshot for snapshot in desk.snapshots()}
    assert expected["kinds"] == {name: str(one.kind) for name, one in snapshots.items()}
    assert expected["tags"] == {name: list(one.tags) for name, one in snapshots.items()}
    for name, snapshot in snapshots.items():
        target = tmp_path / f"{snapshot.session.seq}"
        assert () == desk.restore(snapshot, target).problems
        assert expected["trees"][name] == tree_in(target, known)
    assert [] == desk.notes


def test_vaultd_finds_nothing_wrong_with_it(known: Path, desk: Desk) -> None:
    expected = expected_of(known)
    assert (expected["fingerprint"],) == desk.trust.fingerprints
    report = desk.check()
    assert () == report.damages
    assert len(expected["kinds"]) == report.snapshots


def test_its_key_file_opens_it(known: Path, desk: Desk) -> None:
    passphrase = Secret(expected_of(known)["passphrase"].encode())
    text = (known / "stick.json").read_text("utf-8")
    seed = recovery_seed(text, passphrase, desk.trust.vault_id)
    other = Desk(vault=Vault(recovery=seed), backend=desk.backend, folder=desk.folder)
    assert desk.keys.epochs == other.keys.epochs


def test_the_rescue_reader_restores_it(known: Path, vault: Path, tmp_path: Path) -> None:
    expected = expected_of(known)
    command = [sys.executable, str(RESCUE), str(vault), "--key", str(known / "words.txt")]
    command += ["--fingerprint", expected["fingerprint"]]
    for name, tree in expected["trees"].items():
        host, _, number = name.partition("/")
        target = tmp_path / number
        done = subprocess.run(
            [*command, f"{host}/{int(number)}", str(target)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        assert tree == tree_in(target, known)
