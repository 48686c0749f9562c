"""What tests of S3 share: credentials where boto3 looks for them, and a server that misbehaves."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from typing import Self

from tests.support.seaweed import Seaweed
from vaultd.backends.s3.backend import S3Backend
from vaultd.backends.s3.options import S3Options

_TLS_HELLO = b"\x16"


@contextlib.contextmanager
def environment(**names: str) -> Iterator[None]:
    """Set names in the environment of this process for a while."""
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def credentials(access_key: str, secret_key: str) -> contextlib.AbstractContextManager[None]:
    """Set the AWS credentials of this process for a while."""
    return environment(AWS_ACCESS_KEY_ID=access_key, AWS_SECRET_ACCESS_KEY=secret_key)


@contextlib.contextmanager
def bucket_of(seaweed: Seaweed, *, prefix: str | None = None) -> Iterator[S3Backend]:
    """Open a backend on the plain test bucket, in a place of its own."""
    place = (seaweed.prefix() if prefix is None else prefix).rstrip("/")
    options = S3Options(bucket=seaweed.bucket, prefix=place, endpoint=seaweed.endpoint)
    with (
        credentials(seaweed.access_key, seaweed.secret_key),
        S3Backend(options) as backend,
    ):
        yield backend


class ScriptedServer:
    """A server on this machine that gives prepared answers, one a connection, and hangs up.

    Args:
        answers: Whole HTTP answers, head and body; the last one is given for ever.
        tls: Speak TLS, with this certificate.

    Attributes:
        endpoint: Its URL.
        requests: What was asked, one head a connection.
    """

    def __init__(self, answers: Sequence[bytes], *, tls: ssl.SSLContext | None = None) -> None:
        self._answers = list(answers)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        scheme = "http" if tls is None else "https"
        self.endpoint = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            with connection, contextlib.suppress(OSError):
                if self._tls is None:
                    self._answer(connection)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as secured:
                        self._answer(secured)

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and not head.startswith(_TLS_HELLO):
            block = connection.recv(65536)
            if not block:
                return
            head += block
        self.requests.append(head.partition(b"\r\n\r\n")[0].decode("latin-1"))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        connection.sendall(answer)


def answer(status: int, body: bytes = b"", *, length: int | None = None, **headers: str) -> bytes:
    """Return an HTTP answer; underscores in names of headers become dashes."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {size}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def refusal(status: int, code: str, *, date: str = "") -> bytes:
    """Return an S3 error."""
    body = f"<Error><Code>{code}</Code><Message>Scripted {code}.</Message></Error>".encode("ascii")
    return answer(status, body, Content_Type="application/xml", Date=date)
