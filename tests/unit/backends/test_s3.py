"""S3 settings, and what becomes of every kind of answer and of no answer at all."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from botocore.utils import parse_timestamp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from msgspec.structs import replace
from urllib3.exceptions import InsecureRequestWarning

from tests.support.s3 import ScriptedServer, answer, credentials, environment, refusal
from vaultd.backends.base import Backend, Spooled
from vaultd.backends.s3.backend import S3Backend
from vaultd.backends.s3.connection import moment
from vaultd.backends.s3.options import Conditional, S3Options
from vaultd.core.clock import SystemClock
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

LOOPBACK = ipaddress.ip_address("127.0.0.1")
IN_B = S3Options(bucket="b", prefix="p")
DATE = "Mon, 23 Nov 2026 12:00:00 GMT"


class HurriedClock(SystemClock):
    """A clock on which an hour passes between two looks."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic_s(self) -> float:
        self.looks += 1
        return 3600.0 * self.looks

    def sleep(self, seconds: float) -> None: ...


@contextlib.contextmanager
def backend_at(endpoint: str, chosen: S3Options = IN_B) -> Iterator[S3Backend]:
    options = replace(chosen, endpoint=endpoint)
    with credentials("key", "secret"), S3Backend(options, clock=HurriedClock()) as backend:
        yield backend


@contextlib.contextmanager
def scripted(*answers: bytes) -> Iterator[tuple[ScriptedServer, S3Backend]]:
    with ScriptedServer(answers) as server, backend_at(server.endpoint) as backend:
        yield server, backend


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (S3Options(bucket="b"), "s3://b"),
        (S3Options(bucket="b", prefix="a/b"), "s3://b/a/b"),
        (S3Options(bucket="b", endpoint="https://s3.x:9000/"), "s3:https://s3.x:9000/b"),
        (S3Options(bucket="b", prefix="p", endpoint="http://[::1]:1"), "s3:http://[::1]:1/b/p"),
        (S3Options(bucket="b", endpoint="http://x", insecure_tls=True), "s3:http://x/b"),
    ],
)
def test_a_place_is_shown_as_a_url(options: S3Options, expected: str) -> None:
    assert expected == options.location


@pytest.mark.parametrize(
    "make",
    [
        lambda: S3Options(bucket=""),
        lambda: S3Options(bucket="a/b"),
        lambda: S3Options(bucket="b", prefix="/a"),
        lambda: S3Options(bucket="b", prefix="a/"),
        lambda: S3Options(bucket="b", prefix="../a"),
        lambda: S3Options(bucket="b", prefix="a" * 124),
        lambda: S3Options(bucket="b", endpoint="s3.example.org"),
        lambda: S3Options(bucket="b", endpoint="ftp://s3.example.org"),
        lambda: S3Options(bucket="b", endpoint="http://s3.example.org"),
        lambda: S3Options(bucket="b", endpoint="http://10.0.0.1:9000"),
        lambda: S3Options(bucket="b", endpoint="https://key:secret@s3.example.org"),
        lambda: S3Options(bucket="b", storage_class="DEEP_ARCHIVE"),
    ],
    ids=itertools.count(),
)
def test_settings_that_cannot_be_right_are_refused(make: Callable[[], S3Options]) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.hint
    assert "secret" not in caught.value.message


