"""Vectors of packs, index parts, sections of roots, pieces and trees."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

from tests.unit.format import samples
from tests.unit.format.samples import BLOCK_BODY, changed
from tests.vectors.format.objects import CORRUPT, UNSUPPORTED, bad, field, good
from tests.vectors.format.vector import Vector
from vaultd.crypto import hashing
from vaultd.crypto.aead import RecordCipher, seal_once
from vaultd.format import index, pack, tree
from vaultd.format.codec import encode, frame
from vaultd.vault import contexts

KEY = samples.KEY
NO_EXTRA = [b"", 0, b"", [], 0, None, False]


def u32(*numbers: int) -> bytes:
    """Return numbers as a column."""
    return struct.pack(f"<{len(numbers)}I", *numbers)


def packs() -> Iterator[Vector]:
    """Yield trailers and tables of packs."""
    trailer = pack.encode_trailer(pack.Trailer(records=2, table_bytes=200, padding=65535))
    yield good("trailer", "trailer", "two records", trailer)
    yield bad("trailer-short", "trailer", "19 bytes", trailer[1:])
    yield bad("trailer-end", "trailer", "another end", trailer[:-1] + b"2")
    for name, numbers, comment in [
        ("records", (65537, 200, 0), "one record too many"),
        ("table", (2, (4 << 20) + 1, 0), "a table of more than 4 MiB"),
        ("padding", (2, 200, 65536), "a whole unit of padding"),
    ]:
        yield bad(f"trailer-{name}", "trailer", comment, u32(*numbers) + pack.END)
    yield good("table", "table", "one raw record and one compressed", encode(samples.TABLE))
    yield good("table-empty", "table", "no records", encode([b"", b"", b""]))
    ids = b"a" * 32

    def one(stored: int, raw: int) -> bytes:
        return encode([ids, u32(stored), u32(raw)])

    yield good("table-longest", "table", "a record of 8 MiB", one((8 << 20) + 16, 8 << 20))
    yield bad(
        "table-raw-too-long", "table", "a record of 8 MiB and a byte", one(116, (8 << 20) + 1)
    )
    yield bad("table-raw-zero", "table", "an empty chunk", one(17, 0))
    yield bad("table-method", "table", "method 2", one(116, 2 << 24 | 100))
    yield bad("table-stored-short", "table", "nothing but a tag", one(16, 100))
    yield bad(
        "table-stored-long", "table", "compressed to more than it was", one(117, 1 << 24 | 100)
    )
    yield bad("table-ids", "table", "an id of 31 bytes", encode([ids[:-1], u32(116), u32(100)]))
    yield bad(
        "table-columns", "table", "two lengths for one id", encode([ids, u32(116, 116), u32(100)])
    )
    full = [ids * 9, u32(*[(8 << 20) + 16] * 9), u32(*[8 << 20] * 9)]
    yield bad("table-beyond-pack", "table", "records that end behind 64 MiB", encode(full))


def records() -> Iterator[Vector]:
    """Yield sealed records: opened with what is signed, and with each part of it changed."""
    header, plain = bytes(32), b"twenty bytes of text"
    aad = pack.record_aad(header, 3, 0, len(plain))
    sealed = RecordCipher(KEY).seal(3, plain, aad)

    def vector(name: str, expect: str, comment: str, record: str, body: bytes = sealed) -> Vector:
        headers = {"key": KEY.hex(), "header-sha256": header.hex(), "record": record}
        return Vector(name, "record", expect, comment, body, headers)

    yield vector("record", "ok", "record 3, method 0, 20 bytes", "3 0 20")
    yield vector("record-position", CORRUPT, "opened as record 4", "4 0 20")
    yield vector("record-method", CORRUPT, "opened as compressed", "3 1 20")
    yield vector("record-length", CORRUPT, "opened as a byte longer", "3 0 21")
    yield vector(
        "record-flipped", CORRUPT, "one bit flipped", "3 0 20", bytes([sealed[0] ^ 1]) + sealed[1:]
    )
    yield vector("record-cut", CORRUPT, "last byte missing", "3 0 20", sealed[:-1])


def zstd(content: bytes, *, size: int | None = None, head: bytes = b"\x28\xb5\x2f\xfd") -> bytes:
    """Return content as a zstd frame of one raw block, written by hand so that it never changes."""
    promised = len(content) if size is None else size
    block = struct.pack("<I", len(content) << 3 | 1)[:3]
    return head + b"\xa0" + struct.pack("<I", promised) + block + content


def piece(body: bytes, raw: int, method: int = 1) -> bytes:
    """Return one piece."""
    return u32(method << 24 | raw, len(body)) + body


def pieces() -> Iterator[Vector]:
    """Yield compressed sections with faults of their own and of zstd."""
    kind, text = "pieces", b"a section of a root"
    raw = len(text)
    yield good("pieces-none", kind, "no piece: no bytes", b"")
    yield good("pieces-raw", kind, "one piece, not compressed", piece(text, raw, 0))
    yield good(
        "pieces-two",
        kind,
        "a raw one and a compressed one",
        piece(text, raw, 0) + piece(zstd(text), raw),
    )
    yield bad(
        "pieces-head-cut", kind, "ends inside the head of a piece", piece(text, raw, 0) + b"\0" * 7
    )
    yield bad("pieces-body-cut", kind, "ends inside a piece", piece(text, raw, 0)[:-1])
    yield bad("pieces-too-long", kind, "a piece of more than 4 MiB", u32((4 << 20) + 1, 0))
    yield bad("pieces-raw-length", kind, "raw, and not as long as it says", piece(text, raw + 1, 0))
    yield bad("pieces-method", kind, "method 2", piece(text, raw, 2))
    yield bad(
        "zstd-size", kind, "the frame promises another length", piece(zstd(text, size=raw + 1), raw)
    )
    yield bad(
        "zstd-bomb", kind, "the frame promises 4 GiB", piece(zstd(text, size=0xFFFFFFFF), raw)
    )
    skippable = b"\x50\x2a\x4d\x18" + u32(raw) + text
    yield bad("zstd-skippable", kind, "a skippable frame", piece(skippable, raw))
    yield bad("zstd-magic", kind, "no zstd frame", piece(text, raw))
    without_size = b"\x28\xb5\x2f\xfd\x00\x58" + zstd(text)[9:]
    yield bad("zstd-no-size", kind, "a frame without content size", piece(without_size, raw))
    window = b"\x28\xb5\x2f\xfd\x80\x70" + u32(raw) + zstd(text)[9:]
    yield bad("zstd-window", kind, "a window of 16 MiB", piece(window, raw))
    dictionary = b"\x28\xb5\x2f\xfd\xa1\x07" + u32(raw) + zstd(text)[9:]
    yield bad("zstd-dictionary", kind, "a frame that needs a dictionary", piece(dictionary, raw))
    two = zstd(text) + zstd(text)
    yield Vector("zstd-two-frames", kind, CORRUPT, "a second frame", piece(two, raw))
    yield Vector(
        "zstd-cut", kind, CORRUPT, "a frame without its last byte", piece(zstd(text)[:-1], raw)
    )
    longer = zstd(text + b"!", size=raw)
    yield Vector(
        "zstd-longer", kind, CORRUPT, "holds a byte more than it promises", piece(longer, raw)
    )


def index_parts() -> Iterator[Vector]:
    """Yield headers and bodies of index parts, and whole sealed ones."""
    header = samples.PART_HEADER
    whole = index.encode_header(header)
    yield good("index-part", "index-part", "a header and something sealed", whole + b"sealed")
    for name, value, comment in [
        ("domain", "", "no domain"),
        ("epoch", 1_000_000, "an epoch that no name can carry"),
        ("number", -1, "a negative number"),
    ]:
        fault = frame(index.MAGIC, encode(changed(header, **{name: value})))
        yield bad(f"index-part-{name}", "index-part", comment, fault)
    newer = whole[:7] + b"2" + whole[8:]
    yield Vector("index-part-newer", "index-part", UNSUPPORTED, "the next version", newer)
    long = frame(index.MAGIC, bytes(1025))
    yield bad("index-part-header-long", "index-part", "a header of more than 1 KiB", long)
    body = index.encode_body((samples.INDEXED,))
    yield good("part-body", "part-body", "one pack", body)
    yield Vector(
        "part-body-newer", "part-body", UNSUPPORTED, "the next version", encode([2, [], 0])
    )
    yield bad("part-body-version", "part-body", "version 0", encode([0, []]))
    for name, value, comment in [
        ("kind", 2, "a kind of pack that does not exist"),
        ("sha256", bytes(20), "a hash of 20 bytes"),
        ("size", (64 << 20) + 1, "a pack of more than 64 MiB"),
        ("first_offset", 0, "records that begin before the header"),
        ("table", [b"a" * 32, b"", b""], "a table with an empty column"),
    ]:
        packs = [changed(samples.INDEXED, **{name: value})]
        yield bad(f"part-body-{name.replace('_', '-')}", "part-body", comment, encode([1, packs]))
    yield from sealed_parts(whole, body)


def sealed_parts(header: bytes, body: bytes) -> Iterator[Vector]:
    """Yield whole index parts under a key."""
    sample = samples.PART_HEADER
    key = contexts.part_key(
        KEY, sample.vault_id, sample.host, sample.seq, sample.number, sample.uid
    )
    sealed = header + seal_once(key, piece(body, len(body), 0), hashing.sha256(header))
    headers = {"key": KEY.hex()}
    yield Vector("sealed-part", "sealed part", "ok", "opens under K_idx", sealed, headers)
    other = {"key": bytes(32).hex()}
    yield Vector("sealed-part-key", "sealed part", CORRUPT, "another K_idx", sealed, other)
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    yield Vector("sealed-part-flipped", "sealed part", CORRUPT, "one bit flipped", flipped, headers)
    moved = index.encode_header(
        index.PartHeader(sample.vault_id, "web1", 8, 0, "web1", 1, sample.uid)
    )
    elsewhere = moved + sealed[len(header) :]
    yield Vector(
        "sealed-part-session", "sealed part", CORRUPT, "of another session", elsewhere, headers
    )
    renumbered = index.encode_header(
        index.PartHeader(sample.vault_id, "web1", 7, 1, "web1", 1, sample.uid)
    )
    changed_header = renumbered + sealed[len(header) :]
    yield Vector(
        "sealed-part-header", "sealed part", CORRUPT, "its header changed", changed_header, headers
    )
    short = header + sealed[len(header) : len(header) + 15]
    yield Vector("sealed-part-cut", "sealed part", CORRUPT, "shorter than a tag", short, headers)


def sections() -> Iterator[Vector]:
    """Yield sections of roots."""
    for kind, sample in [
        ("refs-section", samples.REFS),
        ("label-section", samples.LABEL),
        ("meta-section", samples.META),
    ]:
        yield good(kind, kind, "every field", encode(sample))
        yield Vector(
            f"{kind}-newer", kind, UNSUPPORTED, "the next version", encode([2, "other", 0])
        )
        yield bad(f"{kind}-version", kind, "version 0", encode(changed(sample, v=0)))
    columns = samples.REFS.packs
    for name, value, comment in [
        ("seqs", columns.seqs[:-4], "a column that is too short"),
        ("sha256s", columns.sha256s[:-1], "half a hash"),
        ("parts", u32(0, 2), "an index part that is not there"),
    ]:
        fault = changed(samples.REFS, packs=changed(columns, **{name: value}))
        yield bad(f"refs-section-{name}", "refs-section", comment, encode(fault))
    yield field("refs-section", samples.REFS, "a count below 0", counts=[-1] * 10)
    empty = encode(changed(samples.REFS, parts=[[7, bytes(32), 0]]))
    yield bad("refs-section-part-empty", "refs-section", "an index part of no bytes", empty)
    yield field("meta-section", samples.META, "a user id below 0", users={-2: "nobody"})
    yield field("meta-section", samples.META, "an id of 31 bytes", tree=[[bytes(31), b""]])


def block(comment: str, name: str, **fault: object) -> Vector:
    """Return a tree block with one field changed."""
    return bad(f"block-{name}", "block", comment, encode(changed(BLOCK_BODY, **fault)))


def stats_with(column: int, position: int, value: int) -> bytes:
    """Return the sample's stat columns with one number changed."""
    stats = array("q", samples.LISTING.stats)
    stats[column * len(samples.LISTING.names) + position] = value
    return stats.tobytes()


