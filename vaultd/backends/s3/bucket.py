"""The bucket itself: made once, examined by doctor, never touched by a backup."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from vaultd.backends.s3.connection import DEFAULT_REGION, Connection
from vaultd.backends.s3.errors import server_ahead_s
from vaultd.core.errors import StorageError


class Bucket:
    """One bucket as a whole.

    Args:
        connection: Names the bucket, and reaches it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client
        self._name = connection.options.bucket
        self._place = connection.options.location

    def server_clock_skew_s(self, samples: int = 5) -> float:
        """Return how far the server's clock is ahead of ours, in seconds: the middle of some looks.

        Raises:
            StorageError: The server does not answer, or does not tell its time.
        """
        return statistics.median(self._look_at_clock() for _ in range(samples))

    def is_versioned(self) -> bool:
        """Tell whether the bucket keeps old versions of deleted objects.

        Raises:
            StorageError: The bucket is missing, or its state may not be read.
        """
        with self._connection.call("read versioning", self._place):
            answer = self._client.get_bucket_versioning(Bucket=self._name)
        return bool(answer.get("Status") == "Enabled")

    def create(self) -> None:
        """Make the bucket; one that is ours already is fine.

        Raises:
            StorageError: The name is taken by somebody else, or the right is missing.
        """
        arguments: dict[str, Any] = {"Bucket": self._name}
        if (
            self._connection.options.endpoint is None
            and self._client.meta.region_name != DEFAULT_REGION
        ):
            region = {"LocationConstraint": self._client.meta.region_name}
            arguments["CreateBucketConfiguration"] = region
        with (
            self._connection.call("create bucket", self._place),
            contextlib.suppress(self._client.exceptions.BucketAlreadyOwnedByYou),
        ):
            self._client.create_bucket(**arguments)

    def _look_at_clock(self) -> float:
        before_ns = self._connection.clock.now_ns()
        headers: Mapping[str, Any]
        with self._connection.call("list", f"clock of {self._place}"):
            try:
                answer = self._client.head_bucket(Bucket=self._name)
                headers = answer["ResponseMetadata"]["HTTPHeaders"]
            except ClientError as exc:  # refused or missing: the answer has a date all the same
                headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        ahead_s = server_ahead_s(headers, (before_ns + self._connection.clock.now_ns()) // 2)
        if ahead_s is None:
            raise StorageError(f"{self._place}: the server does not tell its time")
        return ahead_s
