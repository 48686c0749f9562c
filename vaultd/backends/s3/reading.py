"""Bytes of an object, or of one of its versions: one request, its answer checked."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from botocore.exceptions import ClientError

from vaultd.backends.bodies import span
from vaultd.backends.s3.connection import Connection
from vaultd.backends.s3.errors import status_of
from vaultd.backends.s3.transfer import receive
from vaultd.core.errors import StorageError

_RANGE_MISSED = 416
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def fetch(
    connection: Connection,
    name: str,
    address: dict[str, Any],
    offset: int,
    length: int | None,
) -> bytes:
    """Return bytes of an object.

    Args:
        connection: Reaches the bucket; call this inside `Connection.call`.
        name: The object, for messages.
        address: Bucket, key, and version if it is not the newest.
        offset: Of the first byte.
        length: How many, not 0; ``None``: to the end.

    Raises:
        StorageError: The server sent other bytes than were asked for.
    """
    ranged = offset > 0 or length is not None
    arguments = dict(address)
    if ranged:
        last = "" if length is None else offset + length - 1
        arguments["Range"] = f"bytes={offset}-{last}"
    try:
        answer = connection.client.get_object(**arguments)
    except ClientError as exc:
        if status_of(exc) == _RANGE_MISSED:
            return b""
        raise
    with contextlib.closing(answer["Body"]) as stream:
        size = span(name, answer["ContentLength"], 0, None)
        if ranged:
            _check_answer(name, answer.get("ContentRange", ""), (offset, length), size)
        return receive(name, stream, size, connection.clock)


def _check_answer(name: str, answer: str, asked: tuple[int, int | None], found: int) -> None:
    """Refuse the bytes of another range than was asked for.

    Raises:
        StorageError: The server ignored or changed the range.
    """
    offset, length = asked
    match = _CONTENT_RANGE.fullmatch(answer)
    if match is not None:
        first, last, size = map(int, match.groups())
        end = size if length is None else min(size, offset + length)
        if (first, last + 1, found) == (offset, end, end - offset):
            return
    raise StorageError(
        f"object {name}: the server sent range {answer!r}, expected {length} bytes from {offset}"
    )
