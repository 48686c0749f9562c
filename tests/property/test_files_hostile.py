"""Whatever a snapshot says and whatever lies in the target, a restore stays inside of it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees import Facts, snapshot_of
from tests.unit.stores.taking import Heard
from vaultd.core.entry import Entry
from vaultd.core.tree import Extra
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.stores.files.target import FilesTarget, Preview

TIME_NS = 1_600_000_000_000_000_000

NAMES = st.sampled_from(
    (
        b"a",
        b"b",
        b"dir",
        b"planted",
        b"shared",
        b"up",
        b"..",
        b".",
        b"",
        b"a/b",
        b"../outside/secret",
        b"/etc",
        b"planted/secret",
        b"x\0y",
        b"n" * 256,
        b".vaultd-part-=a",
        b".vaultd-part-=shared",
    )
)
PATHS = st.lists(NAMES, max_size=3).map(b"/".join)
TARGETS = st.sampled_from((b"..", b"../outside", b"../outside/secret", b"OUTSIDE", b"dir", b"\0"))


@dataclass(frozen=True)
class Restored:
    """An entry that a hostile snapshot holds."""

    path: bytes
    name: bytes
    kind: int
    target: bytes
    group: bytes
    mtime_ns: int


@dataclass(frozen=True)
class Planted:
    """A link to the outside that somebody makes in the target while the restore runs."""

    path: bytes
    name: bytes
    target: bytes


@dataclass(frozen=True)
class Removed:
    """A directory from which everything is to be removed that the snapshot does not have."""

    path: bytes


ACTIONS = st.lists(
    st.one_of(
        st.builds(
            Restored,
            path=PATHS,
            name=NAMES,
            kind=st.sampled_from(
                (
                    stat.S_IFREG,
                    stat.S_IFDIR,
                    stat.S_IFLNK,
                    stat.S_IFIFO,
                    stat.S_IFCHR,
                    0,
                    0o030000,
                )
            ),
            target=TARGETS,
            group=st.sampled_from((b"", b"", b"one", b"two")),
            mtime_ns=st.sampled_from((0, TIME_NS, -(1 << 63), (1 << 63) - 1)),
        ),
        st.builds(Planted, path=PATHS, name=NAMES, target=TARGETS),
        st.builds(Removed, path=PATHS),
    ),
    max_size=12,
)


def prepare(sandbox: Path) -> tuple[Path, Path]:
    """Make a target with traps in it, and what they lead to."""
    outside, root = sandbox / "outside", sandbox / "target"
    (outside / "below").mkdir(parents=True)
    (outside / "secret").write_text("untouched")
    (outside / "below/x").write_text("untouched")
    (root / "dir").mkdir(parents=True)
    (root / "planted").symlink_to(outside)
    (root / "dir/up").symlink_to("../../outside")
    (root / "a").symlink_to(outside / "secret")
    (root / ".vaultd-part-=b").symlink_to(outside / "secret")
    (root / "shared").hardlink_to(outside / "secret")
    return root, outside


def act(target: FilesTarget, action: Restored, outside: Path) -> None:
    link = action.target.replace(b"OUTSIDE", os.fsencode(outside))
    folder = target.folder(action.path)
    if folder is None:
        return
    extra = Extra(link_target=link, link_group=action.group, rdev=1 << 32 | 3)
    entry = Entry(action.path, action.name, action.kind | 0o777, 0, 0, 6, action.mtime_ns, extra)
    if action.kind == stat.S_IFREG:
        pending = folder.begin_file(entry, 2)
        if pending is not None:
            pending.write(3, b"mad")
            pending.write(0, b"bad")
    else:
        folder.add(entry)


def plant(root: Path, action: Planted, outside: Path) -> None:
    """Put a link to the outside where an entry is, as a local user might."""
    where = os.fsencode(root) + b"/" + action.path
    name = where + b"/" + action.name
    if b"\0" in name + action.target or not action.name or b"/" in action.name:
        return
    real, top = os.path.realpath(where), os.path.realpath(os.fsencode(root))
    inside = real == os.path.normpath(where) and (real + b"/").startswith(top + b"/")
    if not inside or not os.path.isdir(where) or action.name in {b".", b".."}:
        return
    if os.path.isdir(name) and not os.path.islink(name):
        shutil.rmtree(name)
    elif os.path.lexists(name):
        os.unlink(name)
    if len(action.name) < 256:
        os.symlink(action.target.replace(b"OUTSIDE", os.fsencode(outside)), name)


def facts_of(outside: Path) -> tuple[dict[bytes, Facts], tuple[int, ...]]:
    """All that must not change: what is outside, and the directory itself."""
    status = os.lstat(outside)
    mine = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns)
    # How many names the target has for what is outside is its own affair.
    return {path: replace(one, names=()) for path, one in snapshot_of(outside).items()}, mine


@given(
    actions=ACTIONS,
    rule=st.sampled_from(list(Overwrite)),
    delete=st.booleans(),
)
def test_no_hostile_snapshot_and_no_planted_link_leads_out(
    actions: list[Restored | Planted | Removed], rule: Overwrite, delete: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Path(folder)
        root, outside = prepare(sandbox)
        before = facts_of(outside)
        options = TargetOptions(
            overwrite=rule, delete=delete, allow_suid=True, allow_devices=os.geteuid() == 0
        )
        with FilesTarget(root, options, Heard()) as target:
            for action in actions:
                if isinstance(action, Restored):
                    act(target, action, outside)
                elif isinstance(action, Planted):
                    plant(root, action, outside)
                else:
                    place = target.folder(action.path)
                    for name in place.surplus([b"b"]) if place is not None else ():
                        assert place is not None
                        place.remove(name)
            target.finish()
        assert before == facts_of(outside)
        assert {"outside", "target"} == set(os.listdir(sandbox))


@given(actions=ACTIONS, rule=st.sampled_from(list(Overwrite)))
def test_a_preview_of_a_hostile_snapshot_changes_nothing_and_looks_at_nothing_outside(
    actions: list[Restored | Planted | Removed], rule: Overwrite
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, outside = prepare(Path(folder))
        before = facts_of(Path(folder))
        with Preview(root, TargetOptions(overwrite=rule)) as preview:
            for action in actions:
                if isinstance(action, Restored):
                    mode = action.kind | 0o777
                    entry = Entry(action.path, action.name, mode, 0, 0, 6, action.mtime_ns)
                    decision = preview.decide(entry)
                    if b"planted/" in action.path or action.path.endswith(b"up"):
                        assert decision == "create"
        assert before == facts_of(Path(folder))
        assert outside.is_dir()
