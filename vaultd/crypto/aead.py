"""AES-256-GCM with counters for nonces: a key seals each index once, so no nonce is ever repeated.

A key that comes back from storage only opens. To seal, a fresh random key is made, used in this
process for one object and forgotten (FORMAT.md 6.2).
"""

from __future__ import annotations

import os
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.utils import Buffer

from vaultd.core.errors import CorruptObjectError, KeyringError

TAG_BYTES = 16
"""What sealing adds to the length of a plaintext."""

MAX_INDEX = 1 << 16
"""Highest index of a record under one key."""

_NONCE_BYTES = 12
_ONCE = bytes(_NONCE_BYTES)


class RecordCipher:
    """Seals and opens numbered records under one key; may be shared by threads.

    The nonce is the index as a 96-bit big-endian number.

    Args:
        key: 32 bytes, random or derived, used for nothing else.
    """

    __slots__ = ("_cipher", "_lock", "_process", "_sealed")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_checked(key))
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._sealed: set[int] = set()

    def seal(self, index: int, plaintext: Buffer, aad: Buffer) -> bytes:
        """Return one record encrypted and authenticated, `TAG_BYTES` longer than its plaintext.

        Args:
            index: 0 to `MAX_INDEX`, never used before under this key.
            plaintext: What to seal.
            aad: What the record is bound to; needed again to open it.

        Raises:
            KeyringError: The index was sealed before, is out of range, or the process was forked.
        """
        return self._cipher.encrypt(self._claim(index), plaintext, aad)

    def seal_into(self, index: int, plaintext: Buffer, aad: Buffer, out: memoryview) -> int:
        """Seal one record into the beginning of ``out`` and return the bytes written.

        Args:
            index: As in `seal`.
            plaintext: As in `seal`; must not overlap ``out``.
            aad: As in `seal`.
            out: Writable, at least `TAG_BYTES` longer than the plaintext.

        Raises:
            KeyringError: As in `seal`.
        """
        end = len(plaintext) + TAG_BYTES
        return self._cipher.encrypt_into(self._claim(index), plaintext, aad, out[:end])

    def open(self, index: int, sealed: Buffer, aad: Buffer) -> bytes:
        """Return the plaintext of one record.

        Raises:
            CorruptObjectError: Key, index, associated data or bytes are not what was sealed.
        """
        try:
            return self._cipher.decrypt(_nonce(index), sealed, aad)
        except (InvalidTag, OverflowError) as exc:
            raise CorruptObjectError(f"record {index} is not what was sealed") from exc

    def open_into(self, index: int, sealed: Buffer, aad: Buffer, out: memoryview) -> int:
        """Open one record into the beginning of ``out`` and return the bytes written.

        Args:
            index: As in `seal`.
            sealed: The record as stored.
            aad: As in `seal`.
            out: Writable, at least as long as the plaintext; wiped when opening fails.

        Raises:
            CorruptObjectError: As in `open`.
        """
        end = max(len(sealed) - TAG_BYTES, 0)
        target = out[:end]
        try:
            return self._cipher.decrypt_into(_nonce(index), sealed, aad, target)
        except (InvalidTag, OverflowError) as exc:
            # OpenSSL decrypts before it knows that the tag is wrong.
            target[:] = bytes(end)
            raise CorruptObjectError(f"record {index} is not what was sealed") from exc

    def _claim(self, index: int) -> bytes:
        if not 0 <= index <= MAX_INDEX:
            raise KeyringError(f"record index is {index}, expected 0 to {MAX_INDEX}")
        if os.getpid() != self._process:
            # Parent and child would both seal what comes next, under the same nonces.
            raise KeyringError("a key made before a fork cannot seal after it")
        with self._lock:
            if index in self._sealed:
                raise KeyringError(f"record {index} was already sealed under this key")
            self._sealed.add(index)
        return _nonce(index)


def seal_once(key: bytes, plaintext: Buffer, aad: Buffer) -> bytes:
    """Return ``plaintext`` sealed under a key that is used for this alone.

    Args:
        key: 32 bytes, never used to seal before nor after.
        plaintext: What to seal.
        aad: What it is bound to.
    """
    return AESGCM(_checked(key)).encrypt(_ONCE, plaintext, aad)


def open_once(key: bytes, sealed: Buffer, aad: Buffer) -> bytes:
    """Return what `seal_once` sealed.

    Raises:
        CorruptObjectError: Key, associated data or bytes are not what was sealed.
    """
    try:
        return AESGCM(_checked(key)).decrypt(_ONCE, sealed, aad)
    except InvalidTag as exc:
        raise CorruptObjectError("sealed bytes are not what was sealed") from exc


def _nonce(index: int) -> bytes:
    return index.to_bytes(_NONCE_BYTES, "big")


def _checked(key: bytes) -> bytes:
    # AESGCM would take 16 and 24 bytes as well, and silently be a weaker cipher.
    if len(key) != 32:  # noqa: PLR2004 - AES-256
        raise KeyringError(f"key is {len(key)} bytes, expected 32")
    return key
