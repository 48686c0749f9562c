"""Test vectors of the format as files: headers, an empty line, the bytes in base64.

``kind`` names a decoder, ``expect`` what it must say: ``ok``, ``malformed``, ``unsupported`` or
``corrupt``; ``comment`` is the one thing that the vector tries; other headers are its keys.
"""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector; its file is ``<name>.vec``."""

    name: str
    kind: str
    expect: str
    comment: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the vector as its file says it."""
        headers = {"kind": self.kind, "expect": self.expect, "comment": self.comment}
        lines = [f"{name}: {value}" for name, value in {**headers, **self.headers}.items()]
        body = textwrap.wrap(base64.b64encode(self.body).decode("ascii"), 76)
        return "\n".join([*lines, "", *body]) + "\n"


def read(path: Path) -> Vector:
    """Return the vector in a file."""
    head, _, body = path.read_text("ascii").partition("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines())
    kind, expect, comment = (headers.pop(name) for name in ("kind", "expect", "comment"))
    return Vector(path.stem, kind, expect, comment, base64.b64decode(body), headers)


def read_all() -> list[Vector]:
    """Return every vector, by name."""
    return [read(path) for path in sorted(FOLDER.glob("*.vec"))]
