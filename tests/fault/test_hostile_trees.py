"""Snapshots that a malicious host has signed: a restore stays inside its target and stays alive.

The trees are made with the encoders of the format, so they open and are believed; what they say is
as bad as it can be.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.trees import snapshot_of
from tests.support.vaults import ALL_METADATA, STORE, STORE_ID, Machine, Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.compression import Compressor
from vaultd.core.clock import SystemClock
from vaultd.core.errors import VaultdError
from vaultd.core.events import ignore
from vaultd.core.snapshot import Counts, Kind, Snapshot
from vaultd.core.tree import Extra, Listing, columns_of
from vaultd.format.session import TreeChunk
from vaultd.format.tree import Block, Content, Extent, encode_block, pack_extents
from vaultd.pipeline.restore import MARKER, RestoreReport, RestoreRequest, execute_restore
from vaultd.stores.files.destination import FilesDestination
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.vault.commit import Captured
from vaultd.vault.packing import Tools
from vaultd.vault.session import SessionRequest, begin
from vaultd.vault.writer import DATA, META

CHUNK = bytes(range(256)) * 8
NO_CHUNK = b"\xee" * 32
HUGE = (1 << 63) - 1


def forge(machine: Machine, chunks: Sequence[bytes], contents: bytes = CHUNK) -> Snapshot:
    """Commit a snapshot whose tree is whatever these chunks are."""
    tools = Tools(Compressor("fast"))
    request = SessionRequest(store=STORE, store_id=STORE_ID, kind=Kind.FULL)
    with machine.opened() as host, begin(host, request) as session:
        session.writer.add(DATA, contents, tools)
        added = [session.writer.add(META, chunk, tools).chunk_id for chunk in chunks]
        for kind in (DATA, META):
            for pack in session.writer.take_open(kind):
                session.writer.upload(pack.seal(tools))
        return session.commit(
            Captured(
                tree=tuple(TreeChunk(chunk_id, b"") for chunk_id in added),
                roots=(b"/",),
                hostname="evil",
                username="",
                users={0: "root"},
                groups={},
                tags=(),
                counts=Counts(),
                problems=(),
                started_ns=1,
                ended_ns=2,
            )
        )


def chunk_id_of(scene: Scene) -> bytes:
    """Return the id of the chunk that `forge` stores."""
    tools = Tools(Compressor("fast"))
    request = SessionRequest(store=STORE, store_id=STORE_ID, kind=Kind.FULL)
    with scene.machine.opened() as host, begin(host, request) as session:
        return session.writer.add(DATA, CHUNK, tools).chunk_id


def entry(mode: int, *, size: int = 0, mtime_ns: int = 0, uid: int = 0) -> list[int]:
    """Return the stat columns of one entry."""
    return [mode, uid, 0, size, mtime_ns, 0, 1]


def block(path: bytes, entries: dict[bytes, tuple[list[int], Content, Extra | None]]) -> bytes:
    """Encode one directory part; names come in ascending order."""
    named = sorted(entries.items())
    rows = array("q", [number for _, (row, _, _) in named for number in row])
    extras = {at: extra for at, (_, (_, _, extra)) in enumerate(named) if extra is not None}
    listing = Listing(path, [name for name, _ in named], columns_of(rows), extras)
    return encode_block(Block(listing, [content for _, (_, content, _) in named]))


def folder(mode: int = 0o755) -> tuple[list[int], Content, Extra | None]:
    return entry(stat.S_IFDIR | mode), None, None


def link(target: bytes) -> tuple[list[int], Content, Extra | None]:
    return entry(stat.S_IFLNK | 0o777), None, Extra(link_target=target)


class Jail:
    """A target, and beside it what nobody may touch."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene = scene
        self.target = folder / "target"
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.outside.joinpath("precious").write_bytes(b"precious")
        self.outside.joinpath("folder").mkdir()
        self.before = snapshot_of(folder)

    def restore(
        self, *chunks: bytes, options: TargetOptions = ALL_METADATA
    ) -> RestoreReport | None:
        """Restore a forged snapshot; what lies outside must not have changed."""
        snapshot = forge(self.scene.machine, chunks)
        desk = self.scene.new_desk()
        report = None
        with desk.reader(snapshot) as reader:
            request = RestoreRequest(
                destination=FilesDestination(self.target, options), verify=True
            )
            try:
                report = execute_restore(reader, request, SystemClock(), ignore)
            except VaultdError:
                report = None
        found = snapshot_of(self.outside.parent)
        assert self.before == {path: found[path] for path in self.before}
        new = {path.split(b"/")[0] for path in found.keys() - self.before.keys()}
        assert new <= {b"target"}
        return report


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"), MemoryBackend())


@pytest.fixture
def jail(scene: Scene, tmp_path: Path) -> Jail:
    return Jail(scene, tmp_path)


