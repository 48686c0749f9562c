"""Whether a restored folder is the same as its source: ``python -m perf.same SOURCE RESTORED``.

A program of its own, because what compares trees is too large to live in the one that measures.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.trees import differences, snapshot_of

_SHOWN = 20


def main() -> None:
    """Compare; the exit code is 1 when something differs."""
    source, restored = map(Path, sys.argv[1:])
    found = differences(snapshot_of(source), snapshot_of(restored))
    for line in found[:_SHOWN]:
        print(line)
    sys.exit(f"{len(found)} differences" if found else 0)


if __name__ == "__main__":
    main()