def test_options_do_not_load_boto3() -> None:
    program = "import sys, vaultd.backends.s3.options; print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"False\n" == done.stdout


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "BadDigest", CorruptObjectError),
        (400, "RequestTimeout", StorageUnavailableError),
        (400, "AuthorizationHeaderMalformed", StorageError),
        (400, "SomethingNew", StorageError),
        (401, "Unauthorized", AccessDeniedError),
        (403, "AccessDenied", AccessDeniedError),
        (403, "InvalidAccessKeyId", AccessDeniedError),
        (403, "SignatureDoesNotMatch", AccessDeniedError),
        (403, "ExpiredToken", AccessDeniedError),
        (403, "QuotaExceeded", NoSpaceError),
        (404, "NoSuchBucket", VaultNotFoundError),
        (404, "NoSuchKey", ObjectNotFoundError),
        (408, "", StorageUnavailableError),
        (409, "ConditionalRequestConflict", StorageUnavailableError),
        (412, "PreconditionFailed", ObjectExistsError),
        (429, "TooManyRequests", StorageUnavailableError),
        (500, "InternalError", StorageUnavailableError),
        (501, "NotImplemented", StorageError),
        (502, "", StorageUnavailableError),
        (503, "SlowDown", StorageUnavailableError),
        (507, "XMinioStorageFull", NoSpaceError),
    ],
)
def test_each_answer_has_its_error(status: int, code: str, expected: type[VaultdError]) -> None:
    with scripted(refusal(status, code)) as (_, backend):
        with pytest.raises(VaultdError) as caught:
            backend.put("snap/x", b"body")
        assert expected is type(caught.value)
        subject = backend.location if expected is VaultNotFoundError else "object snap/x"
        assert caught.value.message.startswith(f"{subject}: ")
        assert not caught.value.message.endswith(".")
        if isinstance(caught.value, StorageUnavailableError):
            assert (status in (429, 503)) is caught.value.throttled


@pytest.mark.parametrize(
    ("method", "right"),
    [
        ("put", "s3:PutObject"),
        ("get", "s3:GetObject and s3:ListBucket"),
        ("head", "s3:GetObject and s3:ListBucket"),
        ("list", "s3:ListBucket"),
        ("delete", "s3:DeleteObject"),
    ],
)
def test_a_missing_right_is_named(method: str, right: str) -> None:
    with scripted(refusal(403, "AccessDenied")) as (_, backend):
        calls: dict[str, Callable[[], object]] = {
            "put": lambda: backend.put("x", b""),
            "get": lambda: backend.get("x"),
            "head": lambda: backend.head("x"),
            "list": lambda: list(backend.list("x")),
            "delete": lambda: backend.delete("x"),
        }
        with pytest.raises(AccessDeniedError) as caught:
            calls[method]()
        assert f"Give these credentials the right {right} on {backend.location}." == (
            caught.value.hint
        )


def test_a_clock_that_is_wrong_is_measured() -> None:
    there = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    with scripted(refusal(403, "RequestTimeTooSkewed", date=there)) as (_, backend):
        with pytest.raises(StorageError, match=r"clock is behind the server's by (7199|72\d\d) s"):
            backend.get("x")
        assert 7190 < backend.bucket.server_clock_skew_s(samples=3) < 7210