@pytest.fixture(scope="module")
def known(scene: Scene) -> bytes:
    return chunk_id_of(scene)


def file(known: bytes, size: int = 5) -> tuple[list[int], Content, Extra | None]:
    return entry(stat.S_IFREG | 0o644, size=size), Extent(known, 0, size), None


@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"/etc", b"", b"n" * 300])
def test_a_name_that_leads_elsewhere_is_refused(jail: Jail, known: bytes, name: bytes) -> None:
    report = jail.restore(block(b"", {name: file(known)}))

    assert report is None or report.problems


@pytest.mark.parametrize("path", [b"..", b"../outside", b"/etc", b"a/../../outside", b"a//b"])
def test_a_path_that_leads_elsewhere_is_refused(jail: Jail, known: bytes, path: bytes) -> None:
    report = jail.restore(
        block(b"", {b"a": folder()}), block(path, {b"precious": file(known), b"new": file(known)})
    )

    assert report is None or report.problems


@pytest.mark.parametrize("overwrite", [None, Overwrite.ALWAYS, Overwrite.IF_CHANGED])
def test_a_link_is_not_followed_by_what_comes_below_it(
    jail: Jail, known: bytes, overwrite: Overwrite | None
) -> None:
    options = TargetOptions(overwrite=overwrite, allow_suid=True, allow_devices=True)
    outside = bytes(jail.outside)
    below = {b"precious": file(known), b"new": file(known), b"folder": folder(0o777)}

    jail.restore(block(b"", {b"d": link(outside)}), block(b"d", below), options=options)
    jail.restore(
        block(b"", {b"d": folder()}),
        block(b"", {b"d": link(outside)}),
        block(b"d", below),
        block(b"d/folder", {b"new": file(known)}),
        options=options,
    )


def test_a_link_that_an_earlier_restore_left_is_not_followed(jail: Jail, known: bytes) -> None:
    jail.target.mkdir()
    jail.target.joinpath("d").symlink_to(jail.outside)
    jail.target.joinpath("f").symlink_to(jail.outside / "precious")
    options = TargetOptions(overwrite=Overwrite.ALWAYS)

    jail.restore(
        block(b"", {b"d": folder(0o700), b"f": file(known)}),
        block(b"d", {b"precious": file(known), b"new": file(known)}),
        options=options,
    )


def test_a_hard_link_cannot_reach_outside(jail: Jail, known: bytes) -> None:
    group = Extra(link_group=b"g" * 16)
    row, content, _ = file(known)
    target = (
        entry(stat.S_IFLNK | 0o777),
        None,
        Extra(link_group=b"g" * 16, link_target=b"../outside/precious"),
    )

    jail.restore(
        block(b"", {b"a": target, b"b": (row, content, group), b"c": (row, content, group)})
    )


@pytest.mark.parametrize(
    "content",
    [
        Extent(NO_CHUNK, 0, 5),
        pack_extents([(NO_CHUNK, 5)]),
        (NO_CHUNK,),
    ],
    ids=["extent", "extents", "list"],
)
def test_contents_that_nobody_has_are_damage(jail: Jail, known: bytes, content: Content) -> None:
    bad = entry(stat.S_IFREG | 0o644, size=5), content, None

    report = jail.restore(block(b"", {b"bad": bad, b"good": file(known)}))

    assert report is not None
    assert {b"bad"} == {problem.path for problem in report.problems}
    assert CHUNK[:5] == jail.target.joinpath("good").read_bytes()
    assert not jail.target.joinpath("bad").exists()


def test_contents_that_point_behind_their_chunk_are_damage(jail: Jail, known: bytes) -> None:
    bad = entry(stat.S_IFREG | 0o644, size=100), Extent(known, len(CHUNK) - 50, 100), None
    longer = entry(stat.S_IFREG | 0o644, size=5000), pack_extents([(known, 5000)]), None

    report = jail.restore(block(b"", {b"bad": bad, b"good": file(known), b"longer": longer}))

    assert report is not None
    assert {b"bad", b"longer"} == {problem.path for problem in report.problems}


def test_lists_that_hold_less_than_a_file_are_damage(jail: Jail, known: bytes) -> None:
    """The length of contents that list chunks name is known only when these are read."""
    packed = pack_extents([(known, len(CHUNK))])
    tools = Tools(Compressor("fast"))
    request = SessionRequest(store=STORE, store_id=STORE_ID, kind=Kind.FULL)
    with jail.scene.machine.opened() as host, begin(host, request) as session:
        list_id = session.writer.add(META, packed, tools).chunk_id
    short = entry(stat.S_IFREG | 0o644, size=len(CHUNK) + 1), (list_id,), None
    right = entry(stat.S_IFREG | 0o644, size=len(CHUNK)), (list_id,), None

    report = jail.restore(block(b"", {b"right": right, b"short": short}), packed)

    assert report is not None
    assert b"short" in [problem.path for problem in report.problems]
    assert CHUNK == jail.target.joinpath("right").read_bytes()
    assert not jail.target.joinpath("short").exists()


