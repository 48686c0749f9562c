"""Many hosts at once, real trees, and files far larger than the memory that may be used."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.crash import at_once, in_child
from tests.support.s3 import bucket_of
from tests.support.seaweed import Seaweed
from tests.support.trees import differences, snapshot_of
from tests.support.vaults import Desk, Machine, Scene, Vault
from vaultd.core.snapshot import Kind
from vaultd.core.units import MIB

HOSTS = tuple(f"web{number}" for number in range(8))


# Hosts at once


def live(seaweed: Seaweed, prefix: str, folder: Path, host: str) -> None:
    """Be one host: a full snapshot and two incremental ones, of a folder of one's own."""
    source = random.Random(host)
    tree = folder / host / "box" / "tree"
    tree.mkdir(parents=True)
    with bucket_of(seaweed, prefix=prefix) as backend:
        vault = Vault(hosts=HOSTS)
        machine = Machine(vault=vault, backend=backend, state=folder / host / "state", host=host)
        for turn in range(3):
            tree.joinpath(f"large-{turn}").write_bytes(source.randbytes(600_000))
            tree.joinpath("small").write_bytes(source.randbytes(2000))
            assert () == machine.back_up(tree).problems


def test_eight_hosts_write_into_one_bucket_at_once(seaweed: Seaweed, tmp_path: Path) -> None:
    prefix = seaweed.prefix()
    with bucket_of(seaweed, prefix=prefix) as backend:
        Vault(hosts=HOSTS).found(backend)

    at_once(partial(live, seaweed, prefix, tmp_path, host) for host in HOSTS)

    with bucket_of(seaweed, prefix=prefix) as backend:
        desk = Desk(vault=Vault(hosts=HOSTS), backend=backend, folder=tmp_path / "desk")
        report = desk.check()
        assert ((), 3 * len(HOSTS)) == (report.damages, report.snapshots)
        for snapshot in desk.snapshots():
            host, turn = snapshot.session.host, snapshot.session.seq
            target = tmp_path / f"restored-{host}-{turn}"
            assert () == desk.restore(snapshot, target).problems
            place = Path(f"{target}{tmp_path / host / 'box' / 'tree'}")
            assert turn + 1 == len(list(place.iterdir()))
            if turn == 3:
                tree = tmp_path / host / "box"
                assert [] == differences(snapshot_of(tree), snapshot_of(place.parent))


def test_stores_of_one_machine_are_captured_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    source = random.Random(1)
    for number in range(4):
        scene.write(f"{number}/large", source.randbytes(600_000))
        scene.write(f"{number}/small", source.randbytes(2000))

    def capture(number: int) -> int:
        store = {"store": f"store {number}", "store_id": bytes([number]) * 16}
        seqs = []
        for turn in range(3):
            report = scene.machine.back_up(scene.tree / str(number), wanted=store)
            assert () == report.problems
            seqs.append(report.snapshot.session.seq)
            scene.write(f"{number}/large-{turn}", random.Random(turn).randbytes(530_000))
        return seqs[-1]

    last = at_once(partial(capture, number) for number in range(4))

    desk = scene.new_desk()
    assert () == desk.check().damages
    snapshots = desk.snapshots()
    assert list(range(1, 13)) == sorted(snapshot.session.seq for snapshot in snapshots)
    for snapshot in snapshots:
        report, found = scene.restore(snapshot)
        number = int(snapshot.store[-1])
        files = {path for path in found if path.startswith(b"tree/%d/" % number)}
        turns = 2 if snapshot.session.seq in last else len(files) - 2
        assert ((), 2 + turns) == (report.problems, len(files))


# Real trees, large files


def copy_of(source: Path, tree: Path) -> None:
    """Copy a part of the system, with all its metadata that an ordinary user may copy."""
    shutil.copytree(source, tree, symlinks=True, dirs_exist_ok=True)


def test_a_part_of_the_system_comes_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path, vault=Vault(pack_bytes=4 * MIB))
    copy_of(Path(sys.prefix) / "lib", scene.tree / "lib")

    scene.back_up(Kind.FULL)
    (scene.tree / "lib" / "one-more").write_bytes(b"more")
    report = scene.back_up(Kind.INCREMENTAL)

    assert report.snapshot.counts.files_read < 20
    scene.expect_whole()
    scene.expect_restorable()


@pytest.mark.nightly
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_the_system_comes_back(tmp_path: Path, seaweed: Seaweed, place: str) -> None:
    with bucket_of(seaweed) as bucket:
        backend = bucket if place == "bucket" else None
        scene = Scene(tmp_path, backend, vault=Vault(pack_bytes=32 * MIB))
        copy_of(Path("/usr"), scene.tree / "usr")

        scene.back_up(Kind.FULL)

        scene.expect_whole()
        scene.expect_restorable()


def grown(act: Callable[[], object]) -> int:
    """Do something in a child and return by how much its memory grew."""

    def measured() -> int:
        # A forked child begins with the pages of its parent: what counts is what comes on top.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = peak()
        act()
        return peak() - before

    return in_child(measured)


def peak() -> int:
    """Return the most memory that this process has had in RAM since it was last asked to forget."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("this kernel does not tell")


def test_memory_does_not_grow_with_the_size_of_files(tmp_path: Path) -> None:
    scene = Scene(tmp_path, vault=Vault(pack_bytes=8 * MIB))
    source = random.Random(1)
    block = source.randbytes(8 * MIB)
    with (scene.tree / "huge").open("wb") as file:
        for number in range(32):
            file.write(block[number:] + block[:number])
        file.truncate(2048 * MIB)

    assert grown(lambda: scene.machine.back_up(scene.tree, kind=Kind.FULL)) < 100 * MIB
    snapshot = scene.new_desk().snapshots()[0]
    assert 256 * MIB == snapshot.counts.data
    assert grown(lambda: scene.restore(snapshot)) < 100 * MIB
    assert grown(lambda: scene.new_desk().check()) < 100 * MIB