def test_a_server_that_does_not_tell_its_time_is_an_error() -> None:
    with (
        scripted(answer(200)) as (_, backend),
        pytest.raises(StorageError, match="does not tell its time"),
    ):
        backend.bucket.server_clock_skew_s()


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_a_body_cut_short_is_unavailable(size: int) -> None:
    cut = answer(200, b"x" * (size // 2), length=size, Last_Modified=DATE)
    with (
        scripted(cut) as (_, backend),
        pytest.raises(StorageUnavailableError, match="object x: "),
    ):
        backend.get("x")


@pytest.mark.parametrize(
    "wrong",
    [
        answer(200, b"0123456789"),
        answer(206, b"345", Content_Range="bytes 3-5/10"),
        answer(206, b"23", Content_Range="bytes 2-3/10"),
        answer(206, b"234", Content_Range="bytes 2-4/*"),
    ],
)
def test_another_range_than_asked_for_is_refused(wrong: bytes) -> None:
    with (
        scripted(wrong) as (_, backend),
        pytest.raises(StorageError, match="the server sent range"),
    ):
        backend.get("x", offset=2, length=3)


def test_a_page_that_is_no_s3_answer_is_unavailable() -> None:
    portal = answer(200, b"<html><body>Please log in<br></body></html>", Content_Type="text/html")
    with scripted(portal) as (_, backend), pytest.raises(StorageUnavailableError):
        list(backend.list(""))


def test_an_object_too_big_to_be_ours_is_not_loaded() -> None:
    with (
        scripted(answer(200, b"x", length=1 << 40)) as (_, backend),
        pytest.raises(StorageError, match=r"1\.00 TiB, expected at most 64\.0 MiB"),
    ):
        backend.get("x")


def test_an_answer_that_lacks_a_part_is_an_error() -> None:
    item = b"<ListBucketResult><Contents><Key>p/a</Key></Contents></ListBucketResult>"
    for method, bare in (("head", answer(200)), ("list", answer(200, item))):
        with scripted(bare) as (_, backend), pytest.raises(StorageError, match="answer has no '"):
            backend.head("a") if method == "head" else list(backend.list(""))


def page(names: list[str], token: str = "") -> bytes:
    items = "".join(
        f"<Contents><Key>{name}</Key><Size>1</Size>"
        "<LastModified>2026-11-23T12:00:00.000Z</LastModified></Contents>"
        for name in names
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = "true" if token else "false"
    text = (
        f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{items}</ListBucketResult>"
    )
    return answer(200, text.encode("ascii"), Content_Type="application/xml")


def test_a_listing_is_put_in_order_and_cleared_of_doubles_and_strangers() -> None:
    pages = (
        page(["p/", "p/a/1", "p/a/", "p/a-1"], "next"),
        page(["p/a-1", "p/b", "p/a b", "p/../q", "other"]),
    )
    with scripted(*pages) as (server, backend):
        assert ["a-1", "a/1", "b"] == [info.name for info in backend.list("")]
        assert "continuation-token=next" in server.requests[1]


def test_one_bad_page_does_not_begin_the_listing_anew() -> None:
    bad = refusal(503, "SlowDown")
    with scripted(page(["p/a"], "t"), bad, bad, page(["p/b"])) as (server, backend):
        assert ["a", "b"] == [info.name for info in backend.list("")]
        assert 4 == len(server.requests)


def test_a_listing_whose_later_pages_never_come_fails() -> None:
    with scripted(page(["p/a"], "t"), refusal(500, "InternalError")) as (server, backend):
        with pytest.raises(StorageUnavailableError):
            list(backend.list(""))
        assert 6 == len(server.requests)


def test_a_listing_cut_without_a_way_on_fails() -> None:
    cut = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    with scripted(answer(200, cut)) as (_, backend), pytest.raises(StorageError, match="no way"):
        list(backend.list(""))


def test_a_server_that_trickles_is_given_up() -> None:
    with (
        scripted(answer(200, b"x" * 2_000_000, Last_Modified=DATE)) as (_, backend),
        pytest.raises(StorageUnavailableError, match="object x: the server sent less than"),
    ):
        backend.get("x")
    fd = os.memfd_create("body")
    os.truncate(fd, 100)
    with (
        scripted(answer(100) + answer(200)) as (_, backend),
        pytest.raises(StorageUnavailableError, match="object x: the server took less than"),
    ):
        backend.put("x", Spooled(fd=fd, size=100))
    os.close(fd)


def test_a_spooled_body_that_ends_early_is_not_blamed_on_the_server() -> None:
    fd = os.memfd_create("body")
    os.truncate(fd, 99)
    body = Spooled(fd=fd, size=100)
    with (
        ScriptedServer([answer(100) + answer(200)]) as server,
        credentials("key", "secret"),
        S3Backend(replace(IN_B, endpoint=server.endpoint)) as backend,
    ):
        for sha256 in (None, bytes(32)):  # noticed while hashing, and while sending
            with pytest.raises(StorageError, match="ends at byte 99, expected 100") as caught:
                backend.put("x", body, sha256=sha256)
            assert not caught.value.retryable
    os.close(fd)


def test_without_the_header_a_put_looks_first() -> None:
    there = answer(200, Last_Modified=DATE)
    with (
        ScriptedServer([there]) as server,
        backend_at(server.endpoint, replace(IN_B, conditional=Conditional.NONE)) as backend,
    ):
        with pytest.raises(ObjectExistsError):
            backend.put("x", b"")
        assert ["HEAD"] == [request.partition(" ")[0] for request in server.requests]
    with (
        ScriptedServer([answer(404), answer(200)]) as server,
        backend_at(server.endpoint, replace(IN_B, conditional=Conditional.NONE)) as backend,
    ):
        backend.put("x", b"")
        assert ["HEAD", "PUT"] == [request.partition(" ")[0] for request in server.requests]
        assert "if-none-match" not in server.requests[1].lower()


def test_a_put_carries_condition_checksum_and_class() -> None:
    with (
        ScriptedServer([answer(200)]) as server,
        backend_at(server.endpoint, replace(IN_B, storage_class="STANDARD_IA")) as backend,
    ):
        backend.put("small", b"abc")
        backend.put("big", b"abc" * 100_000)
        small, big = server.requests
    assert small.startswith("PUT /b/p/small HTTP/1.1")
    assert "If-None-Match: *" in small
    assert "x-amz-checksum-sha256: ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=" in small
    assert "UNSIGNED-PAYLOAD" in small
    assert "crc32" not in small.lower()
    assert "STANDARD_IA" not in small
    assert "x-amz-storage-class: STANDARD_IA" in big


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with (
        backend_at(f"http://127.0.0.1:{closed_port()}") as backend,
        pytest.raises(StorageUnavailableError, match="object x: ") as caught,
    ):
        backend.get("x")
    assert "Check the endpoint, the network and the server." == caught.value.hint


def test_tls_with_a_server_that_speaks_none_is_unavailable() -> None:
    with (
        ScriptedServer([b"no tls here\n" * 10]) as server,
        backend_at(server.endpoint.replace("http:", "https:")) as backend,
        pytest.raises(StorageUnavailableError),
    ):
        backend.get("x")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key, in one file."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOOPBACK)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + signed.public_bytes(Encoding.PEM))
    return path


def test_a_certificate_must_be_trusted_unless_that_is_switched_off(certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    contents = answer(200, b"contents", Last_Modified=DATE)
    with ScriptedServer([contents], tls=tls) as server:
        with (
            backend_at(server.endpoint) as backend,
            pytest.raises(StorageError, match="certificate is not trusted") as caught,
        ):
            backend.get("x")
        assert "ca_bundle" in (caught.value.hint or "")
        assert not caught.value.retryable
        with backend_at(server.endpoint, replace(IN_B, ca_bundle=str(certificate))) as backend:
            assert b"contents" == backend.get("x")
        with (
            backend_at(server.endpoint, replace(IN_B, insecure_tls=True)) as backend,
            pytest.warns(InsecureRequestWarning),
        ):
            assert b"contents" == backend.get("x")


def test_missing_credentials_are_a_matter_of_settings() -> None:
    nowhere = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_CONFIG_FILE": "/nonexistent",
    }
    options = S3Options(bucket="b", endpoint="http://127.0.0.1:1")
    with environment(**nowhere), S3Backend(options) as backend:
        with pytest.raises(ConfigError) as caught:
            backend.get("x")
        assert "AWS_ACCESS_KEY_ID" in (caught.value.hint or "")
        with pytest.raises(ConfigError):
            S3Backend(S3Options(bucket="b", profile="nobody"))


def test_a_missing_ca_bundle_is_a_matter_of_settings() -> None:
    with pytest.raises(ConfigError, match="ca_bundle"):
        S3Backend(S3Options(bucket="b", ca_bundle="/nonexistent/ca.pem"))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00.123Z",
        "2026-11-23T12:00:00Z",
        "Mon, 23 Nov 2026 12:00:00 GMT",
        "2026-11-23 12:00:00+01:00",
        "1795435200",
    ],
)
def test_times_are_read_as_boto3_reads_them(text: str) -> None:
    assert parse_timestamp(text) == moment(text)


def test_it_is_a_backend() -> None:
    with backend_at("http://127.0.0.1:1") as opened:
        backend: Backend = opened
        assert backend.spool is None
        assert "s3:http://127.0.0.1:1/b/p" == backend.location
