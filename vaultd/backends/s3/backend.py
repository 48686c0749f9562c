"""Objects in a bucket: one request each, no retries, every answer checked."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from vaultd.backends.base import Body, ObjectInfo
from vaultd.backends.bodies import check_range, sha256_of, size_of
from vaultd.backends.names import check_name, check_prefix, is_name
from vaultd.backends.s3.bucket import Bucket
from vaultd.backends.s3.connection import Connection
from vaultd.backends.s3.options import Conditional, S3Options
from vaultd.backends.s3.paging import get_page
from vaultd.backends.s3.reading import fetch
from vaultd.backends.s3.transfer import SpoolReader
from vaultd.backends.s3.versions import BucketVersions, whole_second
from vaultd.core.clock import Clock, SystemClock
from vaultd.core.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from vaultd.core.units import KIB, MIB

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ObjectTypeDef

_CHEAP_CLASS_FROM_BYTES = 128 * KIB


class S3Backend:
    """Objects as those of a bucket; used by any number of threads.

    Args:
        options: Where and how.
        clock: The system's by default.
        page_names: Names to ask for in one request of a listing.

    Attributes:
        versions: Older versions of objects, and locks: see `Backend.versions`.

    Raises:
        ConfigError: The AWS settings cannot be used.
    """

    read_ahead_bytes = 4 * MIB
    """What a request costs, some ten milliseconds, is next to nothing for this much."""

    def __init__(
        self, options: S3Options, *, clock: Clock | None = None, page_names: int = 1000
    ) -> None:
        self._connection = Connection(options, SystemClock() if clock is None else clock)
        self._client = self._connection.client
        self._options = options
        self._page_names = page_names
        self.versions = BucketVersions(self._connection, page_names)
        self._start = options.start

    @property
    def location(self) -> str:
        """Where the objects lie: ``s3://bucket/prefix`` or ``s3:URL/bucket/prefix``."""
        return self._options.location

    @property
    def bucket(self) -> Bucket:
        """The bucket itself, for those who set it up or examine it."""
        return Bucket(self._connection)

    @property
    def spool(self) -> Path | None:
        """No folder: any open file will do."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def put(self, name: str, body: Body, *, sha256: bytes | None = None) -> None:
        """Create an object: see `Backend.put`; the server checks its SHA-256."""
        check_name(name)
        size = size_of(name, body)
        arguments: dict[str, Any] = {
            **self._address(name),
            "Body": body
            if isinstance(body, bytes)
            else SpoolReader(name, body, self._connection.clock),
            "ContentLength": size,
            "ChecksumSHA256": base64.b64encode(sha256 or sha256_of(body)).decode("ascii"),
        }
        if self._options.storage_class and size >= _CHEAP_CLASS_FROM_BYTES:
            arguments["StorageClass"] = self._options.storage_class
        if self._options.conditional is Conditional.HEADER:
            arguments["IfNoneMatch"] = "*"
        elif self._is_there(name):
            raise ObjectExistsError(f"object {name}: exists already")
        locking = self._locking(name)
        with self._connection.call("put locked" if locking else "put", f"object {name}"):
            self._client.put_object(**arguments, **locking)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`."""
        check_name(name)
        check_range(name, offset, length)
        if length == 0:  # a range cannot be empty in HTTP
            self.head(name)
            return b""
        with self._connection.call("get", f"object {name}"):
            return fetch(self._connection, name, self._address(name), offset, length)

    def head(self, name: str) -> ObjectInfo:
        """Return what is known about an object: see `Backend.head`."""
        check_name(name)
        with self._connection.call("head", f"object {name}"):
            answer = self._client.head_object(**self._address(name))
            return _info(name, answer["ContentLength"], answer["LastModified"])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield objects in order: see `Backend.list`; the whole list is fetched first.

        Servers that keep objects in folders list ``a/b`` before ``a-b``, and some list an object
        twice when others come and go; to sort them all are needed.
        """
        check_prefix(prefix)
        found: dict[str, ObjectInfo] = {}
        in_order = True
        last = ""
        with self._connection.call("list", f"listing {prefix!r}"):
            for item in self._items(prefix):
                name = item["Key"].removeprefix(self._start)
                ours = item["Key"].startswith(self._start + prefix) and is_name(name)
                if not ours or name in found:  # such as the folder markers of other programs
                    continue
                in_order, last = in_order and last < name, name
                found[name] = _info(name, item["Size"], item["LastModified"])
        for name in found if in_order else sorted(found):
            yield found[name]

    def delete(self, name: str) -> None:
        """Remove an object: see `Backend.delete`; a versioned bucket keeps it as an old version."""
        check_name(name)
        with (
            contextlib.suppress(ObjectNotFoundError),
            self._connection.call("delete", f"object {name}"),
        ):
            self._client.delete_object(**self._address(name))

    def _locking(self, name: str) -> dict[str, Any]:
        """Return what a put says of its lock, if it has one: a second request might never come."""
        rule = self._options.lock
        lock = None if rule is None else rule.lock_for(name, self.versions.now_ns())
        if lock is None:
            return {}
        until = whole_second(lock.until_ns)
        return {"ObjectLockMode": lock.mode.upper(), "ObjectLockRetainUntilDate": until}

    def _address(self, name: str) -> dict[str, Any]:
        return {"Bucket": self._options.bucket, "Key": self._start + name}

    def _is_there(self, name: str) -> bool:
        try:
            self.head(name)
        except ObjectNotFoundError:
            return False
        return True

    def _items(self, prefix: str) -> Iterator[ObjectTypeDef]:
        """Yield what the server lists, page after page to the end, in its own order."""
        arguments: dict[str, Any] = {
            "Bucket": self._options.bucket,
            "Prefix": self._start + prefix,
            "MaxKeys": self._page_names,
        }
        while True:
            page = get_page(
                self._connection,
                ("list", f"listing {prefix!r}"),
                lambda: self._client.list_objects_v2(**arguments),
                first="ContinuationToken" not in arguments,
            )
            yield from page.get("Contents", ())
            if not page.get("IsTruncated"):
                return
            if not page.get("NextContinuationToken"):
                raise StorageError(f"listing {prefix!r}: cut by the server, with no way to go on")
            arguments["ContinuationToken"] = page["NextContinuationToken"]


def _info(name: str, size: int, modified: datetime) -> ObjectInfo:
    modified_ns = int(modified.timestamp()) * 1_000_000_000  # some servers tell no less
    return ObjectInfo(name=name, size=size, modified_ns=modified_ns)
