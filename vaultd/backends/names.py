"""Which object names a backend takes: those that every kind of backend stores alike.

Checked on the way in, so that no name escapes from its folder or bucket prefix, and on the way
out, so that a listing shows nothing that could not have been put.
"""

from __future__ import annotations

import re

from vaultd.core.errors import StorageError

MAX_NAME_BYTES = 900
"""Longest name; S3 has room for 1024, prefix of the vault included."""

# Without the plus sign, which some servers take for a space, and file systems for lost+found.
_CHARACTERS = "[A-Za-z0-9_~=@,.-]"
# No component starts with a dot: that rules out "." and "..", and leaves those names to what the
# backend and the system keep beside the objects (temporary files, snapshots, trash).
_COMPONENT = rf"(?!\.){_CHARACTERS}{{1,255}}"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_PREFIX = re.compile(rf"(?:{_COMPONENT}/)*(?:{_COMPONENT})?", re.ASCII)


def is_name(text: str) -> bool:
    """Tell whether ``text`` can be the name of an object."""
    return len(text) <= MAX_NAME_BYTES and _NAME.fullmatch(text) is not None


def is_component(text: str) -> bool:
    """Tell whether ``text`` can stand between two slashes of a name."""
    return "/" not in text and is_name(text)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of an object.

    Raises:
        StorageError: It is empty, absolute or too long, leaves its folder, or has a character that
            some backend does not keep.
    """
    if not is_name(name):
        raise StorageError(f"object {name[:80]!r}: not a name that a backend takes")


def check_prefix(prefix: str) -> None:
    """Refuse what cannot be the beginning of an object's name; ``""`` is fine.

    Raises:
        StorageError: No name could begin so.
    """
    if len(prefix) > MAX_NAME_BYTES or _PREFIX.fullmatch(prefix) is None:
        raise StorageError(f"prefix {prefix[:80]!r}: no name of an object begins so")
