"""Archives that others can read, with what only newer readers understand beside it."""

from __future__ import annotations

import io
import tarfile

import pytest
from vaultctl import tar

NO_MEMBER = tar.Member(name=b"", form=tar.FILE)


def _read(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data + tar.end(len(data)))) as archive:
        return archive.getmembers()


def test_a_plain_entry_is_one_ustar_block() -> None:
    member = tar.Member(
        name=b"etc/hosts",
        form=tar.FILE,
        mode=0o4640,
        uid=1000,
        gid=100,
        uname=b"ada",
        gname=b"users",
        mtime_ns=1_700_000_000 * 10**9,
    )

    assert tar.BLOCK == len(member.header())
    (info,) = _read(member.header())
    assert ("etc/hosts", 0o4640, 1000, 100, "ada", "users", 1_700_000_000, 0) == (
        info.name,
        info.mode,
        info.uid,
        info.gid,
        info.uname,
        info.gname,
        info.mtime,
        info.size,
    )


@pytest.mark.parametrize(
    "name", [b"long/" * 60 + b"name", "käse".encode(), b"latin\xe9", b"a" * 100, b"a" * 101]
)
def test_every_name_comes_back(name: bytes) -> None:
    (info,) = _read(tar.Member(name=name, form=tar.FILE).header())

    assert name == info.name.encode("utf-8", "surrogateescape")


def test_what_is_too_big_for_the_block_stands_in_records() -> None:
    member = tar.Member(
        name=b"x",
        form=tar.SYMLINK,
        uid=3_000_000,
        gid=4_000_000,
        uname="jürgen".encode(),
        gname=b"g" * 33,
        target=b"t" * 300,
        mtime_ns=-1_500_000_000,
    )

    (info,) = _read(member.header())

    assert (3_000_000, 4_000_000, "jürgen", "g" * 33, "t" * 300, -1.5) == (
        info.uid,
        info.gid,
        info.uname,
        info.gname,
        info.linkname,
        info.mtime,
    )


def test_a_size_beyond_eight_gigabytes_is_written_out() -> None:
    header = tar.Member(name=b"x", form=tar.FILE, size=1 << 40).header()

    assert b"22 size=1099511627776\n" in header


@pytest.mark.parametrize("length", [*range(1, 12), 90, 91, 92, 93, 985, 986, 987, 988])
def test_a_record_begins_with_its_own_length(length: int) -> None:
    value = b"v" * length
    header = tar.Member(name=b"x", form=tar.FILE, records={b"SCHILY.xattr.user.k": value}).header()

    (info,) = _read(header)

    assert value.decode() == info.pax_headers["SCHILY.xattr.user.k"]


def test_binary_attributes_stay_as_they_are() -> None:
    value = b"\x01\0\xff\n="
    header = tar.Member(name=b"x", form=tar.FILE, records={b"SCHILY.xattr.a": value}).header()

    (info,) = _read(header)

    assert value == info.pax_headers["SCHILY.xattr.a"].encode("utf-8", "surrogateescape")


def test_devices_keep_their_numbers() -> None:
    (info,) = _read(tar.Member(name=b"null", form=tar.CHARACTER, device=(1, 3)).header())

    assert (True, 1, 3) == (info.ischr(), info.devmajor, info.devminor)


def test_a_file_with_holes_is_stored_without_them() -> None:
    size, segments = 5 << 20, ((1 << 20, 6), (3 << 20, 3))
    whole = tar.Member(name="k/ä".encode(), form=tar.FILE, size=size)

    member, table = tar.sparse(whole, segments)
    data = member.header() + table + b"islandsea" + tar.padding(member.size)

    with tarfile.open(fileobj=io.BytesIO(data + tar.end(len(data)))) as archive:
        (info,) = archive.getmembers()
        file = archive.extractfile(info)
        assert file is not None
        contents = file.read()
    assert ("k/ä", size, True) == (info.name, info.size, info.issparse())
    assert b"island" == contents[1 << 20 : (1 << 20) + 6]
    assert b"sea" == contents[3 << 20 : (3 << 20) + 3]
    assert size - 9 == contents.count(0)


def test_the_end_fills_up_a_record() -> None:
    for written in (0, 512, 9216, 10240, 51200):
        assert 0 == (written + len(tar.end(written))) % tar.RECORD
        assert 1024 <= len(tar.end(written))
