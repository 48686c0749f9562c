"""File trees of every shape: drawn by Hypothesis, made on disk, looked at, compared.

`trees` draws a `Tree`, `build` makes it, `snapshot_of` takes down all that a backup must bring
back, `differences` tells two of those apart. Times of access and of inode change and the inodes'
numbers are not compared: nobody can set them.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields

from hypothesis import strategies as st

ACL_ACCESS, ACL_DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
_ACL_VERSION = 2
_ACL_USER_OBJ, _ACL_USER, _ACL_GROUP_OBJ, _ACL_MASK, _ACL_OTHER = 1, 2, 4, 16, 32
_ACL_NO_ID = 0xFFFFFFFF

_COMPARED_XATTRS = (b"user.", b"system.posix_acl_", b"security.capability")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What every entry has beside its contents.

    Attributes:
        mode: Permission bits, set-id and sticky bits, set after an access list. The owner's own
            rights are always added when root is not the one who builds, because nothing could
            read the tree otherwise.
        mtime_ns: Modification time, nanoseconds since 1970; may be negative.
        owner: (uid, gid); set only by root.
        xattrs: (name, value), names with their namespace; ACLs as the kernel's bytes. Only on
            files and directories.
    """

    mode: int = 0o644
    mtime_ns: int = 0
    owner: tuple[int, int] | None = None
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Written bytes of a file.

    Attributes:
        offset: Where they begin.
        length: How many.
        seed: What they are: 0 zeros (written, no hole), odd numbers repeat a short pattern, other
            even numbers cannot be compressed.
    """

    offset: int = 0
    length: int
    seed: int = 2

    def contents(self) -> bytes:
        """Return the bytes."""
        if self.seed == 0:
            return bytes(self.length)
        source = random.Random(self.seed)
        if self.seed % 2 == 0:
            return source.randbytes(self.length)
        return (source.randbytes(17) * (self.length // 17 + 1))[: self.length]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A regular file: what is between and after its pieces, up to ``size``, is a hole."""

    pieces: tuple[Piece, ...] = ()
    size: int = 0
    marks: Marks = Marks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Symlink:
    """A symbolic link; its target need not exist."""

    target: bytes
    marks: Marks = Marks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """A fifo or a socket: ``stat.S_IFIFO`` or ``stat.S_IFSOCK``."""

    kind: int
    marks: Marks = Marks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory and what it holds, by name."""

    entries: tuple[tuple[bytes, Node], ...] = ()
    marks: Marks = Marks(mode=0o755)


Node = File | Symlink | Special | Directory


@dataclass(frozen=True, slots=True, kw_only=True)
class HardLink:
    """One more name: of the ``which``-th thing that is no directory, in the ``where``-th directory.

    Both count round and round; the link is left out where there is nothing to link or the name is
    taken.
    """

    which: int
    where: int
    name: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A whole tree: its top directory and its additional names."""

    top: Directory
    links: tuple[HardLink, ...] = ()


def acl(mode: int, user: int, rights: int) -> bytes:
    """Return an access list as the kernel keeps it: ``mode``, and ``rights`` of one more user."""
    entries = (
        (_ACL_USER_OBJ, mode >> 6 & 7, _ACL_NO_ID),
        (_ACL_USER, rights, user),
        (_ACL_GROUP_OBJ, mode >> 3 & 7, _ACL_NO_ID),
        (_ACL_MASK, 7, _ACL_NO_ID),
        (_ACL_OTHER, mode & 7, _ACL_NO_ID),
    )
    return struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *one) for one in entries)


# --- drawing -----------------------------------------------------------------------------------

_ODD_NAMES = (
    b"-rf",
    b"--help",
    b"new\nline",
    b"not utf-8 \xff\xfe",
    b"n" * 255,
    b"\xe6\x96\x87" * 85,
    b" ",
    b"...",
    b".hidden",
    b"e\xcc\x81",
    b"\xc3\xa9",
    b"\\back\\slash",
    b"\"quotes'",
    b"*",
    b"~",
    b"\x01\x7f\x1b[2J",
    b"CON.txt ",
    b"loop",
)
_ODD_TARGETS = (
    b".",
    b"..",
    b"/",
    b"/etc/passwd",
    b"../../../../etc/passwd",
    b"nowhere",
    b"loop",
    b"\xff\xfe",
    b"a//b/./c",
    b"t" * 1500,
)
_SECOND = 1_000_000_000
_ODD_TIMES = (
    0,
    -1,
    1,
    -(2**31) * _SECOND + 123_456_789,  # December 1901
    4_102_444_800 * _SECOND + 999_999_999,  # 2100
    (2**31) * _SECOND,  # January 2038
)


def names() -> st.SearchStrategy[bytes]:
    """Draw names of entries, odd ones often."""
    usual = st.text("abcdefgh012.-_ ", min_size=1, max_size=6).map(str.encode)
    free = st.binary(min_size=1, max_size=12)
    return st.one_of(usual, st.sampled_from(_ODD_NAMES), free).filter(
        lambda name: name not in {b".", b".."} and not set(name) & {0, ord("/")}
    )


