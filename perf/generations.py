"""A vault of many generations: ``python -m perf.generations VAULT STATE --snapshots N --packs N``.

Gives a local vault very many snapshots, in chains of a full and its incrementals, as if it had run
for years: roots that are sealed and signed as real ones are, each naming every pack of its chain so
far, and packs of the right names that occupy no space. The older half of the chains is forgotten
then, through the log, as a keeper does it. The packs hold nothing, so a check would call them
damaged; planning a prune does not look into packs.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator
from pathlib import Path

from perf.synthetic import opened_host
from vaultd.core.snapshot import Kind, SessionId
from vaultd.crypto import hashing
from vaultd.format.keys import CHUNKER_GEAR
from vaultd.format.log import ForgetBody
from vaultd.format.session import (
    CountsBody,
    IntentBody,
    LabelSection,
    MetaSection,
    PackColumns,
    PackRef,
    PartRef,
    Previous,
    RefsSection,
    RootBody,
    pack_columns,
)
from vaultd.format.signed import INTENT, OUTCOME
from vaultd.vault import layout, roots
from vaultd.vault.host import HostVault
from vaultd.vault.identity import recognise
from vaultd.vault.log import EMPTY, Keeper, append_next
from vaultd.vault.trust import sign_object
from vaultd.wiring.system import system_clock

LINKS = 100
"""Snapshots of a chain."""

_PACK_BYTES = 65_536
_STORE_ID = b"generations-id-0"


def add_generations(host: HostVault, vault: Path, snapshots: int, packs: int) -> list[RootBody]:
    """Add snapshots that need packs; return the roots, oldest first.

    Args:
        host: The vault as its host sees it.
        vault: Its folder.
        snapshots: How many.
        packs: How many in all.
    """
    source = random.Random(1)
    each = packs // snapshots
    previous: Previous | None = None
    made = []
    refs: list[PackRef] = []
    first = host.index.last_session() + 1
    for number in range(snapshots):
        seq = first + number
        if number % LINKS == 0:
            refs = []
        _intent(host, vault, seq)
        refs += sorted(_packs(vault, host.session_id(seq), each, source), key=lambda r: r.sha256)
        chain = seq - number % LINKS
        root = _root(host, seq, chain, previous, pack_columns(refs))
        data = sign_object(OUTCOME, root, host.keys.signer)
        _write(vault / layout.outcome(host.session_id(seq)), data)
        previous = Previous(seq, hashing.sha256(data))
        made.append(root)
    return made


def _packs(vault: Path, session: SessionId, count: int, source: random.Random) -> Iterator[PackRef]:
    folder = vault / layout.packs_of(session)
    folder.mkdir(parents=True)
    for _ in range(count):
        sha256 = source.randbytes(32)
        path = folder / sha256.hex()
        path.touch()
        os.truncate(path, _PACK_BYTES)
        yield PackRef(session.seq, sha256, _PACK_BYTES, 0)


def _intent(host: HostVault, vault: Path, seq: int) -> None:
    body = IntentBody(
        host.trust.vault_id, host.keys.host, seq, _STORE_ID, seq, 0, (), host.software
    )
    _write(vault / layout.intent(host.session_id(seq)), sign_object(INTENT, body, host.keys.signer))


def _root(
    host: HostVault, seq: int, chain: int, previous: Previous | None, packs: PackColumns
) -> RootBody:
    keys, vault_id, session = host.keys.current, host.trust.vault_id, host.session_id(seq)
    counts = CountsBody(*[0] * len(CountsBody.__struct_fields__))
    refs = RefsSection(1, "generations", (), counts, packs, (PartRef(chain, bytes(32), 1),))
    label = LabelSection(1, "perf", (b"/srv",), "root")
    meta = MetaSection(1, (), {}, {}, b"", ())
    kind = Kind.FULL if seq == chain else Kind.INCREMENTAL
    base = 0 if seq == chain else seq - 1
    when_ns = seq * 3_600 * 10**9
    return RootBody(
        vault_id, session.host, seq, _STORE_ID, str(kind), chain, base, previous, when_ns, when_ns,
        0, b"", keys.epoch, CHUNKER_GEAR, 0, host.software,
        roots.seal_refs(refs, keys, vault_id, session),
        roots.seal_label(label, keys, vault_id, session),
        roots.seal_meta(meta, keys, vault_id, session, host.random),
        b"",
    )  # fmt: skip


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def forget_half(host: HostVault, state: Path, vault: Path, made: list[RootBody]) -> None:
    """Forget the older half of the snapshots."""
    _, identity = recognise(host.backend, state)
    if identity is None:
        raise SystemExit(f"{state}: knows nothing of the vault")
    held = identity.keeper_keys()
    keeper = Keeper(name=held.name, signer=held.signer)
    head = EMPTY
    for root in made[: len(made) // 2]:
        session = host.session_id(root.seq)
        sha256 = hashing.sha256((vault / layout.outcome(session)).read_bytes())
        body = ForgetBody(root.host, root.seq, sha256, "of the older half")
        clock = system_clock()
        head = append_next(host.backend, host.trust, keeper, clock, body, head).head


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make a vault of many generations.")
    parser.add_argument("vault", type=Path, help="a local vault")
    parser.add_argument("state", type=Path, help="its state folder on this machine")
    parser.add_argument("--snapshots", type=int, default=10_000)
    parser.add_argument("--packs", type=int, default=1_000_000)
    chosen = parser.parse_args()
    vault = chosen.vault.absolute()
    with opened_host(str(vault), chosen.state) as host:
        made = add_generations(host, vault, chosen.snapshots, chosen.packs)
        forget_half(host, chosen.state, vault, made)


if __name__ == "__main__":
    main()
