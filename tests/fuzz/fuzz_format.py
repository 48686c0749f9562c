"""Coverage-guided fuzzing of every decoder, where atheris (below 3.1) is installed.

Run ``python -m tests.fuzz.fuzz_format [folder] [libFuzzer options]``: it stops at the first
exception that is no `VaultdError`. The first byte of an input chooses the decoder.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

from tests.unit.format.decoders import DECODERS, outcome_of
from tests.vectors.format.vector import read_all

KINDS = sorted(DECODERS)


def one(data: bytes) -> None:
    """Give one input to the decoder that it chooses."""
    if data:
        outcome_of(KINDS[data[0] % len(KINDS)], data[1:])


def write_seeds(folder: Path) -> None:
    """Write every vector as an input to begin with."""
    for vector in read_all():
        if vector.kind in DECODERS:
            choice = bytes([KINDS.index(vector.kind)])
            (folder / vector.name).write_bytes(choice + vector.body)


def main() -> None:
    """Fuzz until something is found or libFuzzer's options say stop."""
    atheris = importlib.import_module("atheris")
    atheris.instrument_all()
    with tempfile.TemporaryDirectory() as seeds:
        write_seeds(Path(seeds))
        atheris.Setup([*sys.argv, seeds], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