def where_with(position: int, value: int) -> bytes:
    """Return the sample's places of contents with one changed."""
    where = array("I")
    where.frombytes(BLOCK_BODY.where)
    where[position] = value
    return where.tobytes()


def trees() -> Iterator[Vector]:
    """Yield tree chunks and blocks."""
    whole = tree.encode_block(samples.BLOCK)
    empty = tree.encode_block(samples.EMPTY_BLOCK)
    yield good("tree-chunk", "tree-chunk", "two directories", empty + whole)
    yield good("tree-chunk-empty", "tree-chunk", "no block", b"")
    yield bad("tree-chunk-length-cut", "tree-chunk", "ends inside a length", empty + b"\0\0\0")
    yield bad("tree-chunk-cut", "tree-chunk", "ends inside a block", whole[:-1])
    yield bad("tree-chunk-length-huge", "tree-chunk", "a block of 4 GiB", b"\xff" * 4 + whole[4:])
    yield good("block", "block", "one of each kind of contents", whole[4:])
    yield good("block-empty", "block", "an empty directory", empty[4:])
    newer = encode([2, b"", "other"])
    yield Vector("block-newer", "block", UNSUPPORTED, "the next version", newer)
    yield block("version 0", "version", v=0)
    yield from names()
    yield from columns()
    yield from contents()
    yield from extras()


