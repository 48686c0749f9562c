"""Reads test vectors: ``name: value`` lines, long hexadecimal values on indented lines below.

``kind`` says what is tried, ``expect`` is ``ok`` or the name of the error that must come.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vaultd.core import errors

FOLDER = Path(__file__).parents[2] / "vectors" / "crypto"


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector: its name and its fields as text."""

    name: str
    fields: dict[str, str]

    def raw(self, field: str) -> bytes:
        """Return a hexadecimal field, empty when it is not there."""
        return bytes.fromhex(self.fields.get(field, ""))

    @property
    def error(self) -> type[errors.VaultdError] | None:
        """The error that must come, or ``None``."""
        expect = self.fields["expect"]
        if expect == "ok":
            return None
        found: type[errors.VaultdError] = getattr(errors, expect)
        return found


def load(kind: str) -> list[Vector]:
    """Return all vectors of one kind, sorted by name; there must be some."""
    vectors = [
        Vector(path.stem, _fields(path.read_text(encoding="utf-8")))
        for path in sorted(FOLDER.glob("*.vec"))
    ]
    chosen = [vector for vector in vectors if vector.fields["kind"] == kind]
    assert chosen, kind
    return chosen


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith(" "):
            fields[name] += line.strip()
        else:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields
