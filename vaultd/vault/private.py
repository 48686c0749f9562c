"""Files for their owner's eyes only: read with suspicion, written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vaultd.core.errors import KeyringError

OWNER_ONLY = 0o077
"""Permissions that a file of ours must not give."""

NOT_WORLD = 0o007
"""Permissions that a file given to us must not give: its group may be the daemon's."""

LIMIT = 16 << 20

GIVEN_LIMIT = 64 << 10
"""Longest passphrase or key that a person may give."""


def read_private(path: Path, *, forbidden: int = OWNER_ONLY) -> bytes | None:
    """Return what a file holds, or ``None`` when there is none.

    Args:
        path: The file; a link is followed.
        forbidden: Permission bits that it must not have.

    Raises:
        KeyringError: Others may read it, it is no regular file, too long, or cannot be read.
    """
    try:
        # Without blocking, or a fifo would hold us here.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise KeyringError(f"{path}: cannot be opened: {exc.strerror}") from exc
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise KeyringError(f"{path}: is not a regular file")
        _check_mode(path, status, forbidden)
        with os.fdopen(fd, "rb", closefd=False) as file:
            contents = file.read(LIMIT + 1)
    except OSError as exc:
        raise KeyringError(f"{path}: cannot be read: {exc.strerror}") from exc
    finally:
        os.close(fd)
    if len(contents) > LIMIT:
        raise KeyringError(f"{path}: more than {LIMIT} bytes, which no key file has")
    return contents


def read_given(path: Path, *, what: str) -> bytes:
    """Return a secret that a person gives as a file; a pipe, as of the shell's ``<(…)``, will do.

    Args:
        path: The file.
        what: Names it in messages.

    Raises:
        KeyringError: It is not there, everybody can read it, or it is too long for a secret.
    """
    try:
        if stat.S_ISREG(path.stat().st_mode):
            contents = read_private(path, forbidden=NOT_WORLD) or b""
        else:
            with path.open("rb") as file:
                contents = file.read(GIVEN_LIMIT + 1)
    except OSError as exc:
        raise KeyringError(f"{what} {path}: cannot be read: {exc.strerror}") from exc
    except KeyringError as exc:
        raise KeyringError(f"{what} {exc.message}", hint=exc.hint) from exc
    if len(contents) > GIVEN_LIMIT:
        raise KeyringError(f"{what} {path}: more than {GIVEN_LIMIT} bytes, too long for a secret")
    return contents


def write_private(path: Path, contents: bytes) -> None:
    """Create or replace a file, mode 0600; after a crash it holds the old or the new contents.

    Raises:
        KeyringError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o600)
            file.write(contents)
            file.flush()
            os.fsync(fd)
        os.replace(beside, path)
        _sync_folder(path.parent)
    except OSError as exc:
        raise KeyringError(f"{path}: cannot be written: {exc.strerror}") from exc


def remove_private(path: Path) -> None:
    """Remove a file; one that is not there is fine.

    Raises:
        KeyringError: It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as exc:
        raise KeyringError(f"{path}: cannot be removed: {exc.strerror}") from exc


def make_folder(path: Path) -> None:
    """Make a folder, mode 0700, and those above it; one that is there is checked instead.

    Raises:
        KeyringError: It cannot be made, or others may enter it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise KeyringError(f"{path}: cannot be made: {exc.strerror}") from exc
    check_folder(path)


def check_folder(path: Path) -> None:
    """Refuse a folder that others may enter.

    Raises:
        KeyringError: They may, or it is not there.
    """
    try:
        status = path.stat()
    except OSError as exc:
        raise KeyringError(f"{path}: cannot be looked at: {exc.strerror}") from exc
    _check_mode(path, status, OWNER_ONLY)


def _check_mode(path: Path, status: os.stat_result, forbidden: int) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & forbidden:
        wanted = "700" if stat.S_ISDIR(status.st_mode) else "600"
        raise KeyringError(
            f"{path}: mode {mode:04o} lets others at it",
            hint=f"Run `chmod {wanted} {path}`, and think about who may have read it.",
        )


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
