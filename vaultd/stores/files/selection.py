"""Which entries of a directory are captured: patterns, tags, size, flags."""

from __future__ import annotations

import os
import stat
from typing import Protocol

from vaultd.core.tree import MODE, SIZE
from vaultd.stores.files.attributes import FLAG_NODUMP, AttributeReader
from vaultd.stores.files.descriptors import DIRECTORY_FLAGS, FILE_FLAGS, Opener
from vaultd.stores.files.exclude import FolderRules, Rules
from vaultd.stores.files.options import CaptureOptions
from vaultd.stores.files.rows import WIDTH, Rows

CACHE_TAG = b"CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
"""First bytes of a cache directory tag. Source: bford.info/cachedir, version 0.6."""

_NONE: frozenset[bytes] = frozenset()


class Place(Protocol):
    """What the selection knows of a directory: an open `vaultd.stores.files.walk.Frame`."""

    path: bytes
    fd: int
    rule: int
    rules: FolderRules | None


class Selection:
    """Decides what is captured; costs nothing where no option asks for it.

    Args:
        options: What is left out.
        opener: Opens entries whose flags or contents decide.

    Raises:
        ConfigError: A pattern cannot be understood.
    """

    def __init__(self, options: CaptureOptions, opener: Opener) -> None:
        patterns = options.exclude or options.iexclude
        self._rules = Rules(options.exclude, options.iexclude) if patterns else None
        self._tags = frozenset(os.fsencode(name) for name in options.exclude_if_present)
        self._caches = options.exclude_caches
        self._limit = options.exclude_larger_than_bytes
        self._nodump = options.exclude_nodump
        self._opener = opener
        self._reader = AttributeReader(options)

    def by_name(self, place: Place, names: list[bytes]) -> tuple[list[bytes], frozenset[bytes]]:
        """Leave out what its name, or a tag beside it, excludes.

        Args:
            place: The directory; its rules are set.
            names: All names in it, ascending.

        Returns:
            What is left, and which of it depends on whether it is a directory.

        Raises:
            OSError: A tag cannot be read.
        """
        if self._tags or self._caches:
            tag = self._tag_in(place.fd, names)
            if tag is not None:
                names = [tag]
        if self._rules is None:
            return names, _NONE
        place.rules = self._rules.at(place.path, place.rule)
        names, doubtful = place.rules.sift(names)
        return names, frozenset(doubtful)

    def by_status(self, place: Place, rows: Rows, doubtful: frozenset[bytes]) -> Rows:
        """Leave out what its type, size or flags exclude."""
        gone: set[bytes] = set()
        if doubtful and place.rules is not None:
            folders = {name for name, _ in rows.folders}
            for name in doubtful.intersection(rows.names):
                if place.rules.leaves_out(name, directory=name in folders):
                    gone.add(name)
        if self._limit:
            gone |= _larger(rows, self._limit)
        if self._nodump:
            gone |= self._not_to_dump(place, rows)
        return rows.without(gone) if gone else rows

    def _tag_in(self, fd: int, names: list[bytes]) -> bytes | None:
        present = sorted(self._tags.intersection(names)) if self._tags else []
        if present:
            return present[0]
        if self._caches and CACHE_TAG in names and self._is_cache(fd):
            return CACHE_TAG
        return None

    def _is_cache(self, folder: int) -> bool:
        try:
            fd = self._opener.open(CACHE_TAG, folder, FILE_FLAGS)
        except OSError:
            return False  # a link or unreadable: not a tag by the specification
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return False
            return os.read(fd, len(CACHE_SIGNATURE)) == CACHE_SIGNATURE
        finally:
            os.close(fd)

    def _not_to_dump(self, place: Place, rows: Rows) -> set[bytes]:
        found = set()
        for name, mode in zip(rows.names, rows.numbers[MODE::WIDTH], strict=True):
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                flags = DIRECTORY_FLAGS if stat.S_ISDIR(mode) else FILE_FLAGS
                try:
                    fd = self._opener.open(name, place.fd, flags)
                except OSError:
                    continue  # reported when it is opened to be stored
                try:
                    if self._reader.flags_of(fd) & FLAG_NODUMP:
                        found.add(name)
                finally:
                    os.close(fd)
        return found


def _larger(rows: Rows, limit: int) -> set[bytes]:
    sizes = rows.numbers[SIZE::WIDTH]
    if not sizes or max(sizes) <= limit:
        return set()
    return {
        name
        for name, mode, size in zip(rows.names, rows.numbers[MODE::WIDTH], sizes, strict=True)
        if size > limit and stat.S_ISREG(mode)
    }
