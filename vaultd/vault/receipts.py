"""Receipts: one line for each committed snapshot, kept apart from the vault.

Who holds a receipt can tell when a vault shows an older state than it once had; a machine that has
nothing but keys and a vault cannot. The file is only ever appended to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vaultd.format.machine import Receipt, decode_receipt, encode_receipt

FILE = "receipts.jsonl"


def append(folder: Path, receipt: Receipt) -> None:
    """Add a receipt; on disk when this returns.

    Raises:
        OSError: It cannot be written.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    fd = os.open(folder / FILE, flags, 0o600)
    try:
        size = os.fstat(fd).st_size
        # A line that a crash cut short must not swallow this one.
        before = b"\n" if size and os.pread(fd, 1, size - 1) != b"\n" else b""
        os.write(fd, before + encode_receipt(receipt) + b"\n")
        os.fdatasync(fd)
    finally:
        os.close(fd)


def read(folder: Path) -> Iterator[Receipt]:
    """Yield the receipts of a folder, oldest first; lines that are none are left out."""
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        receipt = decode_receipt(line)
        if receipt is not None:
            yield receipt
