"""Opening packs: the key in the header, the table at the end, the records between (FORMAT.md 6)."""

from __future__ import annotations

from collections.abc import Callable

from vaultd.compression import Buffer, Decompressor
from vaultd.core.errors import CorruptObjectError
from vaultd.crypto import hashing, recipients
from vaultd.crypto.aead import RecordCipher
from vaultd.format import pack as fmt
from vaultd.vault import contexts
from vaultd.vault.keyring import ReadKeys

_TAIL_BYTES = 128 << 10
"""What is read of a pack's end at first: nearly every table is shorter."""


class OpenedPack:
    """A pack whose key was unsealed; may be shared by threads.

    Attributes:
        kind: `vaultd.format.pack.DATA` or ``META``.
        what: Names it in messages.
    """

    __slots__ = ("_cipher", "_first_offset", "_header_sha256", "kind", "what")

    def __init__(
        self, cipher: RecordCipher, header: fmt.PackHeader, framed: bytes, what: str
    ) -> None:
        self._cipher = cipher
        self._header_sha256 = hashing.sha256(framed)
        self._first_offset = len(framed)
        self.kind = header.kind
        self.what = what

    def record(
        self, record: fmt.Record, sealed: bytes | memoryview, decompressor: Decompressor
    ) -> Buffer:
        """Open one record; whether it is the chunk that its id says is for the caller to check.

        Raises:
            CorruptObjectError: It is not what was sealed.
            MalformedObjectError: It does not decompress to what it promises.
        """
        aad = fmt.record_aad(self._header_sha256, record.position, record.method, record.raw)
        try:
            body = self._cipher.open(record.position, sealed, aad)
            return decompressor.decompress(record.method, body, record.raw)
        except CorruptObjectError as error:
            raise CorruptObjectError(f"{self.what}: {error.message}") from error

    def table_place(self, tail: bytes, size: int) -> tuple[int, int, int]:
        """Return where the table lies: offset, length, and how many records it names.

        Args:
            tail: The end of the pack.
            size: Bytes of the whole pack.

        Raises:
            MalformedObjectError: The trailer is damaged.
            CorruptObjectError: It points outside the pack.
        """
        trailer = fmt.decode_trailer(tail, what=self.what)
        start = size - fmt.TRAILER.size - trailer.padding - trailer.table_bytes
        if start < self._first_offset:
            raise CorruptObjectError(f"{self.what}: its table would begin at {start}")
        return start, trailer.table_bytes, trailer.records

    def open_table(self, tail: bytes, sealed: bytes) -> list[fmt.Record]:
        """Open the table, given the end of the pack and the table's sealed bytes.

        Raises:
            CorruptObjectError: It is not what was sealed.
            MalformedObjectError: It breaks the format.
        """
        count = fmt.decode_trailer(tail, what=self.what).records
        try:
            table = self._cipher.open(
                count, sealed, fmt.record_aad(self._header_sha256, count, 0, 0)
            )
        except CorruptObjectError as error:
            raise CorruptObjectError(f"{self.what}: its table is not what was sealed") from error
        return fmt.decode_table(table, first_offset=self._first_offset, what=self.what)


class PackOpener:
    """Unseals the keys of one host's packs.

    Args:
        vault_id: The vault.
        host: Who wrote the packs.
        keys: What a recovery key opens.
    """

    def __init__(self, vault_id: bytes, host: str, keys: ReadKeys) -> None:
        self._vault_id = vault_id
        self._host = host
        self._keys = keys

    def open(self, data: bytes, seq: int, *, what: str) -> OpenedPack:
        """Open a pack, given its beginning.

        Args:
            data: At least the header.
            seq: The session in its name.
            what: Names it in messages.

        Raises:
            IntegrityError: The header is damaged, of another session, or commits to another key.
            NoMatchingKeyError: The recovery key does not open it.
        """
        header, first = fmt.decode_header(data, what=what)
        if (header.vault_id, header.host, header.seq) != (self._vault_id, self._host, seq):
            raise CorruptObjectError(
                f"{what}: says that it belongs to {header.host}/{header.seq:010d}"
            )
        info = contexts.pack_info(header.vault_id, self._host, seq, header.uid, header.kind)
        key = recipients.open(self._keys.pack_seed(header.key_id), header.sealed, info)
        record_key, commitment = contexts.pack_keys(key)
        if commitment != header.commitment:
            raise CorruptObjectError(f"{what}: its key is not the one that it commits to")
        return OpenedPack(RecordCipher(record_key), header, bytes(data[:first]), what)

    def open_with_table(
        self, get: Callable[[int, int], bytes], size: int, seq: int, *, what: str
    ) -> tuple[OpenedPack, list[fmt.Record]]:
        """Open a pack and its table, reading no more than these.

        Args:
            get: Returns bytes of the pack, given offset and length.
            size: Bytes of the whole pack.
            seq: The session in its name.
            what: Names it in messages.

        Raises:
            IntegrityError: Header or table are not what was sealed.
            NoMatchingKeyError: The recovery key does not open it.
            StorageError: It cannot be read.
        """
        opened = self.open(get(0, min(fmt.MAX_HEADER_BYTES, size)), seq, what=what)
        tail = get(max(0, size - _TAIL_BYTES), min(_TAIL_BYTES, size))
        start, length, _ = opened.table_place(tail, size)
        if size - start > len(tail):
            tail = get(start, size - start)
        at = len(tail) - (size - start)
        return opened, opened.open_table(tail, tail[at : at + length])
