"""What is backed up: the stores, opened for reading."""

from __future__ import annotations

from collections.abc import Callable

from vaultd.core.events import Observer
from vaultd.stores.files.capture import FilesCapture
from vaultd.stores.files.exclude import read_patterns
from vaultd.stores.files.options import CaptureOptions
from vaultd.wiring.system import system_clock

__all__ = ["CaptureOptions", "files_capture", "read_patterns"]


def files_capture(
    roots: tuple[bytes, ...], options: CaptureOptions
) -> Callable[[Observer], FilesCapture]:
    """Return what opens file trees for one pass, given who hears of their problems.

    Args:
        roots: Absolute paths.
        options: What to leave out and to take along.
    """
    return lambda observer: FilesCapture(roots, options, system_clock(), observer)
