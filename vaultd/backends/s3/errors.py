"""Every error of boto3 and of a server, turned into ours: the only place that knows their names."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from msgspec import Struct
from urllib3.exceptions import HTTPError

from vaultd.core.errors import (
    AccessDeniedError,
    ConfigError,
    CorruptObjectError,
    NoSpaceError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    VaultdError,
    VaultNotFoundError,
)

VENDOR_ERRORS = (boto.BotoCoreError, boto.ClientError, HTTPError, ResponseParserError, KeyError)
"""What a call of boto3, or reading what it returned, can raise; a key error: a part is missing."""

_RIGHTS = {
    "put": "s3:PutObject",
    "put locked": "s3:PutObject and s3:PutObjectRetention",
    # Without the second, a missing object looks forbidden.
    "get": "s3:GetObject and s3:ListBucket",
    "head": "s3:GetObject and s3:ListBucket",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
    "get version": "s3:GetObjectVersion",
    "list versions": "s3:ListBucketVersions",
    "delete version": "s3:DeleteObjectVersion",
    "read lock": "s3:GetObjectRetention",
    "extend lock": "s3:PutObjectRetention",
    "read versioning": "s3:GetBucketVersioning",
    "read object lock": "s3:GetBucketObjectLockConfiguration",
    "create bucket": "s3:CreateBucket",
}

_KEYS = "Check the access key and the secret key in the AWS settings."
_EXPIRED = "Renew the session's credentials."
_REGION = "Set the region of the bucket."
_CREDENTIALS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile that has them."
_REACH = "Check the endpoint, the network and the server."
_ROOM = "Make room on the server, or raise the quota of the bucket."
_CONDITION = "Set conditional = none, and let the daemon delete nothing there."
_BUCKET = "Create the bucket, or correct its name."
_TRUST = "Name the server's certificate authority in ca_bundle."
_SETTINGS = "Correct the S3 settings."
_UNLOCKABLE = (
    "Make a bucket with object lock and use that, or take [vault.lock] out of the settings."
)
_THAW = "Restore the object from its archive class first."

_Kind = tuple[type[VaultdError], str | None]

_BY_CODE: dict[str, _Kind] = {
    "InvalidAccessKeyId": (AccessDeniedError, _KEYS),
    "SignatureDoesNotMatch": (AccessDeniedError, _KEYS),
    "ExpiredToken": (AccessDeniedError, _EXPIRED),
    "InvalidToken": (AccessDeniedError, _EXPIRED),
    "NoSuchBucket": (VaultNotFoundError, _BUCKET),
    "InvalidBucketName": (StorageError, _BUCKET),
    "NoSuchKey": (ObjectNotFoundError, None),
    "PreconditionFailed": (ObjectExistsError, None),
    "ConditionalRequestConflict": (StorageUnavailableError, None),
    "OperationAborted": (StorageUnavailableError, None),
    "RequestTimeout": (StorageUnavailableError, None),
    "BadDigest": (CorruptObjectError, "Test the memory of this machine."),
    "InvalidDigest": (CorruptObjectError, None),
    "XAmzContentChecksumMismatch": (CorruptObjectError, "Test the memory of this machine."),
    "NotImplemented": (StorageError, _CONDITION),
    "PermanentRedirect": (StorageError, _REGION),
    "AuthorizationHeaderMalformed": (StorageError, _REGION),
    "IllegalLocationConstraintException": (StorageError, _REGION),
    "InvalidObjectState": (StorageError, _THAW),
    "QuotaExceeded": (NoSpaceError, _ROOM),
    "XMinioAdminBucketQuotaExceeded": (NoSpaceError, _ROOM),
    "XMinioStorageFull": (NoSpaceError, _ROOM),
}

_BY_STATUS: dict[int, _Kind] = {
    301: (StorageError, _REGION),
    404: (ObjectNotFoundError, None),
    408: (StorageUnavailableError, None),
    412: (ObjectExistsError, None),
    429: (StorageUnavailableError, None),
    501: (StorageError, _CONDITION),
    507: (NoSpaceError, _ROOM),
}

_THROTTLING = frozenset(
    {"SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException"}
    | {
        "RequestLimitExceeded",
        "TooManyRequests",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
    }
)
_THROTTLING_STATUS = frozenset({429, 503})

# The first line that fits counts, so the special ones stand before the general.
_BY_CLASS: tuple[tuple[tuple[type[Exception], ...], _Kind], ...] = (
    (
        (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.TokenRetrievalError,
            boto.NoAuthTokenError,
            boto.SSOError,
            boto.LoginError,
            boto.MetadataRetrievalError,
            boto.ProfileNotFound,
            boto.ConfigNotFound,
            boto.ConfigParseError,
        ),
        (ConfigError, _CREDENTIALS),
    ),
    (
        (
            boto.ValidationError,
            boto.ParamValidationError,
            boto.BaseEndpointResolverError,
            boto.EndpointProviderError,
            boto.InvalidDNSNameError,
            boto.InvalidConfigError,
            boto.InvalidProxiesConfigError,
        ),
        (ConfigError, _SETTINGS),
    ),
    (
        (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError),
        (StorageUnavailableError, _REACH),
    ),
    (
        (
            boto.HTTPClientError,
            boto.ConnectionError,
            boto.IncompleteReadError,
            HTTPError,
            ResponseParserError,
        ),
        (StorageUnavailableError, None),
    ),
)


class Call(Struct, frozen=True, kw_only=True):
    """What was asked when an error came.

    Attributes:
        operation: A key of the table of rights: ``put``, ``get``, …
        subject: What it was about, for people.
        place: Where the right to do it must reach, for people.
        now_ns: Our time.
    """

    operation: str
    subject: str
    place: str
    now_ns: int


def translated(exc: Exception, call: Call) -> VaultdError:
    """Return our error for one of `VENDOR_ERRORS`."""
    if isinstance(exc, boto.ClientError):
        return _answer(exc, call)
    if isinstance(exc, KeyError):
        return StorageError(f"{call.subject}: the server's answer has no {exc}", hint=_REACH)
    inner = getattr(exc, "kwargs", {}).get("error")
    if isinstance(inner, VaultdError):  # raised by the body while boto3 was sending it
        return inner
    if isinstance(exc, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return StorageError(f"{call.subject}: the server's certificate is not trusted", hint=_TRUST)
    kind, hint = next(
        (kind for classes, kind in _BY_CLASS if isinstance(exc, classes)), (StorageError, None)
    )
    return kind(f"{call.subject}: {_one_line(str(exc))}", hint=hint)


def server_ahead_s(headers: Mapping[str, Any], now_ns: int) -> float | None:
    """Return how far the clock behind a ``Date`` header is ahead of ours; ``None`` without one."""
    try:
        date = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return None
    return date.timestamp() + 0.5 - now_ns / 1e9  # the header has whole seconds, cut off


def status_of(exc: boto.ClientError) -> int:
    """Return the HTTP status of an answer; 0 when there was none."""
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _answer(exc: boto.ClientError, call: Call) -> VaultdError:
    status = status_of(exc)
    error = exc.response.get("Error", {})
    code = error.get("Code", "")
    text = f"{call.subject}: {code or status}: {_one_line(error.get('Message', ''))}".rstrip(": ")
    if code == "RequestTimeTooSkewed":
        return _skewed(exc, call)
    if code in _THROTTLING or status in _THROTTLING_STATUS:
        return StorageUnavailableError(text, throttled=True)
    if code == "InvalidRequest" and "lock" in call.operation:
        return StorageError(f"{text}: the bucket has no object lock", hint=_UNLOCKABLE)
    kind, hint = _BY_CODE.get(code) or _BY_STATUS.get(status) or _by_range(status, call)
    plainly: dict[type[VaultdError], str] = {
        ObjectExistsError: f"{call.subject}: exists already",
        ObjectNotFoundError: f"{call.subject}: not found in {call.place}",
        VaultNotFoundError: f"{call.place}: there is no such bucket",
    }
    return kind(plainly.get(kind, text), hint=hint)


def _by_range(status: int, call: Call) -> _Kind:
    if status in (401, 403):
        right = _RIGHTS[call.operation]
        return AccessDeniedError, f"Give these credentials the right {right} on {call.place}."
    if status >= 500:  # noqa: PLR2004 - the server's own failures begin here
        return StorageUnavailableError, None
    return StorageError, None


def _skewed(exc: boto.ClientError, call: Call) -> VaultdError:
    headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    ahead_s = server_ahead_s(headers, call.now_ns)
    apart = "" if ahead_s is None else f" by {abs(ahead_s):.0f} s"
    way = "behind" if ahead_s is not None and ahead_s > 0 else "ahead of"
    return StorageError(
        f"{call.subject}: refused, because this machine's clock is {way} the server's{apart}",
        hint="Set this machine's clock, or the server's, whichever is wrong.",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200].rstrip(".")
