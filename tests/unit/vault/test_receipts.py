"""Receipts: what this machine knows to have been committed."""

from __future__ import annotations

from pathlib import Path

from vaultd.format.machine import Receipt
from vaultd.vault import receipts


def _receipt(seq: int) -> Receipt:
    return Receipt(
        vault="aa" * 16,
        host="web1",
        seq=seq,
        store="crm",
        root_sha256="bb" * 32,
        log_number=0,
        log_sha256="",
        at_ns=1,
    )


def test_receipts_come_back_in_the_order_they_were_written(tmp_path: Path) -> None:
    for seq in (1, 2):
        receipts.append(tmp_path, _receipt(seq))
    assert [_receipt(1), _receipt(2)] == list(receipts.read(tmp_path))


def test_a_line_cut_short_by_a_crash_hides_no_other(tmp_path: Path) -> None:
    receipts.append(tmp_path, _receipt(1))
    with (tmp_path / receipts.FILE).open("ab") as stream:
        stream.write(b'{"vault": "aa')
    receipts.append(tmp_path, _receipt(2))
    assert [1, 2] == [receipt.seq for receipt in receipts.read(tmp_path)]


def test_no_file_means_no_receipts(tmp_path: Path) -> None:
    assert [] == list(receipts.read(tmp_path))


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    receipts.append(tmp_path, _receipt(1))
    assert 0o600 == (tmp_path / receipts.FILE).stat().st_mode & 0o777
