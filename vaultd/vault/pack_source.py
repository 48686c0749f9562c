"""Chunks out of the packs of one target, each proven by its id."""

from __future__ import annotations

import threading
from collections import OrderedDict

from vaultd.backends.base import Backend
from vaultd.compression import Buffer, Decompressor
from vaultd.core.errors import CorruptObjectError, IntegrityError, NoMatchingKeyError
from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.format import pack as pack_format
from vaultd.format.pack import Record
from vaultd.vault import layout
from vaultd.vault.chunk_index import PackRow
from vaultd.vault.packs import OpenedPack, PackOpener
from vaultd.vault.readahead import ReadAhead
from vaultd.vault.recall import recall

_HEADER_READ = pack_format.MAX_HEADER_BYTES
_CIPHERS = 2048


class PackSource:
    """The packs of one host as one target gives them. Methods may be called from any thread.

    What another target says of a pack is not used here: a damaged header would spoil good records.

    Args:
        backend: The target.
        host: Whose packs.
        opener: Opens them.
        chunk_id_key: K_id of the host's domain.
    """

    def __init__(
        self, backend: Backend, host: str, opener: PackOpener, chunk_id_key: bytes
    ) -> None:
        self._backend = backend
        self._host = host
        self._opener = opener
        self._chunk_id_key = chunk_id_key
        self._lock = threading.Lock()
        self._ciphers: OrderedDict[int, OpenedPack] = OrderedDict()
        self._packs = ReadAhead(
            lambda name, offset, length: backend.get(name, offset=offset, length=length),
            backend.read_ahead_bytes,
        )

    def read(self, row: PackRow, record: Record, decompressor: Decompressor) -> Buffer:
        """Return the chunk that a record holds.

        Args:
            row: The pack.
            record: Where in it.
            decompressor: Of the calling thread.

        Raises:
            IntegrityError: It is not the chunk that the record should hold.
            NoMatchingKeyError: The recovery key does not open the pack.
            StorageError: It cannot be read.
        """
        try:
            return self._read(row, record, decompressor)
        except (IntegrityError, NoMatchingKeyError):
            if not self._recall(row):
                raise
            return self._read(row, record, decompressor)

    def _read(self, row: PackRow, record: Record, decompressor: Decompressor) -> Buffer:
        opened = self._cipher(row)
        sealed = self._packs.read(self._name(row), row.size, record.offset, record.stored)
        raw = opened.record(record, sealed, decompressor)
        if hashing.keyed_hash(self._chunk_id_key, raw) != record.chunk_id:
            raise CorruptObjectError(
                f"pack {row.sha256.hex()[:8]}: record {record.position} holds another chunk"
            )
        return raw

    def read_table(self, row: PackRow) -> tuple[int, list[Record]]:
        """Return kind and records of a pack, from its own table.

        Args:
            row: The pack; its kind need not be known.

        Raises:
            IntegrityError: Header or table are not what was sealed.
            NoMatchingKeyError: The recovery key does not open it.
            StorageError: It cannot be read.
        """
        name = self._name(row)

        def get(offset: int, length: int) -> bytes:
            return self._backend.get(name, offset=offset, length=length)

        what = f"pack {row.sha256.hex()[:8]}"
        try:
            opened, records = self._opener.open_with_table(get, row.size, row.seq, what=what)
        except (IntegrityError, NoMatchingKeyError):
            if not self._recall(row):
                raise
            opened, records = self._opener.open_with_table(get, row.size, row.seq, what=what)
        return opened.kind, records

    def _recall(self, row: PackRow) -> bool:
        """Look for another version of a pack of which something was wrong; tell if there is one."""
        name = self._name(row)
        if not recall(self._backend, name):
            return False
        self._packs.forget(name)
        with self._lock:
            self._ciphers.pop(row.pack, None)
        return True

    def _cipher(self, row: PackRow) -> OpenedPack:
        with self._lock:
            known = self._ciphers.get(row.pack)
        if known is not None:
            return known
        data = self._backend.get(self._name(row), length=min(_HEADER_READ, row.size))
        opened = self._opener.open(data, row.seq, what=f"pack {row.sha256.hex()[:8]}")
        with self._lock:
            self._ciphers[row.pack] = opened
            if len(self._ciphers) > _CIPHERS:
                self._ciphers.popitem(last=False)
        return opened

    def _name(self, row: PackRow) -> str:
        return layout.pack(SessionId(host=self._host, seq=row.seq), row.sha256)