def _xattrs(mode: int) -> st.SearchStrategy[tuple[tuple[bytes, bytes], ...]]:
    keys = st.sampled_from((b"user.a", b"user.comment", b"user.\xff\n", b"user." + b"x" * 200))
    named = st.dictionaries(keys, st.binary(max_size=100), max_size=2)
    lists = st.one_of(
        st.none(),
        st.builds(acl, st.just(mode), st.sampled_from((0, 1000, 70_000)), st.integers(0, 7)),
    )
    return st.builds(
        lambda plain, access: (*plain.items(), *([(ACL_ACCESS, access)] if access else [])),
        named,
        lists,
    )


@st.composite
def _marks(draw: st.DrawFn, *, rich: bool) -> Marks:
    """Draw marks; ``rich`` ones carry extended attributes sometimes."""
    mode = draw(st.one_of(st.sampled_from((0o644, 0o755, 0o4755, 0o1777)), st.integers(0, 0o7777)))
    return Marks(
        mode=mode,
        mtime_ns=draw(
            st.one_of(
                st.integers(1_500_000_000 * _SECOND, 1_800_000_000 * _SECOND),
                st.sampled_from(_ODD_TIMES),
            )
        ),
        owner=draw(
            st.one_of(st.none(), st.sampled_from(((1000, 1000), (0, 4), (4_000_000_000, 1))))
        ),
        xattrs=draw(st.one_of(st.just(()), _xattrs(mode))) if rich else (),
    )


@st.composite
def _files(draw: st.DrawFn) -> File:
    """Draw empty, small, large and sparse files."""
    seeds = st.integers(0, 9)
    lengths = st.one_of(
        st.integers(0, 300),
        st.sampled_from((1, 4095, 4096, 4097, 65_536, 1 << 20, (2 << 20) + 4097)),
    )
    gaps = st.sampled_from((0, 0, 1, 4096, 1 << 20, 5_000_001))
    pieces: list[Piece] = []
    end = 0
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 1, 2, 3)))):
        offset = end + (draw(gaps) if pieces else draw(st.sampled_from((0, 0, 0, 65_536))))
        pieces.append(Piece(offset=offset, length=draw(lengths), seed=draw(seeds)))
        end = pieces[-1].offset + pieces[-1].length
    tail = draw(st.sampled_from((0, 0, 0, 0, 1, 70_000)))
    return File(pieces=tuple(pieces), size=end + tail, marks=draw(_marks(rich=True)))


def _leaves() -> st.SearchStrategy[Node]:
    plain = _marks(rich=False)
    targets = st.one_of(names(), st.sampled_from(_ODD_TARGETS))
    return st.one_of(
        _files(),
        _files(),
        st.builds(Symlink, target=targets, marks=plain),
        st.builds(Special, kind=st.sampled_from((stat.S_IFIFO, stat.S_IFSOCK)), marks=plain),
    )


def _directories(inside: st.SearchStrategy[Node]) -> st.SearchStrategy[Directory]:
    return st.builds(
        lambda entries, marks: Directory(entries=tuple(entries.items()), marks=marks),
        st.dictionaries(names(), inside, max_size=6),
        _marks(rich=True),
    )


def trees(*, max_leaves: int = 12) -> st.SearchStrategy[Tree]:
    """Draw whole trees: nested, with odd names, times, modes, links, holes, lists of rights."""
    nodes: st.SearchStrategy[Node] = st.recursive(_leaves(), _directories, max_leaves=max_leaves)
    links = st.builds(HardLink, which=st.integers(0, 20), where=st.integers(0, 20), name=names())
    return st.builds(Tree, top=_directories(nodes), links=st.lists(links, max_size=3).map(tuple))


# --- making ------------------------------------------------------------------------------------


def build(tree: Tree, folder: str | bytes | os.PathLike[str]) -> None:
    """Make a tree in a folder, which is made when it is not there and gets the top's marks.

    Raises:
        OSError: The file system cannot do it (no extended attributes, say), or something is there.
    """
    top = os.fsencode(folder)
    os.makedirs(top, exist_ok=True)
    made: list[tuple[bytes, Node]] = [(top, tree.top)]
    leaves: list[bytes] = []
    folders = [top]
    for path, node in _walk(top, tree.top):
        made.append((path, node))
        if isinstance(node, Directory):
            os.mkdir(path, 0o700)
            folders.append(path)
        else:
            _make(path, node)
            leaves.append(path)
    for link in tree.links:
        name = folders[link.where % len(folders)] + b"/" + link.name
        if leaves and not os.path.lexists(name):
            os.link(leaves[link.which % len(leaves)], name, follow_symlinks=False)
    for path, node in reversed(made):  # a directory after what it holds: its time, its rights
        _mark(path, node)


def _walk(path: bytes, directory: Directory) -> Iterator[tuple[bytes, Node]]:
    for name, node in directory.entries:
        yield path + b"/" + name, node
        if isinstance(node, Directory):
            yield from _walk(path + b"/" + name, node)