def test_a_name_of_ours_is_refused(jail: Jail, known: bytes) -> None:
    report = jail.restore(block(b"", {MARKER.encode(): file(known), b"good": file(known)}))

    assert report is not None
    assert {MARKER.encode()} == {problem.path for problem in report.problems}


# Anything at all

PATHS = (b"", b"a", b"b", b"a/b", b"a/a", b"link", b"link/x", b"c/d/e", b"f")
NAMES = (b"a", b"b", b"c", b"d", b"f", b"link", b"x", b"precious", b"\xff\n", b".vaultd-part-x")
TARGETS = (
    b"../outside",
    b"..",
    b"/",
    b"a",
    b"link",
    b"../outside/precious",
    b"",
    b"\0",
    b"x" * 5000,
)
KINDS = (
    stat.S_IFREG,
    stat.S_IFREG,
    stat.S_IFDIR,
    stat.S_IFDIR,
    stat.S_IFLNK,
    stat.S_IFIFO,
    stat.S_IFSOCK,
    stat.S_IFCHR,
    stat.S_IFBLK,
    0,
    0o170000,
)


def extras() -> st.SearchStrategy[Extra | None]:
    xattrs = st.sampled_from(
        (
            (),
            ((b"user.a", b"b"),),
            ((b"trusted.overlay.opaque", b"y"), (b"security.capability", b"\1" * 20)),
            ((b"system.posix_acl_access", b"\2\0\0\0rubbish"), (b"no.such", b"x")),
            ((b"user.\0", b"x"),),
        )
    )
    segments = st.sampled_from((None, None, (), ((0, 5),), ((1 << 40, 5),), ((3, 2), (9, 1))))
    return st.one_of(
        st.none(),
        st.builds(
            Extra,
            link_target=st.sampled_from(TARGETS),
            rdev=st.sampled_from((0, 1 << 32 | 3, HUGE)),
            link_group=st.sampled_from((b"", b"", b"g", b"h" * 16)),
            xattrs=xattrs,
            segments=segments,
            changed=st.booleans(),
        ),
    )


@st.composite
def entries(draw: st.DrawFn, known: bytes) -> tuple[list[int], Content, Extra | None]:
    mode = draw(st.sampled_from(KINDS)) | draw(st.sampled_from((0, 0o755, 0o7777, 0o200)))
    size = draw(st.sampled_from((0, 5, 10, 1 << 20, 1 << 45, HUGE)))
    row = entry(
        mode,
        size=size,
        mtime_ns=draw(st.sampled_from((0, -1, HUGE, -HUGE, 1 << 62))),
        uid=draw(st.sampled_from((0, 1000, (1 << 32) - 1))),
    )
    chunk = draw(st.sampled_from((known, NO_CHUNK)))
    content = draw(
        st.sampled_from(
            (
                None,
                Extent(chunk, 0, 5),
                Extent(chunk, 2000, 5),
                Extent(chunk, (1 << 32) - 1, 5),
                pack_extents([(chunk, 5)] * 3),
                pack_extents([(chunk, 2048), (chunk, 8 << 20)]),
                b"",
                (chunk,),
                (chunk, NO_CHUNK),
            )
        )
    )
    return row, content, draw(extras())


def blocks(known: bytes) -> st.SearchStrategy[list[bytes]]:
    """Draw directory parts in any order; some that the format forbids, some that are no blocks."""
    inside = st.dictionaries(st.sampled_from(NAMES), entries(known), max_size=5)
    honest = st.builds(block, st.sampled_from(PATHS), inside)
    return st.lists(st.one_of(honest, honest, honest, st.binary(max_size=60)), max_size=6)


def try_hostile(
    scene: Scene, known: bytes, parts: list[bytes], overwrite: Overwrite | None
) -> None:
    options = TargetOptions(overwrite=overwrite, allow_suid=True, delete=overwrite is not None)
    with tempfile.TemporaryDirectory() as name:
        jail = Jail(scene, Path(name))
        jail.restore(*parts, options=options)
        jail.restore(b"".join(parts), options=options)
        shutil.rmtree(jail.target, ignore_errors=True)


@pytest.mark.parametrize("trees", [100, pytest.param(20_000, marks=pytest.mark.nightly)])
def test_no_tree_leaves_its_target_or_ends_in_a_crash(
    scene: Scene, known: bytes, trees: int
) -> None:
    @settings(max_examples=trees)
    @given(parts=blocks(known), overwrite=st.sampled_from((None, *Overwrite)))
    def each(parts: list[bytes], overwrite: Overwrite | None) -> None:
        try_hostile(scene, known, parts, overwrite)

    each()
