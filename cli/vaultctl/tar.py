"""Headers of a tar archive: ustar blocks with PAX records, names and values as exact bytes.

The standard library's writer marks every name that is not UTF-8, and every binary attribute, with
a record that GNU tar warns about; and it cannot write files with holes.

Source: POSIX.1-2017, pax, sections "pax Interchange Format" and "ustar Interchange Format"; GNU tar
manual, appendix "Storing Sparse Files", PAX format version 1.0.
"""

from __future__ import annotations

import struct
from itertools import chain
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

BLOCK: Final = 512
RECORD: Final = 20 * BLOCK

FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO = (
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
)
_EXTENDED = b"x"

_USTAR = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_NAME_BYTES, _OWNER_BYTES = 100, 32
_MAX_ID, _MAX_NUMBER = 8**7 - 1, 8**11 - 1
_SECOND_NS = 1_000_000_000


class Member(Struct, frozen=True, kw_only=True):
    """One entry of an archive.

    Attributes:
        name: Its path; a directory's ends with a slash.
        form: `FILE`, `LINK`, `SYMLINK`…
        mode: Permission bits.
        uid: Owner.
        gid: Group.
        uname: Name of the owner, or empty.
        gname: Name of the group, or empty.
        size: Bytes that follow the header.
        mtime_ns: Modification time.
        target: Of a link.
        device: Major and minor number of a device.
        records: Further PAX records.
    """

    name: bytes
    form: bytes
    mode: int = 0
    uid: int = 0
    gid: int = 0
    uname: bytes = b""
    gname: bytes = b""
    size: int = 0
    mtime_ns: int = 0
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    records: dict[bytes, bytes] = field(default_factory=dict)

    def header(self) -> bytes:
        """Return the blocks before the contents."""
        # Records of our own come last: GNU's name of a sparse file counts more than its path.
        records = self._extended() | self.records
        if not records:
            return self._block()
        body = b"".join(_record(key, value) for key, value in records.items())
        extended = Member(name=b"PaxHeader", form=_EXTENDED, mode=0o644, size=len(body))
        return extended._block() + body + padding(len(body)) + self._block()

    def _extended(self) -> dict[bytes, bytes]:
        """Return what does not fit into the ustar block."""
        texts = (
            (b"path", self.name, _NAME_BYTES),
            (b"linkpath", self.target, _NAME_BYTES),
            (b"uname", self.uname, _OWNER_BYTES),
            (b"gname", self.gname, _OWNER_BYTES),
        )
        numbers = (
            (b"uid", self.uid, _MAX_ID),
            (b"gid", self.gid, _MAX_ID),
            (b"size", self.size, _MAX_NUMBER),
        )
        found = {key: text for key, text, room in texts if len(text) > room or not text.isascii()}
        found |= {key: b"%d" % number for key, number, most in numbers if number > most}
        if self.mtime_ns % _SECOND_NS or not 0 <= self.mtime_ns // _SECOND_NS <= _MAX_NUMBER:
            found[b"mtime"] = _decimal(self.mtime_ns)
        return found

    def _block(self) -> bytes:
        seconds = min(max(self.mtime_ns // _SECOND_NS, 0), _MAX_NUMBER)
        major, minor = self.device
        fields = [
            _plain(self.name, _NAME_BYTES),
            b"%07o" % self.mode,
            b"%07o" % min(self.uid, _MAX_ID),
            b"%07o" % min(self.gid, _MAX_ID),
            b"%011o" % min(self.size, _MAX_NUMBER),
            b"%011o" % seconds,
            b" " * 8,
            self.form,
            _plain(self.target, _NAME_BYTES),
            b"ustar\x0000",
            _plain(self.uname, _OWNER_BYTES),
            _plain(self.gname, _OWNER_BYTES),
            b"%07o" % min(major, _MAX_ID),
            b"%07o" % min(minor, _MAX_ID),
            b"",
        ]
        fields[6] = b"%06o\0 " % sum(_USTAR.pack(*fields))
        return _USTAR.pack(*fields)


def sparse(member: Member, segments: tuple[tuple[int, int], ...]) -> tuple[Member, bytes]:
    """Return a file with holes as GNU tar stores it, and the table that comes before its data.

    Args:
        member: The file, with its whole size.
        segments: (offset, length) of its data, ascending.
    """
    # The table ends with an empty segment at the end of the file.
    listed = [*segments, (member.size, 0)]
    table = b"".join(b"%d\n" % number for number in (len(listed), *chain.from_iterable(listed)))
    table += padding(len(table))
    folder, slash, last = member.name.rpartition(b"/")
    records = {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": member.name,
        b"GNU.sparse.realsize": b"%d" % member.size,
    }
    stored = replace(
        member,
        name=folder + slash + b"GNUSparseFile.0/" + last,
        size=len(table) + sum(length for _, length in segments),
        records=member.records | records,
    )
    return stored, table


def padding(size: int) -> bytes:
    """Return the zeros that fill up the last block of so many bytes."""
    return bytes(-size % BLOCK)


def end(written: int) -> bytes:
    """Return what ends an archive of so many bytes: two empty blocks, and a full record."""
    return bytes(2 * BLOCK) + bytes(-(written + 2 * BLOCK) % RECORD)


def _plain(text: bytes, room: int) -> bytes:
    """Return what stands in the ustar block, for readers that know no PAX records."""
    return bytes(byte if byte < 0x80 else 0x5F for byte in text)[:room]  # noqa: PLR2004 - ASCII


def _record(key: bytes, value: bytes) -> bytes:
    """Return one PAX record, which begins with its own length."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while length != len(rest) + len(b"%d" % length):
        length += 1
    return b"%d" % length + rest


def _decimal(ns: int) -> bytes:
    sign, number = (b"-", -ns) if ns < 0 else (b"", ns)
    fraction = b".%09d" % (number % _SECOND_NS) if number % _SECOND_NS else b""
    return sign + b"%d" % (number // _SECOND_NS) + fraction
