"""Versions of a bucket's objects, and their locks: see `vaultd.backends.versions`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from vaultd.backends.bodies import check_range
from vaultd.backends.names import check_prefix, is_name
from vaultd.backends.s3.bucket import Bucket
from vaultd.backends.s3.connection import Connection
from vaultd.backends.s3.paging import get_page
from vaultd.backends.s3.reading import fetch
from vaultd.backends.versions import Lock, LockMode, LockRule, Version
from vaultd.core.clock import rfc3339, utc
from vaultd.core.errors import AccessDeniedError, ObjectNotFoundError, StorageError

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ListObjectVersionsOutputTypeDef

_UNLOCKED = ("NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError")
_S_NS = 1_000_000_000


class BucketVersions:
    """Versions and locks in one bucket; used by any number of threads.

    Args:
        connection: Names the bucket and prefix, and reaches it.
        page_names: Versions to ask for in one request of a listing.
    """

    def __init__(self, connection: Connection, page_names: int = 1000) -> None:
        self._connection = connection
        self._client = connection.client
        self._bucket = Bucket(connection)
        self._start = connection.options.start
        self._page_names = page_names

    @property
    def rule(self) -> LockRule | None:
        """How long new objects are locked: see `Versions.rule`."""
        return self._connection.options.lock

    def now_ns(self) -> int:
        """Return the server's time: see `Versions.now_ns`."""
        if self._connection.server_ahead_s is None:  # nothing was asked of it yet
            self._bucket.server_clock_skew_s(1)
        return self._connection.server_now_ns()

    def are_kept(self) -> bool:
        """Tell whether versions are kept: see `Versions.are_kept`."""
        return self._bucket.is_versioned()

    def list(self, prefix: str) -> Iterator[Version]:
        """Yield versions: see `Versions.list`; the whole list is fetched first."""
        check_prefix(prefix)
        found: list[Version] = []
        for page in self._pages(prefix):
            found += (_version(item, self._start) for item in page.get("Versions", ()))
            found += (_marker(item, self._start) for item in page.get("DeleteMarkers", ()))
        ours = [one for one in found if one.name.startswith(prefix) and is_name(one.name)]
        ours.reverse()  # servers list the newest version of a name first
        ours.sort(key=attrgetter("name", "is_marker"))
        yield from ours

    def get(self, version: Version, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a version: see `Versions.get`."""
        check_range(version.name, offset, length)
        if length == 0:  # a range cannot be empty in HTTP
            return b""
        with self._connection.call("get version", f"object {version.name}"):
            return fetch(self._connection, version.name, self._address(version), offset, length)

    def remove(self, version: Version) -> None:
        """Remove a version: see `Versions.remove`."""
        subject = f"object {version.name}"
        try:
            with self._connection.call("delete version", subject):
                self._client.delete_object(**self._address(version))
        except ObjectNotFoundError:
            return
        except AccessDeniedError as error:
            until_ns = self._locked_until_ns(version)
            if until_ns is None:
                raise
            raise AccessDeniedError(
                f"{subject}: its version {version.id} is retained until {rfc3339(until_ns)}",
                hint="Wait until then: nobody should be able to delete it before.",
            ) from error

    def lock(self, version: Version) -> Lock | None:
        """Return a version's lock: see `Versions.lock`."""
        with self._connection.call("read lock", f"lock of object {version.name}"):
            try:
                answer = self._client.get_object_retention(**self._address(version))
            except ClientError as exc:
                if exc.response.get("Error", {}).get("Code", "") in _UNLOCKED:
                    return None
                raise
            found = answer.get("Retention", {})
            if "RetainUntilDate" not in found:
                return None
            mode = LockMode(found.get("Mode", "GOVERNANCE").lower())
            return Lock(mode=mode, until_ns=_ns(found["RetainUntilDate"]))

    def extend(self, version: Version, lock: Lock) -> None:
        """Lock a version for longer: see `Versions.extend`."""
        with self._connection.call("extend lock", f"lock of object {version.name}"):
            self._client.put_object_retention(
                **self._address(version),
                Retention={
                    "Mode": "COMPLIANCE" if lock.mode is LockMode.COMPLIANCE else "GOVERNANCE",
                    "RetainUntilDate": whole_second(lock.until_ns),
                },
            )

    def _locked_until_ns(self, version: Version) -> int | None:
        """Return when a lock ends that is in force; ``None`` when there is none or nobody tells."""
        try:
            lock = self.lock(version)
        except StorageError:
            return None
        return None if lock is None or lock.until_ns <= self.now_ns() else lock.until_ns

    def _address(self, version: Version) -> dict[str, Any]:
        key = self._start + version.name
        return {"Bucket": self._connection.options.bucket, "Key": key, "VersionId": version.id}

    def _pages(self, prefix: str) -> Iterator[ListObjectVersionsOutputTypeDef]:
        arguments: dict[str, Any] = {
            "Bucket": self._connection.options.bucket,
            "Prefix": self._start + prefix,
            "MaxKeys": self._page_names,
        }
        what = ("list versions", f"listing versions of {prefix!r}")
        while True:
            page = get_page(
                self._connection,
                what,
                lambda: self._client.list_object_versions(**arguments),
                first="KeyMarker" not in arguments,
            )
            yield page
            if not page.get("IsTruncated"):
                return
            if not page.get("NextKeyMarker"):
                raise StorageError(f"{what[1]}: cut by the server, with no way to go on")
            arguments["KeyMarker"] = page["NextKeyMarker"]
            arguments["VersionIdMarker"] = page.get("NextVersionIdMarker", "")


def whole_second(ns: int) -> datetime:
    """Return a time rounded up to a whole second, as servers keep the ends of locks."""
    return utc(-(-ns // _S_NS) * _S_NS)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _S_NS


def _version(item: Any, start: str) -> Version:
    return Version(
        name=item["Key"].removeprefix(start),
        id=item["VersionId"],
        size=item.get("Size", 0),
        modified_ns=_ns(item["LastModified"]),
        is_newest=bool(item.get("IsLatest")),
    )


def _marker(item: Any, start: str) -> Version:
    return Version(
        name=item["Key"].removeprefix(start),
        id=item["VersionId"],
        size=0,
        modified_ns=_ns(item["LastModified"]),
        is_newest=bool(item.get("IsLatest")),
        is_marker=True,
    )
