"""A bucket for the S3 jobs: the test server, in a process of its own that dies with this one."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from perf.programs import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket that holds the vaults of all S3 jobs, each below a prefix of its own.

    Attributes:
        url: Of the bucket: ``http://127.0.0.1:PORT/BUCKET``.
        access_key: Who may write there.
        secret_key: The same.
    """

    url: str
    access_key: str
    secret_key: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def place(self, folder: Path) -> Place:
        """Return a place for one vault, with a prefix that no other has."""
        return Place(
            folder=folder,
            bucket=f"{self.url}/v{next(self._numbers)}",
            secrets={
                "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key,
                "AWS_DEFAULT_REGION": "us-east-1",
            },
        )


@contextmanager
def served_bucket() -> Iterator[Bucket]:
    """Run the server for a while.

    Raises:
        RuntimeError: It does not work; what it said is on standard error.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "perf.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        text=True,
    ) as server:
        said = server.stdout.readline() if server.stdout is not None else ""
        if not said:
            raise RuntimeError("the S3 server for the measurements did not start")
        yield Bucket(**json.loads(said))
        # Leaving closes its standard input, which is what it waits for.
