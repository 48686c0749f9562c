"""Writes the vectors that are not there yet: ``python -m tests.vectors.format.make``.

A vector that exists is neither changed nor removed: every later version must say the same about it
(FORMAT.md 14).
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.vectors.format import contents, objects
from tests.vectors.format.vector import FOLDER, Vector


def vectors() -> Iterator[Vector]:
    """Yield every vector of this version."""
    for group in (
        objects.frames,
        objects.signatures,
        objects.messagepack,
        objects.sessions,
        objects.key_objects,
        objects.packs_as_objects,
        contents.packs,
        contents.records,
        contents.pieces,
        contents.index_parts,
        contents.sections,
        contents.trees,
    ):
        yield from group()


def main() -> None:
    """Write what is missing."""
    for vector in vectors():
        path = FOLDER / f"{vector.name}.vec"
        if not path.exists():
            path.write_text(vector.text(), "ascii")


if __name__ == "__main__":
    main()
