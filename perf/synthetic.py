"""Vaults too large to make by backing up: ``python -m perf.synthetic chunks|snapshots …``.

``chunks`` gives the newest snapshot of a vault very many more chunks, as if it had stored
terabytes: packs (files of the right name and length that occupy no space), index parts that are
sealed as real ones are, and rows in this machine's index. The next real backup then builds on all
of them, and its root, which nobody forged, names them. They hold nothing, so a check would call
them damaged.

``snapshots`` makes real snapshots of a small folder, one after the other, in one process.
"""

from __future__ import annotations

import argparse
import os
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vaultd.crypto import hashing
from vaultd.format.index import IndexedPack, PartHeader
from vaultd.format.pack import DATA, TableBody
from vaultd.format.session import PartRef
from vaultd.pipeline.backup import BackupRequest, back_up
from vaultd.settings.asked import Typed, load_settings
from vaultd.vault import layout, parts
from vaultd.vault.host import HostVault
from vaultd.vault.identity import recognise
from vaultd.vault.index_file import COMMITTED
from vaultd.vault.store_id import store_id
from vaultd.wiring.hosts import open_host
from vaultd.wiring.sources import CaptureOptions, files_capture
from vaultd.wiring.storage import open_backend

CHUNKS_PER_PACK, STORED, RAW = 26, 620_000, 1_050_000
"""About what packs of 16 MiB hold of large files."""

PACKS_PER_PART = 50_000 // CHUNKS_PER_PACK
_HEADER = 1400
_ID, _ZSTD = 32, 1
_NO_STORE = "synthetic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """One pack that is not there: its name and what its table would say."""

    sha256: bytes
    ids: bytes

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return _HEADER + STORED * (len(self.ids) // _ID)


@contextmanager
def opened_host(location: str, state: Path) -> Iterator[HostVault]:
    """Open a vault as the host that this machine is."""
    settings = load_settings({}, Typed(vault=location, state_dir=str(state)))
    with open_backend(location, settings) as backend:
        trust, identity = recognise(backend, settings.state_dir)
        if identity is None:
            raise SystemExit(f"{state}: knows nothing of the vault at {location}")
        with open_host(backend, trust, identity) as host:
            yield host


def add_chunks(host: HostVault, vault: Path, count: int, seed: int = 1) -> int:
    """Give the newest snapshot ``count`` more chunks, about; return how many packs hold them."""
    seq = max(row.seq for row in host.index.sessions(COMMITTED))
    folder = vault / layout.PACKS / str(host.session_id(seq))
    folder.mkdir(parents=True, exist_ok=True)
    source = random.Random(seed)
    left = -(-count // CHUNKS_PER_PACK)
    total, number = left, 0
    while left:
        packs = [_pack(source) for _ in range(min(left, PACKS_PER_PART))]
        left -= len(packs)
        number += 1
        for pack in packs:
            path = folder / pack.sha256.hex()
            path.touch()
            os.truncate(path, pack.size)
        _index(host, _put_part(host, seq, number, packs), packs)
    return total


def _pack(source: random.Random) -> Pack:
    return Pack(sha256=source.randbytes(32), ids=source.randbytes(_ID * CHUNKS_PER_PACK))


def _put_part(host: HostVault, seq: int, number: int, packs: list[Pack]) -> PartRef:
    session, keys = host.session_id(seq), host.keys.current
    column = struct.Struct(f"<{CHUNKS_PER_PACK}I")
    stored = column.pack(*[STORED] * CHUNKS_PER_PACK)
    raws = column.pack(*[_ZSTD << 24 | RAW] * CHUNKS_PER_PACK)
    header = PartHeader(
        host.trust.vault_id, session.host, seq, number, keys.domain, keys.epoch, host.random(16)
    )
    bodies = tuple(
        IndexedPack(seq, pack.sha256, pack.size, DATA, _HEADER, TableBody(pack.ids, stored, raws))
        for pack in packs
    )
    data = parts.seal_part(header, bodies, keys)
    sha256 = hashing.sha256(data)
    host.backend.put(layout.part(session, sha256), data, sha256=sha256)
    return PartRef(seq, sha256, len(data))


def _index(host: HostVault, part: PartRef, packs: list[Pack]) -> None:
    """Put packs and chunks straight into the index; the one interface that is too slow for it."""
    with host.index.transaction() as db:
        number = host.index.add_part(part)
        first = db.execute("SELECT coalesce(max(id), 0) + 1 FROM pack").fetchone()[0]
        db.executemany(
            "INSERT INTO pack (id, seq, sha256, size, kind, part) VALUES (?,?,?,?,?,?)",
            [
                (at, part.seq, pack.sha256, pack.size, DATA, number)
                for at, pack in enumerate(packs, first)
            ],
        )
        db.executemany(
            "INSERT INTO holding VALUES (?,?)", [(first + at, part.seq) for at in range(len(packs))]
        )
        rows = [row for at, pack in enumerate(packs, first) for row in _rows(at, pack)]
        # In order of the key, a batch touches each page once.
        db.executemany("INSERT INTO chunk VALUES (?,?,?,?,?,?)", sorted(rows))


def _rows(number: int, pack: Pack) -> Iterator[tuple[bytes, int, int, int, int, int]]:
    for position in range(len(pack.ids) // _ID):
        chunk_id = pack.ids[_ID * position : _ID * (position + 1)]
        offset = _HEADER + STORED * position
        yield chunk_id, number, position, offset, STORED, _ZSTD << 24 | RAW


def add_snapshots(host: HostVault, folder: Path, count: int) -> None:
    """Make real snapshots of a folder, changing one file in it before each."""
    folder.mkdir(exist_ok=True)
    options = CaptureOptions()
    request = BackupRequest(
        store=_NO_STORE, store_id=store_id(host.keys, _NO_STORE), options=options.fingerprint()
    )
    for number in range(count):
        folder.joinpath("changing").write_text(f"{number}\n", encoding="ascii")
        back_up(host, request, files_capture((os.fsencode(folder.absolute()),), options))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make a vault too large to be backed up into.")
    parser.add_argument("what", choices=["chunks", "snapshots"])
    parser.add_argument("vault", type=Path, help="a local vault; for chunks, with a snapshot")
    parser.add_argument("state", type=Path, help="its state folder on this machine")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--folder", type=Path, help="what to make snapshots of")
    chosen = parser.parse_args()
    with opened_host(str(chosen.vault.absolute()), chosen.state) as host:
        if chosen.what == "chunks":
            add_chunks(host, chosen.vault, chosen.count)
        else:
            add_snapshots(host, chosen.folder, chosen.count)


if __name__ == "__main__":
    main()
