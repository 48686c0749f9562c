"""Packs: filled by several threads, proven before they are uploaded, and opened with suspicion."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.vaults import epoch_of, secret
from vaultd.backends.base import Body
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.compression import Compressor, Decompressor
from vaultd.core.errors import (
    CorruptObjectError,
    IntegrityError,
    NoMatchingKeyError,
    ObjectExistsError,
    StorageError,
)
from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.crypto.recipients import Recipient
from vaultd.format import pack as fmt
from vaultd.vault import layout
from vaultd.vault.chunk_index import ChunkIndex
from vaultd.vault.keyring import ReadKeys
from vaultd.vault.packing import SPOOL, OpenPack, PackContext, SealedPack, Tools, open_spool
from vaultd.vault.packs import OpenedPack, PackOpener
from vaultd.vault.writer import DATA, META, PackWriter

EPOCH = epoch_of("web1")
VAULT_ID = secret("vault")[:16]
SESSION = SessionId(host="web1", seq=3)


@pytest.fixture
def context(tmp_path: Path) -> PackContext:
    return PackContext(
        vault_id=VAULT_ID,
        session=SESSION,
        kind=DATA,
        recipient=Recipient(EPOCH.keys.data_public),
        chunk_id_key=EPOCH.keys.chunk_id_key,
        random=os.urandom,
        spool=tmp_path,
    )


@pytest.fixture
def tools() -> Tools:
    return Tools(Compressor("fast"))


@pytest.fixture
def opener() -> PackOpener:
    keys = ReadKeys(vault_id=VAULT_ID, key_id=bytes(16), opened=[EPOCH])
    return PackOpener(VAULT_ID, "web1", keys)


def chunk_id(raw: bytes) -> bytes:
    return hashing.keyed_hash(EPOCH.keys.chunk_id_key, raw)


def fill(pack: OpenPack, raws: list[bytes], tools: Tools) -> None:
    for raw in raws:
        method, body = tools.compressor.compress(raw)
        pack.write(pack.reserve(chunk_id(raw), method, len(body), len(raw)), body, tools)


def bytes_of(sealed: SealedPack) -> bytes:
    return os.pread(sealed.body.fd, sealed.body.size, 0)


RAWS = [b"text " * 1000, os.urandom(5000), b"x", bytes(100_000)]


@pytest.fixture
def packed(context: PackContext, tools: Tools) -> bytes:
    pack = OpenPack(context)
    fill(pack, RAWS, tools)
    sealed = pack.seal(tools)
    data = bytes_of(sealed)
    sealed.close()
    assert hashing.sha256(data) == sealed.sha256
    return data


def open_table(opener: PackOpener, data: bytes) -> tuple[OpenedPack, list[fmt.Record]]:
    return opener.open_with_table(
        lambda offset, length: data[offset : offset + length], len(data), 3, what="pack"
    )


# Packing


def test_what_was_packed_comes_out_again(packed: bytes, opener: PackOpener) -> None:
    opened, records = open_table(opener, packed)

    assert [chunk_id(raw) for raw in RAWS] == [record.chunk_id for record in records]
    for raw, record in zip(RAWS, records, strict=True):
        sealed = packed[record.offset : record.offset + record.stored]
        assert raw == bytes(opened.record(record, sealed, Decompressor()))


def test_the_length_of_a_pack_says_little(packed: bytes) -> None:
    assert 0 == len(packed) % 65536


def test_a_record_that_was_damaged_in_the_spool_stops_its_pack(
    context: PackContext, tools: Tools, tmp_path: Path
) -> None:
    pack = OpenPack(context)
    fill(pack, RAWS, tools)
    fd = next(
        int(name)
        for name in os.listdir("/proc/self/fd")
        if os.path.realpath(f"/proc/self/fd/{name}").startswith(f"{tmp_path}/")
    )
    os.pwrite(fd, b"damage", pack.records[1].offset + 10)

    with pytest.raises(CorruptObjectError):
        pack.seal(tools)
    pack.discard()


def test_a_chunk_under_the_id_of_another_stops_its_pack(context: PackContext, tools: Tools) -> None:
    pack = OpenPack(context)
    pack.write(pack.reserve(chunk_id(b"other"), 0, 4, 4), b"this", tools)

    with pytest.raises(CorruptObjectError, match="another one") as caught:
        pack.seal(tools)

    assert "memory" in (caught.value.hint or "")
    pack.discard()


def test_a_pack_may_be_thrown_away_twice(context: PackContext) -> None:
    pack = OpenPack(context)
    pack.discard()
    pack.discard()


def test_spool_files_have_no_name(tmp_path: Path) -> None:
    fd = open_spool(tmp_path)
    os.write(fd, b"contents")

    assert [] == list(tmp_path.iterdir())
    os.close(fd)


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"{SPOOL}.*No such file"):
        open_spool(tmp_path / "gone")


# Opening


def test_a_pack_of_another_session_is_refused(packed: bytes, opener: PackOpener) -> None:
    with pytest.raises(CorruptObjectError, match="web1/0000000003"):
        opener.open(packed, 4, what="pack")


def test_a_pack_that_is_sealed_to_others_is_refused(packed: bytes) -> None:
    keys = ReadKeys(vault_id=VAULT_ID, key_id=bytes(16), opened=[epoch_of("web2")])

    with pytest.raises(NoMatchingKeyError):
        PackOpener(VAULT_ID, "web1", keys).open(packed, 3, what="pack")


def test_a_key_that_is_not_the_one_committed_to_is_refused(
    packed: bytes, opener: PackOpener
) -> None:
    header, first = fmt.decode_header(packed, what="pack")
    forged = fmt.encode_header(_with(header, commitment=bytes(32)))

    with pytest.raises(CorruptObjectError, match="commits to"):
        opener.open(forged + packed[first:], 3, what="pack")


def _with(header: fmt.PackHeader, **changes: object) -> fmt.PackHeader:
    values = {name: getattr(header, name) for name in header.__struct_fields__}
    return fmt.PackHeader(**{**values, **changes})


@pytest.mark.parametrize("at", [-20, -16, -12, -1])
def test_a_damaged_end_is_refused(packed: bytes, opener: PackOpener, at: int) -> None:
    data = bytearray(packed)
    data[at] ^= 0x40

    with pytest.raises(IntegrityError):
        open_table(opener, bytes(data))


def test_a_damaged_table_is_refused(packed: bytes, opener: PackOpener) -> None:
    opened = opener.open(packed, 3, what="pack")
    start, _, count = opened.table_place(packed[-20:], len(packed))
    data = bytearray(packed)
    data[start + 3] ^= 1

    assert len(RAWS) == count
    with pytest.raises(CorruptObjectError, match="its table"):
        open_table(opener, bytes(data))


# Writing


class Race(Forwarding):
    """A backend on which every pack is there already, perhaps cut short."""

    def __init__(self, cut: int) -> None:
        super().__init__(MemoryBackend())
        self.cut = cut

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        assert not isinstance(body, bytes)
        contents = os.pread(body.fd, body.size, 0)
        self._inner.put(name, contents[: len(contents) - self.cut])
        raise ObjectExistsError(name)


def writer_of(
    context: PackContext, index: ChunkIndex, backend: Forwarding | MemoryBackend, pack_bytes: int
) -> PackWriter:
    meta = replace(context, kind=META, recipient=Recipient(EPOCH.keys.meta_public))
    return PackWriter(
        backend=backend,
        index=index,
        contexts={DATA: context, META: meta},
        since=frozenset({2, 3}),
        pack_bytes=pack_bytes,
    )


@pytest.fixture
def index(tmp_path: Path) -> Iterator[ChunkIndex]:
    index = ChunkIndex(tmp_path / "index.sqlite")
    yield index
    index.close()


def finish(writer: PackWriter, tools: Tools) -> None:
    for kind in (DATA, META):
        for pack in writer.take_open(kind):
            writer.upload(pack.seal(tools))


def test_a_chunk_is_stored_once_whoever_brings_it(
    context: PackContext, index: ChunkIndex, tools: Tools
) -> None:
    backend = MemoryBackend()
    writer = writer_of(context, index, backend, 1 << 20)

    first, second = writer.add(DATA, b"chunk", tools), writer.add(DATA, b"chunk", tools)
    other = writer.add(META, b"chunk", tools)
    finish(writer, tools)
    third = writer.add(DATA, b"chunk", tools)

    assert [True, False, True, False] == [one.new for one in (first, second, other, third)]
    assert {chunk_id(b"chunk")} == {one.chunk_id for one in (first, second, other, third)}
    assert 2 == len(list(backend.list("packs/")))
    assert (2, 10) == (writer.written.chunks, writer.written.raw)
    assert writer.written.stored == sum(info.size for info in backend.list("packs/"))
    assert writer.is_stored(first.chunk_id)
    assert not writer.is_stored(chunk_id(b"unknown"))
    assert 1 == len(writer.used)


def test_packs_end_at_their_length_and_neighbours_are_spread(
    context: PackContext, index: ChunkIndex, tools: Tools
) -> None:
    backend = MemoryBackend()
    writer = writer_of(context, index, backend, 50_000)
    full = []
    for _ in range(40):
        added = writer.add(DATA, os.urandom(10_000), tools)
        if added.full is not None:
            full.append(added.full)
            writer.upload(added.full.seal(tools))
    finish(writer, tools)

    assert len(full) >= 5
    assert all(50_000 <= pack.end < 62_000 for pack in full)
    sizes = [info.size for info in backend.list("packs/")]
    assert all(65_536 == size for size in sizes)


def test_many_threads_fill_packs_at_once(context: PackContext, index: ChunkIndex) -> None:
    backend = MemoryBackend()
    writer = writer_of(context, index, backend, 50_000)
    raws = [os.urandom(3000) for _ in range(200)]

    def store(part: list[bytes]) -> None:
        tools = Tools(Compressor("fast"))
        for raw in part:
            added = writer.add(DATA, raw, tools)
            if added.full is not None:
                writer.upload(added.full.seal(tools))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store, [raws[0:120], raws[40:160], raws[80:200], raws]))
    finish(writer, Tools(Compressor("fast")))

    assert len(raws) == writer.written.chunks
    assert all(writer.is_stored(chunk_id(raw)) for raw in raws)


@pytest.mark.parametrize("cut", [0, 1])
def test_a_pack_that_is_there_already_is_that_pack_if_it_is_as_long(
    context: PackContext, index: ChunkIndex, tools: Tools, cut: int
) -> None:
    writer = writer_of(context, index, Race(cut), 1 << 20)
    added = writer.add(DATA, b"chunk", tools)
    (pack,) = writer.take_open(DATA)

    if cut:
        with pytest.raises(ObjectExistsError):
            writer.upload(pack.seal(tools))
    else:
        writer.upload(pack.seal(tools))

    assert (not cut) == (index.locate(added.chunk_id, DATA, frozenset({3})) is not None)
    writer.discard()


def test_nothing_that_was_not_uploaded_stays_open(
    context: PackContext, index: ChunkIndex, tools: Tools
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    writer = writer_of(context, index, MemoryBackend(), 50_000)
    for _ in range(8):
        added = writer.add(DATA, os.urandom(20_000), tools)
        if added.full is not None:
            added.full.seal(tools)
    assert len(os.listdir("/proc/self/fd")) > before

    writer.discard()

    assert before == len(os.listdir("/proc/self/fd"))


def test_packs_are_named_by_their_session_and_hash(
    context: PackContext, index: ChunkIndex, tools: Tools
) -> None:
    backend = MemoryBackend()
    writer = writer_of(context, index, backend, 1 << 20)
    writer.add(DATA, b"chunk", tools)
    finish(writer, tools)

    (info,) = backend.list("")
    assert layout.pack(SESSION, hashing.sha256(backend.get(info.name))) == info.name
    assert SESSION == writer.session