def names() -> Iterator[Vector]:
    """Yield blocks with names and paths that leave the target or break the order."""
    sample = BLOCK_BODY.names
    for name, value, comment in [
        ("name-empty", sample.replace(b"big", b""), "an empty name"),
        ("name-dot", sample.replace(b"big", b"."), "the name ."),
        ("name-dot-dot", sample.replace(b"big", b".."), "the name .."),
        ("name-slash", sample.replace(b"big", b"b/g"), "a name with a slash"),
        ("name-long", sample.replace(b"big", b"b" * 256), "a name of 256 bytes"),
        ("names-order", sample.replace(b"big", b"x"), "names that do not ascend"),
        ("names-twice", sample.replace(b"dir", b"big"), "a name twice"),
        ("names-missing", sample.rpartition(b"\0")[0], "a name less than numbers"),
    ]:
        yield block(comment, name, names=value)
    for name, path, comment in [
        ("path-absolute", b"/etc", "an absolute path"),
        ("path-parent", b"srv/../../etc", "a path with .."),
        ("path-trailing", b"srv/", "a slash at the end"),
        ("path-nul", b"srv\0data", "a zero byte"),
        ("path-deep", b"/".join([b"d"] * 1025), "1025 components"),
    ]:
        yield block(comment, name, path=path)


