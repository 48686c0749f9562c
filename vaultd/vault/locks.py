"""Locks between the processes of one machine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaultd.core.errors import LockedError


@contextmanager
def file_lock(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file; it goes with the process, so it never becomes stale.

    Raises:
        LockedError: Another process holds it.
    """
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(
                f"{what}: another vaultd process is at work on it",
                hint="Wait until it has finished; nothing needs to be unlocked by hand.",
            ) from error
        yield
    finally:
        os.close(fd)
