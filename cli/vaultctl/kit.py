"""The kit: what a new vault's owner prints, carries away and keeps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from vaultd.core.errors import ConfigError


class KitFile(Struct, frozen=True, kw_only=True):
    """One file of a kit.

    Attributes:
        name: Its name.
        text: What it holds.
        advice: What to do with it, as a sentence for the list of files.
    """

    name: str
    text: str
    advice: str


def check_kit(folder: Path) -> None:
    """Refuse a place where a kit cannot be written, before any key is drawn.

    Raises:
        ConfigError: It holds something already, or cannot be made.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"{folder}: there is something already, and keys never replace other keys",
                hint="Give an empty or new folder with --kit.",
            )
        parent = folder.absolute().parent
        if not folder.exists() and not parent.is_dir():
            raise ConfigError(f"{parent}: is no folder", hint="Make it, or give another --kit.")
    except OSError as exc:
        raise ConfigError(f"{folder}: cannot be used for keys: {exc.strerror}") from exc


def write_kit(folder: Path, files: Sequence[KitFile]) -> None:
    """Write a kit for its owner's eyes only; durable when this returns.

    Args:
        folder: Where; made when it is not there, mode 0700.
        files: What.

    Raises:
        ConfigError: Something cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for file in files:
            _write(folder / file.name, file.text)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as exc:
        raise ConfigError(
            f"{exc.filename or folder}: cannot be written: {exc.strerror}",
            hint="Give another folder with --kit; the vault was not made.",
        ) from exc


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