def columns() -> Iterator[Vector]:
    """Yield blocks whose columns do not fit."""
    sample = BLOCK_BODY
    yield block("a stat column too short", "stats-short", stats=sample.stats[:-8])
    for name, column, value, comment in [
        ("mode-negative", 0, -1, "a mode below 0"),
        ("mode-wide", 0, 1 << 16, "a mode of 17 bits"),
        ("uid-negative", 1, -1, "a user id below 0"),
        ("gid-wide", 2, 1 << 32, "a group id of 33 bits"),
        ("size-negative", 3, -1, "a directory's size below 0"),
    ]:
        yield block(comment, name, stats=stats_with(column, 1, value))
    yield block("half a number", "stats-half", stats=sample.stats[:-4])
    yield block("one place less than names", "where-short", where=sample.where[:-4])
    yield block("one offset more than names", "offsets-long", offsets=sample.offsets + u32(0))
    yield block("half a chunk id", "chunks-half", chunks=sample.chunks[:-1])
    alone = [1, b"", b"", sample.stats, b"", b"", b"", {}, {}]
    yield bad("block-stats-alone", "block", "numbers without names", encode(alone))
    alone = [1, b"", b"file", b"", b"", b"", b"", {}, {}]
    yield bad("block-names-alone", "block", "a name without numbers", encode(alone))


