"""How to reach a bucket, and what to ask of it."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from urllib.parse import urlsplit

from msgspec import Struct

from vaultd.backends.names import MAX_NAME_BYTES, is_name
from vaultd.backends.versions import LockRule
from vaultd.core.errors import ConfigError

_MAX_PREFIX_BYTES = 1024 - MAX_NAME_BYTES - 1
_FROZEN_CLASSES = ("GLACIER", "DEEP_ARCHIVE")


class Addressing(StrEnum):
    """Where the bucket's name goes in a URL."""

    AUTO = "auto"
    PATH = "path"
    DNS = "dns"


class Conditional(StrEnum):
    """How a put makes sure that it replaces nothing."""

    HEADER = "header"
    NONE = "none"


class S3Options(Struct, frozen=True, kw_only=True):
    """One vault's place in S3-compatible storage. Credentials come from the usual AWS sources.

    Attributes:
        bucket: The bucket's name.
        prefix: What all object names begin with there, without slashes at its ends; may be empty.
        endpoint: The server's URL; ``None`` is AWS.
        region: The bucket's region; ``None`` is what the AWS settings say, or ``us-east-1``.
        addressing: Where the bucket's name goes in a URL.
        ca_bundle: File with the certificates to trust instead of the system's.
        insecure_tls: Take any certificate, and plain http to other machines too.
        conditional: ``header`` lets the server refuse to overwrite (``If-None-Match``); ``none``
            looks before it puts, which two writers at once can defeat.
        storage_class: For objects of 128 KiB or more; smaller ones stay in the standard class,
            because the cheaper ones bill them as that big.
        connect_timeout_s: Longest wait for a connection.
        read_timeout_s: Longest wait for the next bytes.
        profile: Section of the AWS settings to use.
        lock: How long new objects are locked; ``None``: only as the bucket itself has it.
        connections: Connections kept open; at least the number of threads that use the backend.

    Raises:
        ConfigError: They cannot be right.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    addressing: Addressing = Addressing.AUTO
    ca_bundle: str | None = None
    insecure_tls: bool = False
    conditional: Conditional = Conditional.HEADER
    storage_class: str | None = None
    connect_timeout_s: float = 10
    read_timeout_s: float = 60
    profile: str | None = None
    lock: LockRule | None = None
    connections: int = 16

    def __post_init__(self) -> None:
        if not self.bucket or "/" in self.bucket:
            raise ConfigError(
                f"bucket {self.bucket!r}: not the name of a bucket",
                hint="Give the bucket's name alone, and the rest as the prefix.",
            )
        if self.prefix and not (is_name(self.prefix) and len(self.prefix) <= _MAX_PREFIX_BYTES):
            raise ConfigError(
                f"prefix {self.prefix!r}: no object's name could begin so",
                hint="Write folders of letters, digits and -_.~=@, with slashes between them only.",
            )
        if self.storage_class in _FROZEN_CLASSES:
            raise ConfigError(
                f"storage class {self.storage_class}: its objects cannot be read at once",
                hint="Choose GLACIER_IR or STANDARD_IA.",
            )
        if self.endpoint is not None:
            self._check_endpoint(self.endpoint)

    @property
    def start(self) -> str:
        """What the keys of all objects begin with: the prefix and a slash, or nothing."""
        return f"{self.prefix}/" if self.prefix else ""

    @property
    def location(self) -> str:
        """The place for people: ``s3://bucket/prefix``, or ``s3:URL/bucket/prefix``."""
        start = "s3:/" if self.endpoint is None else f"s3:{self.endpoint.rstrip('/')}"
        return "/".join(filter(None, (start, self.bucket, self.prefix)))

    def _check_endpoint(self, endpoint: str) -> None:
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError(
                f"endpoint {url.hostname or endpoint!r}: not a URL",
                hint="Write it as https://host or https://host:port.",
            )
        if url.username or url.password or url.query or url.fragment:
            raise ConfigError(
                f"endpoint {url.hostname}: has more than host, port and path",
                hint="Give credentials through the usual AWS sources.",
            )
        if url.scheme == "http" and not self.insecure_tls and not _is_loopback(url.hostname):
            raise ConfigError(
                f"endpoint {endpoint}: plain http to another machine",
                hint="Use https, or set insecure_tls when the network is trusted.",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
