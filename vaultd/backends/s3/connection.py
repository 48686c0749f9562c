"""The boto3 client, set up once, and the frame around each of its calls."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import boto3
import botocore.session
from botocore.config import Config
from botocore.utils import parse_timestamp

from vaultd.backends.s3.errors import VENDOR_ERRORS, Call, server_ahead_s, translated
from vaultd.backends.s3.options import Addressing, S3Options
from vaultd.core.clock import Clock
from vaultd.core.errors import ConfigError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

DEFAULT_REGION = "us-east-1"
_LOOKS = 5
"""Latest answers whose times tell the server's clock: one may have been long on its way."""

_STYLES: dict[Addressing, Literal["auto", "path", "virtual"]] = {
    Addressing.AUTO: "auto",
    Addressing.PATH: "path",
    Addressing.DNS: "virtual",
}


class Connection:
    """A client and what it was made from; used by any number of threads.

    Args:
        options: Where and how.
        clock: Tells the time of an error.

    Attributes:
        client: The boto3 client; call it inside `call` only.
        options: As given.
        clock: As given.

    Raises:
        ConfigError: The AWS settings cannot be used.
    """

    def __init__(self, options: S3Options, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        if options.ca_bundle is not None and not os.path.isfile(options.ca_bundle):
            raise ConfigError(
                f"ca_bundle {options.ca_bundle}: not a file", hint="Correct the path in ca_bundle."
            )
        with self.call("head", options.location):
            self.client = _client(options)
        self._ahead_s: deque[float] = deque(maxlen=_LOOKS)
        self.client.meta.events.register("after-call.s3", self._note_time)

    @property
    def server_ahead_s(self) -> float | None:
        """How far the server's clock is ahead of ours; ``None`` when it has told no time yet."""
        looks = tuple(self._ahead_s)
        return statistics.median(looks) if looks else None

    def server_now_ns(self) -> int:
        """Return the time by the server's clock, or by ours when it does not tell."""
        return self.clock.now_ns() + int((self.server_ahead_s or 0.0) * 1e9)

    def _note_time(self, parsed: Mapping[str, Any], **_: Any) -> None:
        headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        ahead_s = server_ahead_s(headers, self.clock.now_ns())
        if ahead_s is not None:
            self._ahead_s.append(ahead_s)

    @contextlib.contextmanager
    def call(self, operation: str, subject: str) -> Iterator[None]:
        """Turn what boto3 raises inside into an error of ours.

        Args:
            operation: What is done, as the table of rights in `errors` has it.
            subject: What it is about, for people.
        """
        try:
            yield
        except VENDOR_ERRORS as exc:
            call = Call(
                operation=operation,
                subject=subject,
                place=self.options.location,
                now_ns=self.clock.now_ns(),
            )
            raise translated(exc, call) from exc

    def close(self) -> None:
        """Close all connections."""
        self.client.close()


def moment(text: str) -> datetime:
    """Return the time that an answer gives, as boto3 would, but in a tenth of the time.

    A listing has one for each name; boto3's own way costs more than all else that it does.
    """
    with contextlib.suppress(ValueError):
        if text.endswith("Z"):
            return datetime.fromisoformat(text)
        if text.endswith("GMT"):
            return parsedate_to_datetime(text)
    return parse_timestamp(text)


def _client(options: S3Options) -> S3Client:
    core = botocore.session.Session(profile=options.profile)
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    session = boto3.session.Session(botocore_session=core)
    return session.client(
        "s3",
        endpoint_url=options.endpoint,
        region_name=options.region or session.region_name or DEFAULT_REGION,
        verify=False if options.insecure_tls else options.ca_bundle,
        config=Config(
            connect_timeout=options.connect_timeout_s,
            read_timeout=options.read_timeout_s,
            max_pool_connections=options.connections,
            tcp_keepalive=True,
            # Retrying is done in one place, above: see wrappers.
            retries={"total_max_attempts": 1},
            # We sign and check a SHA-256 of our own: others would cost a third of the CPU, and
            # servers that do not know them refuse the request.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": _STYLES[options.addressing], "payload_signing_enabled": False},
        ),
    )