def contents() -> Iterator[Vector]:
    """Yield blocks whose contents lie nowhere, or where none may be."""
    many = dict(BLOCK_BODY.many)
    yield block("contents of a directory", "directory-contents", where=where_with(1, 0))
    yield block("a chunk that is not in the list", "where-beyond", where=where_with(5, 2))
    yield block(
        "behind the longest chunk",
        "offset-beyond",
        offsets=where_with(5, 0)[:20] + u32(8 << 20) + bytes(8),
    )
    yield block(
        "a file of 500 bytes without contents", "none-of-many", where=where_with(5, 0xFFFFFFFF)
    )
    yield block("a file of 24 bytes in no chunk of its own", "where-last", where=where_with(7, 2))
    more = stats_with(3, 0, (8 << 20) + 1001)
    yield block("a byte more than its extents hold", "many-short", stats=more)
    yield block("a run of no bytes", "length-zero", stats=stats_with(3, 5, 0))
    yield block("a size below 0", "length-negative", stats=stats_with(3, 5, -1))
    yield block("extents that nobody has", "many-unused", many={**many, 5: samples.MANY})
    yield block("extents that are not there", "many-missing", many={3: many[3]})
    yield block("no extents", "many-empty", many={**many, 0: b""})
    yield block("half an extent", "many-half", many={**many, 0: samples.MANY[:-1]})
    yield block("half a list chunk's id", "listed-half", many={**many, 3: samples.HASH[:-1]})
    yield block(
        "extents of an entry that is not there", "many-beyond", many={0: many[0], 8: many[3]}
    )
    yield good("extents", "extents", "two chunks", samples.MANY)
    yield bad("extents-half", "extents", "half an extent", samples.MANY[:-1])
    yield bad("extents-zero", "extents", "a chunk of no bytes", samples.HASH + u32(0))
    yield bad(
        "extents-long", "extents", "a chunk of 8 MiB and a byte", samples.HASH + u32((8 << 20) + 1)
    )


def extras() -> Iterator[Vector]:
    """Yield blocks whose entries have impossible extras; ``sparse`` is entry 6, of 10,000 bytes."""
    for name, position, value, comment in [
        ("segments-odd", 5, [0, 100, 200], "an offset without length"),
        ("segments-overlap", 5, [0, 100, 99, 100], "segments that overlap"),
        ("segments-empty", 5, [0, 0], "an empty segment"),
        ("segments-negative", 5, [-1, 5], "a segment before the file"),
        ("segments-beyond", 5, [9999, 2], "a segment behind the file's end"),
        ("device-negative", 1, -1, "a device number below 0"),
        ("group-long", 2, bytes(33), "a link group of 33 bytes"),
        ("xattr-no-name", 3, [[b"", b"x"]], "an extended attribute without name"),
        ("xattr-name-long", 3, [[b"u" * 256, b"x"]], "the name of an attribute too long"),
        ("xattr-triple", 3, [[b"user.x", b"", b""]], "an attribute of three parts"),
        ("flags-negative", 4, -1, "flags below 0"),
        ("changed-number", 6, 1, "a number where a boolean belongs"),
    ]:
        extra: list[object] = [*NO_EXTRA]
        extra[position] = value
        yield block(comment, f"extra-{name}", extras={6: extra})
    yield block("extras of an entry that is not there", "extra-beyond", extras={8: NO_EXTRA})
    yield block("extras of entry -1", "extra-negative", extras={-1: NO_EXTRA})
