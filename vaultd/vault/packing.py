"""Building one pack in a spool file, and proving it before it is uploaded (FORMAT.md 6)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from vaultd.backends.base import Spooled
from vaultd.compression import Buffer, Compressor, Decompressor
from vaultd.core.errors import CorruptObjectError
from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.crypto.aead import TAG_BYTES, RecordCipher
from vaultd.crypto.recipients import Recipient
from vaultd.format import pack as fmt
from vaultd.vault import contexts
from vaultd.vault.local_db import refused

SPOOL = ".spool"
"""Begins the names of spool files, where they have any."""


class Tools:
    """What one worker thread owns: its compressors and a buffer for sealing."""

    __slots__ = ("_buffer", "compressor", "decompressor")

    def __init__(self, compressor: Compressor) -> None:
        self.compressor = compressor
        self.decompressor = Decompressor()
        self._buffer = bytearray()

    def sealing_buffer(self, length: int) -> memoryview:
        """Return a writable buffer of at least ``length`` bytes, valid until the next call."""
        if len(self._buffer) < length:
            self._buffer = bytearray(length)
        return memoryview(self._buffer)


class PackContext(Struct, frozen=True, kw_only=True):
    """What all packs of one kind and session share.

    Attributes:
        vault_id: The vault.
        session: The session that writes.
        kind: `vaultd.format.pack.DATA` or ``META``.
        recipient: The domain's public key of that kind.
        chunk_id_key: For proving records.
        random: Source of random bytes.
        spool: Folder for spool files.
    """

    vault_id: bytes
    session: SessionId
    kind: int
    recipient: Recipient
    chunk_id_key: bytes
    random: Callable[[int], bytes]
    spool: Path


class SealedPack(Struct, frozen=True, kw_only=True):
    """A finished, proven pack in its spool file; `close` it after the upload."""

    kind: int
    sha256: bytes
    body: Spooled
    records: list[fmt.Record]
    opened: OpenPack

    def close(self) -> None:
        """Let the spool file go; an unnamed one vanishes."""
        self.opened.discard()


def open_spool(folder: Path) -> int:
    """Return a descriptor of a new unnamed file, read and write.

    Raises:
        NoSpaceError: The folder's file system is full.
        StorageError: No file can be made there.
    """
    with suppress(OSError):
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    # Some file systems know no unnamed files: make one and take its name away.
    path = folder / f"{SPOOL}-{os.getpid()}-{threading.get_ident()}"
    try:
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        path.unlink()
    except OSError as error:
        raise refused(path, error) from error
    return fd


class OpenPack:
    """A pack that is being filled.

    `reserve` is called under the writer's lock; `write` by any number of threads at once; `seal`
    once, when the pack is closed and every reserved record has been written.
    """

    def __init__(self, context: PackContext) -> None:
        self._context = context
        key = context.random(32)
        record_key, commitment = contexts.pack_keys(key)
        uid = context.random(16)
        session = context.session
        info = contexts.pack_info(context.vault_id, session.host, session.seq, uid, context.kind)
        sealed = context.recipient.seal(key, info)
        header = fmt.encode_header(
            fmt.PackHeader(
                context.vault_id, session.host, session.seq, context.kind, uid, fmt.SUITE,
                context.recipient.key_id, sealed, commitment,
            )
        )  # fmt: skip
        self._cipher = RecordCipher(record_key)
        self._header_sha256 = hashing.sha256(header)
        self._header_bytes = len(header)
        self._fd = open_spool(context.spool)
        try:
            self._pwrite(header, 0)
        except BaseException:
            self.discard()
            raise
        self.records: list[fmt.Record] = []
        self.end = len(header)
        self.unwritten = 0
        self.closed = False

    @property
    def kind(self) -> int:
        """`vaultd.format.pack.DATA` or ``META``."""
        return self._context.kind

    def reserve(self, chunk_id: bytes, method: int, stored: int, raw: int) -> fmt.Record:
        """Give a chunk of ``stored`` unsealed bytes its place in the pack."""
        record = fmt.Record(chunk_id, len(self.records), self.end, stored + TAG_BYTES, method, raw)
        self.records.append(record)
        self.end += record.stored
        self.unwritten += 1
        return record

    def write(self, record: fmt.Record, body: Buffer, tools: Tools) -> None:
        """Seal a reserved chunk into its place."""
        out = tools.sealing_buffer(record.stored)
        aad = fmt.record_aad(self._header_sha256, record.position, record.method, record.raw)
        self._cipher.seal_into(record.position, body, aad, out)
        self._pwrite(out[: record.stored], record.offset)

    def seal(self, tools: Tools) -> SealedPack:
        """Read everything back, prove each record, and finish the pack.

        Raises:
            CorruptObjectError: A record does not give back its chunk: memory, disk or a library
                is broken, and this pack must not be uploaded.
        """
        digest = hashing.sha256_stream()
        digest.update(self._pread(self._header_bytes, 0))
        for record in self.records:
            sealed = self._pread(record.stored, record.offset)
            digest.update(sealed)
            self._prove(record, sealed, tools)
        tail = self._tail()
        digest.update(tail)
        self._pwrite(tail, self.end)
        return SealedPack(
            kind=self.kind,
            sha256=digest.digest(),
            body=Spooled(fd=self._fd, size=self.end + len(tail)),
            records=self.records,
            opened=self,
        )

    def discard(self) -> None:
        """Close the spool file, unless it is closed: what was not uploaded vanishes."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _prove(self, record: fmt.Record, sealed: bytes, tools: Tools) -> None:
        aad = fmt.record_aad(self._header_sha256, record.position, record.method, record.raw)
        body = self._cipher.open(record.position, sealed, aad)
        raw = tools.decompressor.decompress(record.method, body, record.raw)
        if hashing.keyed_hash(self._context.chunk_id_key, raw) != record.chunk_id:
            raise CorruptObjectError(
                f"chunk {record.chunk_id.hex()[:8]}: read back from the spool it is another one",
                hint="Test this machine's memory and disk before trusting it with backups.",
            )

    def _tail(self) -> bytes:
        count = len(self.records)
        table = self._cipher.seal(
            count, fmt.encode_table(self.records), fmt.record_aad(self._header_sha256, count, 0, 0)
        )
        padding = fmt.padding_for(self.end + len(table) + fmt.TRAILER.size)
        trailer = fmt.Trailer(records=count, table_bytes=len(table), padding=padding)
        return table + self._context.random(padding) + fmt.encode_trailer(trailer)

    def _pwrite(self, piece: bytes | memoryview, offset: int) -> None:
        view = memoryview(piece)
        try:
            while view:
                done = os.pwrite(self._fd, view, offset)
                view, offset = view[done:], offset + done
        except OSError as error:
            raise refused(self._context.spool / SPOOL, error) from error

    def _pread(self, length: int, offset: int) -> bytes:
        try:
            piece = os.pread(self._fd, length, offset)
        except OSError as error:
            raise refused(self._context.spool / SPOOL, error) from error
        if len(piece) != length:
            raise CorruptObjectError(
                f"spool file gave {len(piece)} bytes at {offset}, expected {length}"
            )
        return piece
