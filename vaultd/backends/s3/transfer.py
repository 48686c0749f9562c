"""The two ends of a transfer: bodies out and bodies in, each with a limit on its time."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from vaultd.backends.base import Spooled
from vaultd.backends.bodies import read_exactly
from vaultd.core.clock import Clock
from vaultd.core.errors import StorageError, StorageUnavailableError
from vaultd.core.units import KIB, MIB

if TYPE_CHECKING:
    from botocore.response import StreamingBody

_SLOWEST_BYTES_S = 128 * KIB
_GRACE_S = 60
_RECEIVE_BYTES = MIB


def deadline_s(clock: Clock, size: int) -> float:
    """Return when to give up on moving ``size`` bytes, as `Clock.monotonic_s` counts.

    A server that sends a byte now and then never runs into the read timeout.
    """
    return clock.monotonic_s() + size / _SLOWEST_BYTES_S + _GRACE_S


class SpoolReader(io.RawIOBase):
    """A spooled body as a file that boto3 can send, size and rewind; many may share a descriptor.

    Args:
        name: The object that it is to become, for messages.
        body: The bytes to send.
        clock: Tells when to give up.
    """

    def __init__(self, name: str, body: Spooled, clock: Clock) -> None:
        super().__init__()
        self._name = name
        self._body = body
        self._offset = 0
        self._clock = clock
        self._give_up_s = deadline_s(clock, body.size)

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset, and return it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._body.size}[whence]
        self._offset = start + offset
        return self._offset

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, ``size`` of them or all that are left.

        Raises:
            StorageError: The file ended early.
            StorageUnavailableError: The server takes bytes too slowly to go on.
        """
        left = self._body.size - self._offset
        wanted = left if size < 0 else min(size, left)
        if wanted <= 0:
            return b""
        if self._clock.monotonic_s() > self._give_up_s:
            raise StorageUnavailableError(
                f"object {self._name}: the server took less than 128 KiB/s"
            )
        try:
            block = read_exactly(self._body.fd, wanted, self._offset)
        except (EOFError, OSError) as exc:
            raise StorageError(f"object {self._name}: spooled body: {exc}") from exc
        self._offset += len(block)
        return block


def receive(name: str, stream: StreamingBody, size: int, clock: Clock) -> bytes:
    """Return all bytes of a response; the caller closes it.

    Raises:
        StorageUnavailableError: They come too slowly to go on.
        BotoCoreError: They did not all come.
    """
    if size <= _RECEIVE_BYTES:
        return stream.read()
    give_up_s = deadline_s(clock, size)
    whole = io.BytesIO()  # grows in place and gives its buffer away without copying it
    while block := stream.read(_RECEIVE_BYTES):
        whole.write(block)
        if clock.monotonic_s() > give_up_s:
            raise StorageUnavailableError(f"object {name}: the server sent less than 128 KiB/s")
    return whole.getvalue()
