"""A host can add to the vault and read nothing back, whatever it tries with what it holds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import asdict

from tests.support.vaults import Scene, secret
from vaultd.core.errors import IntegrityError, NoMatchingKeyError, VaultdError
from vaultd.core.snapshot import Kind
from vaultd.crypto import aead, kdf, recipients
from vaultd.crypto.aead import RecordCipher
from vaultd.format import pack as pack_format
from vaultd.format.session import RootBody
from vaultd.vault import contexts, layout, roots

CANARY = b"canary contents that nobody but the owner of the recovery key may read"
NAME = "canary-name-of-a-file"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two snapshots; a file with a canary in its name is gone from the second."""
    scene = Scene(tmp_path)
    scene.write("secret.txt", CANARY * 100)
    scene.write("large", CANARY * 10_000 + random.Random(1).randbytes(300_000))
    scene.write(NAME, b"x")
    scene.back_up(Kind.FULL)
    (scene.tree / NAME).unlink()
    scene.write("more.txt", CANARY)
    scene.back_up(Kind.INCREMENTAL)
    return scene


def held_by(scene: Scene) -> Iterator[bytes]:
    """Yield everything of 32 bytes that a thief of the host finds."""
    keys = scene.machine.keys
    yield secret(f"host {keys.host}")  # the seed of its signing key
    yield keys.signer.public
    for value in asdict(keys.current).values():
        if isinstance(value, bytes):
            yield from (value[at : at + 32] for at in range(0, len(value) - 31, 32))
    for path in scene.machine.state.rglob("*"):
        if path.is_file():
            contents = path.read_bytes()
            yield from (
                contents[at : at + 32] for at in range(0, min(len(contents), 4096) - 31, 32)
            )


def opens(seed: bytes, sealed: bytes, info: bytes) -> bool:
    try:
        recipients.open(seed, sealed, info)
    except (IntegrityError, NoMatchingKeyError):
        return False
    return True


def test_no_key_of_a_host_opens_a_pack(scene: Scene) -> None:
    held = set(held_by(scene))
    tried = 0
    rightly = []
    for info in scene.backend.list(layout.PACKS):
        session, _ = layout.hashed_of(info.name)
        data = scene.backend.get(info.name)
        header, first = pack_format.decode_header(data, what=info.name)
        label = contexts.pack_info(
            header.vault_id, header.host, session.seq, header.uid, header.kind
        )
        # The right key opens it, so it is the key that a host lacks.
        seed = secret(f"web1 {('data', 'meta')[header.kind]} 1")
        rightly.append(opens(seed, header.sealed, label))
        for key in held:
            assert not opens(key, header.sealed, label)
            tried += 1
            for record_key in (key, kdf.derive(key, b"vaultd/1 enc")):
                with pytest.raises(IntegrityError):
                    RecordCipher(record_key).open(0, data[first : first + 64], b"")

    assert tried > 500
    assert all(rightly)


def test_no_key_of_a_host_opens_what_only_readers_may_know(scene: Scene) -> None:
    for snapshot, _ in scene.seen:
        data = scene.backend.get(layout.outcome(snapshot.session))
        root = roots.open_outcome(data, snapshot.session, scene.desk.trust)
        assert isinstance(root, RootBody)
        for key in set(held_by(scene)):
            with pytest.raises(VaultdError):
                roots.open_meta(root, key)
            with pytest.raises(IntegrityError):
                aead.open_once(key, root.meta[pack_format.SEALED_KEY_BYTES :], b"")


def test_a_host_still_stores_nothing_twice(scene: Scene) -> None:
    before = [info.name for info in scene.backend.list(layout.PACKS)]
    scene.write("copy.txt", CANARY * 100)

    report = scene.back_up(Kind.INCREMENTAL)

    assert report.snapshot.counts.data_added < 20_000
    assert len(before) < len(list(scene.backend.list(layout.PACKS)))
    scene.expect_restorable()


def test_contents_and_names_stand_nowhere_in_the_clear(scene: Scene) -> None:
    stored = b"".join(scene.backend.get(info.name) for info in scene.backend.list(""))
    state = b"".join(p.read_bytes() for p in scene.machine.state.rglob("*") if p.is_file())

    assert CANARY[:16] not in stored
    assert b"secret.txt" not in stored
    assert bytes(scene.tree) not in stored
    assert CANARY[:16] not in state


def test_what_a_host_remembers_is_for_its_owner_only(scene: Scene) -> None:
    folders = [path for path in scene.machine.state.rglob("*") if path.is_dir()]
    trees = list((scene.machine.state / "trees").iterdir())

    assert trees
    assert all(0o700 == path.stat().st_mode & 0o777 for path in folders)
    assert all(0o600 == path.stat().st_mode & 0o777 for path in trees)
