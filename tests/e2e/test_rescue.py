"""The rescue reader knows the written format only, and brings everything back.

It runs in an interpreter that sees the packages that it names and nothing else: no vaultd.
"""

from __future__ import annotations

import importlib.util
import os
import random
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.s3 import bucket_of
from tests.support.seaweed import Seaweed
from tests.support.trees import (
    ACL_ACCESS,
    Directory,
    File,
    Marks,
    Piece,
    Special,
    Symlink,
    Tree,
    acl,
    build,
    differences,
    snapshot_of,
)
from tests.support.vaults import Scene, secret
from vaultd.core.snapshot import Kind
from vaultd.crypto import recovery, signing

RESCUE = Path(__file__).parents[2] / "docs/rescue/vault_rescue.py"
PACKAGES = ("_cffi_backend", "blake3", "cryptography", "mnemonic", "msgspec", "zstandard")
FOR_BUCKETS = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
EVERYTHING = Tree(
    top=Directory(
        entries=(
            (b"-odd\n\xff", File(pieces=(Piece(length=3),), size=3, marks=Marks(mode=0o640))),
            (b"big", File(pieces=(Piece(length=3 << 20, seed=2),), size=3 << 20)),
            (b"dangling", Symlink(target=b"no/where")),
            (b"empty", File()),
            (b"fifo", Special(kind=stat.S_IFIFO)),
            (b"hole", File(size=5 << 20)),
            (b"old", File(marks=Marks(mtime_ns=-1_000_000_001))),
            (b"rights", File(marks=Marks(mode=0o670, xattrs=((ACL_ACCESS, acl(0o640, 1, 7)),)))),
            (b"sparse", File(pieces=(Piece(offset=1 << 20, length=4096, seed=3),), size=3 << 20)),
            (b"sub", Directory(entries=((b"deep", Directory(marks=Marks(mode=0o500))),))),
            (b"xattr", File(marks=Marks(xattrs=((b"user.a", b"1"), (b"user.b", b""))))),
        )
    )
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the packages that the rescue reader names."""
    folder = tmp_path_factory.mktemp("shelf")
    site = Path(sysconfig.get_path("purelib"))
    for name in (*PACKAGES, *FOR_BUCKETS):
        (found,) = (path for path in site.iterdir() if path.name.partition(".")[0] == name)
        (folder / found.name).symlink_to(found)
    return folder


class Rescuer:
    """Runs the rescue reader on the vault of a scene."""

    def __init__(self, scene: Scene, shelf: Path, key: str, place: str | None = None) -> None:
        self.scene = scene
        self.shelf = shelf
        self.place = place or str(scene.folder / "vault")
        self.key = scene.folder / "key"
        self.key.write_text(key)
        self.environment: dict[str, str] = {}

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        program = (
            "import runpy, sys; sys.path.append(sys.argv.pop(1)); sys.argv.pop(0);"
            " runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        fixed = (sys.executable, "-I", "-S", "-c", program, self.shelf, RESCUE, self.place)
        command: list[str | Path] = [*fixed, "--key", self.key, *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | self.environment,
        )

    def restore(self, name: str, *arguments: str) -> tuple[Path, subprocess.CompletedProcess[str]]:
        target = self.scene.folder / f"rescued-{name.replace('/', '-')}-{len(arguments)}"
        done = self.run(*arguments, name, target)
        return Path(f"{target}{self.scene.box}"), done


WORDS = recovery.to_words(secret("recovery"))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def rescuer(scene: Scene, shelf: Path) -> Rescuer:
    return Rescuer(scene, shelf, WORDS)


def three_kinds(scene: Scene) -> None:
    """Back up everything, then two changes: a full, an incremental, a differential."""
    build(EVERYTHING, scene.tree)
    (scene.tree / "sub/linked").write_bytes(b"twice" * 100)
    os.link(scene.tree / "sub/linked", scene.tree / "sub/deep-link")
    scene.back_up(Kind.FULL)
    scene.write("new/small", b"new")
    scene.write("big", secret("big") * 40_000)
    (scene.tree / "empty").unlink()
    scene.back_up(Kind.INCREMENTAL)
    scene.write("new/small", b"newer")
    scene.back_up(Kind.DIFFERENTIAL)


def test_every_kind_of_snapshot_comes_back(scene: Scene, rescuer: Rescuer) -> None:
    three_kinds(scene)
    for number, (_, expected) in enumerate(scene.seen, 1):
        place, done = rescuer.restore(f"web1/{number}")
        assert ("", 0) == (done.stdout, done.returncode), done.stderr
        assert [] == differences(expected, snapshot_of(place))


def test_the_snapshots_are_listed(scene: Scene, rescuer: Rescuer) -> None:
    three_kinds(scene)
    done = rescuer.run()
    lines = [line.split() for line in done.stdout.splitlines()]
    kinds = ["full", "incremental", "differential"]
    assert [(f"web1/{n}", kind, "files") for n, kind in enumerate(kinds, 1)] == [
        (line[0], line[3], line[4]) for line in lines
    ]
    assert 0 == done.returncode


def test_vaultd_is_nowhere_near(shelf: Path) -> None:
    program = "import sys; sys.path.append(sys.argv[1]); import msgspec; import vaultd"
    command: list[str | Path] = [sys.executable, "-I", "-S", "-c", program, shelf]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: No module named 'vaultd'" in done.stderr


def test_a_key_file_opens_with_its_passphrase(scene: Scene, rescuer: Rescuer) -> None:
    facts = recovery.KeyFacts(
        type=recovery.KeyType.RECOVERY, vault=secret("vault")[:16].hex(), label="Büro 2"
    )
    seed, typed = secret("recovery"), recovery.passphrase_bytes("pa\u0308ss")
    text = recovery.write_key_file(seed, typed, facts, random=bytes, mem_kib=8192, passes=1)
    scene.write("a", b"contents")
    scene.back_up()
    rescuer.key.write_text(text)
    rescuer.environment["VAULT_PASSPHRASE"] = "p\u00e4ss"
    place, done = rescuer.restore("latest")
    assert (b"contents", 0) == ((place / "tree/a").read_bytes(), done.returncode)
    rescuer.environment["VAULT_PASSPHRASE"] = "wrong"
    assert 0 != rescuer.run().returncode


def test_only_a_path_is_restored(scene: Scene, rescuer: Rescuer) -> None:
    scene.write("a/one", b"1")
    scene.write("a/b/two", b"2")
    scene.write("ab", b"3")
    scene.back_up()
    place, done = rescuer.restore("latest", "--path", f"{scene.tree}/a")
    found = {path.relative_to(place) for path in place.rglob("*")}
    assert {
        Path(name) for name in ("tree", "tree/a", "tree/a/one", "tree/a/b", "tree/a/b/two")
    } == found
    assert 0 == done.returncode


def test_a_vault_in_a_bucket(tmp_path: Path, shelf: Path, seaweed: Seaweed) -> None:
    prefix = seaweed.prefix()
    with bucket_of(seaweed, prefix=prefix) as backend:
        scene = Scene(tmp_path, backend)
        three_kinds(scene)
        rescuer = Rescuer(scene, shelf, WORDS, f"s3://{seaweed.bucket}/{prefix}")
        rescuer.environment |= {
            "AWS_ACCESS_KEY_ID": seaweed.access_key,
            "AWS_SECRET_ACCESS_KEY": seaweed.secret_key,
            "AWS_ENDPOINT_URL": seaweed.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        place, done = rescuer.restore("latest")
    assert 0 == done.returncode, done.stderr
    assert [] == differences(scene.seen[-1][1], snapshot_of(place))


# What is wrong is named, and what does not depend on it comes back


def objects(scene: Scene, prefix: str) -> list[Path]:
    return sorted(path for path in (scene.folder / "vault" / prefix).rglob("*") if path.is_file())


def flip(path: Path, at: int) -> None:
    wounded = bytearray(path.read_bytes())
    wounded[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(wounded)


def test_a_damaged_pack_costs_the_files_in_it(scene: Scene, rescuer: Rescuer) -> None:
    for number in range(8):
        scene.write(f"{number}", random.Random(number).randbytes(600_000))
    scene.back_up()
    packs = objects(scene, "packs")
    flip(max(packs, key=lambda path: path.stat().st_size), 40_000)
    place, done = rescuer.restore("latest")
    assert 1 == done.returncode
    whole = [name for name in map(str, range(8)) if f"/tree/{name}'" not in done.stderr]
    assert 4 <= len(whole) < 8
    for name in whole:
        assert (scene.tree / name).read_bytes() == (place / "tree" / name).read_bytes()


@pytest.mark.parametrize("at", [30, 500, -1])
def test_a_changed_root_is_no_snapshot(scene: Scene, rescuer: Rescuer, at: int) -> None:
    scene.write("a", b"1")
    scene.back_up()
    scene.write("a", b"2")
    scene.back_up()
    flip(objects(scene, "snap")[1], at)
    done = rescuer.run()
    assert ["web1/1"] == [line.split()[0] for line in done.stdout.splitlines()]
    assert "snap/web1/0000000002" in done.stderr
    assert 1 == done.returncode


def test_a_snapshot_that_is_gone_is_missed(scene: Scene, rescuer: Rescuer) -> None:
    for number in range(3):
        scene.write("a", bytes([number]))
        scene.back_up()
    objects(scene, "snap")[1].unlink()
    done = rescuer.run()
    assert "web1/3: ValueError: the snapshot before it, 2, is gone or replaced" in done.stderr
    assert 1 == done.returncode


def test_a_forgotten_snapshot_is_not_listed(scene: Scene, rescuer: Rescuer) -> None:
    for number in range(2):
        scene.write("a", bytes([number]))
        scene.back_up()
    scene.desk.forget([scene.seen[0][0]])
    done = rescuer.run()
    assert (["web1/2"], 0) == (
        [line.split()[0] for line in done.stdout.splitlines()],
        done.returncode,
    )
    flip(objects(scene, "log")[0], -1)
    assert 0 != rescuer.run().returncode


def test_another_admin_is_not_believed(scene: Scene, rescuer: Rescuer) -> None:
    right = signing.fingerprint(scene.vault.admin.public)
    assert 0 == rescuer.run("--fingerprint", right).returncode
    assert 0 != rescuer.run("--fingerprint", right[:-1] + "x").returncode


def test_another_key_opens_nothing(scene: Scene, rescuer: Rescuer) -> None:
    scene.write("a", b"1")
    scene.back_up()
    rescuer.key.write_text(recovery.to_words(bytes(32)))
    done = rescuer.run()
    assert ("", 1) == (done.stdout, done.returncode)


# A tree that means harm, given to the part that writes


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vault_rescue", RESCUE)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def harmful(module: ModuleType) -> list[Any]:
    """Return entries that would write through links, were they followed."""

    def entry(path: bytes, mode: int, target: bytes = b"") -> Any:
        extra = module.Extra(target, 0, b"", [], 0, None, False)
        return module.Entry(path, mode, 0, 0, 0, 0, module.NONE, 0, b"", extra)

    link, folder, file = stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o777, stat.S_IFREG | 0o777
    return [
        entry(b"a", link, b"../outside"),
        entry(b"a/file", file),
        entry(b"a/folder", folder),
        entry(b"a/link", link, b"x"),
        entry(b"a/victim", folder),
        entry(b"b", folder),
        entry(b"b", link, b"../outside"),
    ]


def test_nothing_is_written_through_links(module: ModuleType, tmp_path: Path) -> None:
    class Harmful(module.Vault):  # type: ignore[misc, name-defined]  # a class of a loaded file
        def __init__(self) -> None:
            """Open no vault."""

        def _entries(self, *_: object) -> Iterator[Any]:
            yield from harmful(module)

    outside = tmp_path / "outside"
    (outside / "victim").mkdir(parents=True, mode=0o700)
    before = snapshot_of(outside)
    Harmful().restore((), os.fsencode(tmp_path / "target"), b"")
    assert [] == differences(before, snapshot_of(outside))
    assert (tmp_path / "target/a").is_symlink()
    assert not (tmp_path / "target/b").is_symlink()
