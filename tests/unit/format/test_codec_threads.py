"""Decoding in several threads from the first moment on."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
import threading
from vaultd.format.codec import decode, encode
from vaultd.format.session import CountsBody, PackColumns, PartRef, RefsSection

columns = PackColumns(b"", b"", b"", b"")
refs = RefsSection(1, "files", (), CountsBody(*range(10)), columns, (PartRef(1, bytes(32), 1),))
data = encode(refs)
sys.setswitchinterval(1e-6)
start = threading.Barrier(8)

def run():
    start.wait()
    decode(RefsSection, data, what="refs", limit=1000)

threads = [threading.Thread(target=run) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_the_first_decoding_may_happen_in_many_threads_at_once() -> None:
    """A process each time: only a class that was never decoded can crash the interpreter."""
    for _ in range(20):
        done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, check=False)
        assert (0, b"") == (done.returncode, done.stderr)
