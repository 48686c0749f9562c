"""From the location of a vault to the backend that reaches it.

==============================================  ================================================
location                                        what it is
==============================================  ================================================
``/srv/vault``, ``vault``, ``file:/srv/vault``  a folder
``s3://BUCKET/PREFIX``                          a bucket at AWS, or at ``VAULTD_S3_ENDPOINT``
``s3:s3.REGION.amazonaws.com/BUCKET/PREFIX``    a bucket at AWS, in that region
``s3:https://HOST:PORT/BUCKET/PREFIX``          a bucket at any server; ``s3:HOST/…`` means https
==============================================  ================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from vaultd.backends.base import Backend
from vaultd.backends.local import LocalBackend
from vaultd.backends.s3.options import Conditional, S3Options
from vaultd.backends.wrappers.retrying import DEFAULTS, Retrying, RetryOptions
from vaultd.backends.wrappers.throttled import Endpoint, Throttled
from vaultd.core.clock import Clock
from vaultd.core.errors import ConfigError
from vaultd.core.events import Observer, ignore
from vaultd.settings.asked import S3Settings, Settings
from vaultd.wiring.system import system_clock, system_random

__all__ = ["Backend", "open_backend", "parse_location"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_REMOTE = re.compile(r"[^/]*@[^/]+:")
_WEB = ("http", "https")
_AWS = re.compile(
    r"s3(?:[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z0-9]+)+))?\.amazonaws\.com(?:\.cn)?"
)
_AT_ONCE = 16
"""Requests to a folder at once, when a limit is set: it has none of its own."""

_EXAMPLE = "Write it as s3:https://HOST/BUCKET/PREFIX or s3://BUCKET/PREFIX."


@contextmanager
def open_backend(
    location: str,
    settings: Settings,
    observer: Observer = ignore,
    *,
    create: bool = False,
    retries: RetryOptions = DEFAULTS,
) -> Iterator[Backend]:
    """Reach the place where a vault lies, or shall lie; connections are closed at the end.

    Args:
        location: The place, as in the table above.
        settings: How to reach it.
        observer: Told of retries.
        create: Make a folder that is missing.
        retries: How long to go on when a server does not answer.

    Raises:
        ConfigError: The location cannot be understood, or the settings do not fit it.
        VaultNotFoundError: The folder is missing.
    """
    clock = system_clock()
    place = parse_location(location, settings.s3)
    if isinstance(place, Path):
        yield _limited(LocalBackend(place, create=create), settings, clock)
        return
    # Takes a good part of a second to load: only those who need it wait.
    from vaultd.backends.s3.backend import S3Backend  # noqa: PLC0415

    with S3Backend(place, clock=clock) as bucket:
        throttled = Throttled(bucket, _endpoint(settings, clock, place.connections))
        yield Retrying(
            throttled,
            clock=clock,
            randomness=system_random,
            options=retries,
            observer=observer,
        )


def overwrites(location: str, s3: S3Settings) -> bool:
    """Tell whether a storage was said to have no conditional writes: two writers can collide."""
    place = parse_location(location, s3)
    return isinstance(place, S3Options) and place.conditional is Conditional.NONE


def parse_location(location: str, s3: S3Settings) -> Path | S3Options:
    """Return what a location means: a folder's absolute path, or a bucket.

    Args:
        location: As a person writes it.
        s3: What is not said in the location of a bucket.

    Raises:
        ConfigError: It cannot be understood, or holds credentials.
    """
    text = location.strip()
    match = _SCHEME.match(text)
    # A folder may have a colon in its name, as long as the name does not begin with a scheme.
    scheme = match[0].lower() if match is not None else ""
    if scheme == "s3":
        return _bucket(text[len("s3:") :], s3)
    if scheme == "file":
        return _file_url(text[len("file:") :])
    if scheme in _WEB:
        raise ConfigError(
            f"location {_shown(text)!r}: a web address alone is no vault",
            hint="Write s3: before it, as in s3:https://HOST/BUCKET/PREFIX.",
        )
    if scheme:
        raise ConfigError(
            f"location {_shown(text)!r}: {scheme}: is no kind of storage that vaultd knows",
            hint=f"Give a folder, or a bucket as s3:…; write a folder of that name as ./{scheme}:…",
        )
    if _REMOTE.match(text) is not None:
        raise _elsewhere(text)
    return _folder(text)


def _folder(path: str) -> Path:
    if not path or "\0" in path:
        raise ConfigError(
            f"location {path!r}: names no folder", hint="Give a path, or a bucket as s3:…"
        )
    return Path(path).absolute()


def _file_url(rest: str) -> Path:
    # file:///srv/vault is the same as file:/srv/vault.
    path = rest.removeprefix("//")
    if path != rest and not path.startswith("/"):
        raise _elsewhere(f"file:{rest}")
    return _folder(path)


def _elsewhere(text: str) -> ConfigError:
    return ConfigError(
        f"location {_shown(text)!r}: names a folder of another machine",
        hint="Mount that folder here and give its path, or use a bucket.",
    )


def _bucket(rest: str, s3: S3Settings) -> S3Options:
    if rest.startswith("//"):
        path, endpoint, region = rest[2:], s3.endpoint, s3.region
        if "@" in path.partition("/")[0]:
            raise _with_credentials()
    else:
        url = _split(rest if "://" in rest else f"https://{rest}")
        path = url.path.lstrip("/")
        endpoint, region = _server(url, s3)
    bucket, _, prefix = path.partition("/")
    if not bucket:
        raise ConfigError(f"location 's3:{rest}': names no bucket", hint=_EXAMPLE)
    return S3Options(
        bucket=bucket,
        prefix=prefix.strip("/"),
        endpoint=endpoint,
        region=region,
        addressing=s3.addressing,
        ca_bundle=s3.ca_bundle,
        insecure_tls=s3.insecure_tls,
        conditional=s3.conditional,
        storage_class=s3.storage_class,
        profile=s3.profile,
        lock=s3.lock,
    )


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        port = url.port  # reading it checks it
    except ValueError as exc:
        raise ConfigError(f"location 's3:{_shown(text)}': {exc}", hint=_EXAMPLE) from exc
    if "@" in url.netloc:
        raise _with_credentials()
    if url.scheme not in _WEB or not url.hostname or port == 0:
        raise ConfigError(f"location 's3:{text}': names no server", hint=_EXAMPLE)
    if url.query or url.fragment:
        raise ConfigError(
            f"location 's3:{url.scheme}://{url.netloc}{url.path}': has more than a path after it",
            hint=_EXAMPLE,
        )
    return url


def _server(url: SplitResult, s3: S3Settings) -> tuple[str | None, str | None]:
    aws = _AWS.fullmatch(url.hostname or "")
    if aws is None:
        return f"{url.scheme}://{url.netloc}", s3.region
    if aws["region"] and s3.region and aws["region"] != s3.region:
        raise ConfigError(
            f"location in region {aws['region']}, but the region is set to {s3.region}",
            hint="Set the region of the bucket, in one place.",
        )
    return None, aws["region"] or s3.region


def _with_credentials() -> ConfigError:
    # The text is not repeated: it holds a secret.
    return ConfigError(
        "location of the vault: holds credentials, which would be seen in logs and by other users",
        hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile that has them.",
    )


def _shown(text: str) -> str:
    return re.sub(r"[^/]*@", "…@", text)


def _limited(backend: Backend, settings: Settings, clock: Clock) -> Backend:
    if settings.limit_upload_bytes_s is None and settings.limit_download_bytes_s is None:
        return backend
    return Throttled(backend, _endpoint(settings, clock, _AT_ONCE))


def _endpoint(settings: Settings, clock: Clock, limit: int) -> Endpoint:
    return Endpoint(
        clock,
        limit=limit,
        upload_bytes_s=settings.limit_upload_bytes_s or 0,
        download_bytes_s=settings.limit_download_bytes_s or 0,
    )
