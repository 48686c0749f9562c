"""When everything on a target was last read, and what was found: ``readings.json``.

This machine's own word, kept for those who count copies. It says nothing of what came later.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from vaultd.core.errors import MalformedObjectError
from vaultd.format.machine import ReadingBody, ReadingsFile, decode_file, encode_file
from vaultd.vault.private import read_private, write_private

FILE = "readings.json"


class Reading(Struct, frozen=True, kw_only=True):
    """One reading of all that a target holds.

    Attributes:
        at_ns: When.
        errors: Damaged objects.
    """

    at_ns: int
    errors: int


def read(folder: Path) -> dict[str, Reading]:
    """Return the last reading of each target, by its location; none when the file is damaged.

    Raises:
        KeyringError: Others may read the file.
    """
    contents = read_private(folder / FILE)
    if contents is None:
        return {}
    try:
        file = decode_file(ReadingsFile, contents, what=FILE)
    except MalformedObjectError:
        return {}
    return {
        location: Reading(at_ns=body.at_ns, errors=body.errors)
        for location, body in file.readings.items()
    }


def record(folder: Path, location: str, reading: Reading) -> None:
    """Remember a reading, durably.

    Raises:
        KeyringError: The file cannot be written.
    """
    known = read(folder) | {location: reading}
    bodies = {
        place: ReadingBody(at_ns=one.at_ns, errors=one.errors) for place, one in known.items()
    }
    write_private(folder / FILE, encode_file(ReadingsFile(readings=bodies)))