def _make(path: bytes, node: File | Symlink | Special) -> None:
    if isinstance(node, Symlink):
        os.symlink(node.target, path)
    elif isinstance(node, Special):
        os.mknod(path, 0o600 | node.kind)
    else:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for piece in node.pieces:
                os.pwrite(fd, piece.contents(), piece.offset)
            os.ftruncate(fd, node.size)
        finally:
            os.close(fd)


def _mark(path: bytes, node: Node) -> None:
    marks = node.marks
    root = os.geteuid() == 0
    if marks.owner is not None and root:
        os.chown(path, *marks.owner, follow_symlinks=False)
    if isinstance(node, (File, Directory)):
        for name, value in marks.xattrs:
            os.setxattr(path, name, value, follow_symlinks=False)
    if not isinstance(node, Symlink):
        usable = 0 if root else (0o700 if isinstance(node, Directory) else 0o600)
        os.chmod(path, marks.mode | usable)
    os.utime(path, ns=(marks.mtime_ns, marks.mtime_ns), follow_symlinks=False)


# --- looking and comparing ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of one entry that a backup must bring back.

    Attributes:
        kind: Type bits of the mode.
        mode: The other bits.
        uid: Owner.
        gid: Group.
        size: Bytes of a regular file, 0 for the rest.
        sha256: Of a regular file's contents, ``""`` for the rest.
        segments: (offset, length) of data as the file system tells data from holes.
        names: All names of a multiply-linked file in this tree, sorted; ``()`` for the rest.
        target: Of a symbolic link.
        rdev: Of a device.
        xattrs: (name, value) sorted, those that a restore can be asked for.
        mtime_ns: Modification time.
    """

    kind: int
    mode: int
    uid: int
    gid: int
    size: int
    sha256: str
    segments: tuple[tuple[int, int], ...]
    names: tuple[bytes, ...]
    target: bytes
    rdev: int
    xattrs: tuple[tuple[bytes, bytes], ...]
    mtime_ns: int


def snapshot_of(folder: str | bytes | os.PathLike[str]) -> dict[bytes, Facts]:
    """Return what is in a folder: path below it to facts. The folder's own marks are left out."""
    top = os.fsencode(folder)
    seen = {path: os.lstat(top + b"/" + path) for path in _paths(top, b"")}
    groups: dict[tuple[int, int], list[bytes]] = {}
    for path, status in seen.items():
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            groups.setdefault((status.st_dev, status.st_ino), []).append(path)
    return {
        path: _facts(
            top + b"/" + path,
            status,
            tuple(sorted(groups.get((status.st_dev, status.st_ino), ()))),
        )
        for path, status in sorted(seen.items())
    }


def differences(
    expected: dict[bytes, Facts], actual: dict[bytes, Facts], *, ignore: Collection[str] = ()
) -> list[str]:
    """Return a line for each difference, sorted by path; empty when there is none.

    Args:
        expected: What should be there.
        actual: What is there.
        ignore: Names of `Facts` fields that may differ.
    """
    lines = []
    for path in sorted(expected.keys() | actual.keys()):
        if path not in actual:
            lines.append(f"{path!r}: missing")
        elif path not in expected:
            lines.append(f"{path!r}: not expected")
        else:
            for field in fields(Facts):
                wanted = getattr(expected[path], field.name)
                found = getattr(actual[path], field.name)
                if wanted != found and field.name not in ignore:
                    lines.append(f"{path!r}: {field.name} is {found!r}, expected {wanted!r}")
    return lines


def _paths(top: bytes, below: bytes) -> Iterator[bytes]:
    with os.scandir(top + b"/" + below) as entries:
        for entry in entries:
            path = below + b"/" + entry.name if below else entry.name
            yield path
            if entry.is_dir(follow_symlinks=False):
                yield from _paths(top, path)


def _facts(path: bytes, status: os.stat_result, group: tuple[bytes, ...]) -> Facts:
    kind = stat.S_IFMT(status.st_mode)
    regular = kind == stat.S_IFREG
    sha256, segments = _contents(path) if regular else ("", ())
    return Facts(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if regular else 0,
        sha256=sha256,
        segments=segments,
        names=group,
        target=os.readlink(path) if kind == stat.S_IFLNK else b"",
        rdev=status.st_rdev if kind in {stat.S_IFCHR, stat.S_IFBLK} else 0,
        xattrs=_xattrs_of(path),
        mtime_ns=status.st_mtime_ns,
    )


def _contents(path: bytes) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the hash of a file's bytes and where its data lies."""
    digest = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while block := os.read(fd, _BLOCK):
            digest.update(block)
        return digest.hexdigest(), tuple(_segments(fd, os.fstat(fd).st_size))
    finally:
        os.close(fd)


def _segments(fd: int, size: int) -> Iterator[tuple[int, int]]:
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end - start


def _xattrs_of(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    listed = (os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False))
    return tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(listed)
        if name.startswith(_COMPARED_XATTRS)
    )
