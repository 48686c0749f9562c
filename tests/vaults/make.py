"""Makes a known vault, once, as root: ``python -m tests.vaults.make tests/vaults/v<n>-<name>``.

It holds what a vault collects in its life: a session that broke off and was adopted, each kind of
snapshot, a second epoch, a recovery key that came later, tags and a forgotten snapshot. A folder
that was committed is never made again: every later version must read it (FORMAT.md 14).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vaults.facts import Facts, facts_of
from vaultd.backends.local import LocalBackend
from vaultd.core.clock import SystemClock
from vaultd.core.events import ignore
from vaultd.core.snapshot import Kind, Snapshot
from vaultd.crypto import recovery, signing
from vaultd.crypto.secret import Secret
from vaultd.maintenance.forget import change_tags, forget
from vaultd.maintenance.keeping import KeeperContext
from vaultd.pipeline.backup import BackupRequest, back_up
from vaultd.stores.files.capture import FilesCapture
from vaultd.stores.files.options import CaptureOptions
from vaultd.vault.catalog import Catalog
from vaultd.vault.ceremony import Created, RecoveryPlan, VaultPlan, create_vault, keep_created
from vaultd.vault.changes import Admin, NewRecipient, add_recipient, rotate_domain
from vaultd.vault.chunk_index import ChunkIndex
from vaultd.vault.host import HostVault
from vaultd.vault.identity import HostIdentity
from vaultd.vault.keyring import unlock
from vaultd.vault.log import Keeper
from vaultd.vault.session import SessionRequest, begin
from vaultd.vault.sheets import draw_key, key_file_of
from vaultd.vault.trust import load_trust

SOURCE = Path("/srv/known")
STORE_ID = b"known-store-id-0"
PASSPHRASE = "correct horse battery staple"
CAPTURE = CaptureOptions(hostname="web1.example", warn_live_databases=False)
TIME = 1_700_000_000 * 10**9


class BrokenOffError(Exception):
    """Ends a session in the middle."""


class Maker:
    """A machine that is host, keeper and admin of one vault."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.state = state
        self.backend = LocalBackend(folder, create=True)
        plan = VaultPlan(
            label="known",
            host="web1",
            recovery=(
                RecoveryPlan(label="paper 1", form="words"),
                RecoveryPlan(label="paper 2", form="words"),
            ),
            pack_bytes=1 << 20,
        )
        self.created: Created = create_vault(
            self.backend, plan, random=os.urandom, clock=SystemClock()
        )
        self.identity: HostIdentity = keep_created(self.created, state)
        self.work = state / "work"
        self.work.mkdir()

    @property
    def seed(self) -> bytes:
        """The first recovery key."""
        return self.created.keys[0].seed.reveal()

    @property
    def admin(self) -> Admin:
        """The admin at work."""
        key = next(key for key in self.created.keys if key.type is recovery.KeyType.ADMIN)
        return Admin(
            backend=self.backend,
            trust=load_trust(self.backend, pin=None),
            signer=signing.Signer(key.seed.reveal()),
            random=os.urandom,
            clock=SystemClock(),
        )

    @contextmanager
    def host(self) -> Iterator[HostVault]:
        """Open the vault as its host."""
        index, catalog = ChunkIndex(self.work / "index"), Catalog(self.work / "catalog")
        try:
            yield HostVault(
                backend=self.backend,
                trust=load_trust(self.backend, pin=None),
                keys=self.identity.host_keys(),
                index=index,
                catalog=catalog,
                folder=self.work,
                spool=self.work,
                clock=SystemClock(),
                random=os.urandom,
                observer=ignore,
                software="vaultd 0.1.0",
            )
        finally:
            catalog.close()
            index.close()

    def back_up(self, kind: Kind) -> tuple[Snapshot, Facts]:
        """Make one snapshot; return it and what must come back."""
        request = BackupRequest(store="known", store_id=STORE_ID, kind=kind, tags=("first",))
        roots = [os.fsencode(SOURCE)]
        with self.host() as host:
            report = back_up(
                host, request, lambda seen: FilesCapture(roots, CAPTURE, SystemClock(), seen)
            )
        if report.problems:
            raise BrokenOffError(report.problems)
        return report.snapshot, facts_of(SOURCE)

    def break_off(self) -> None:
        """Begin a session and die."""
        request = SessionRequest(store="known", store_id=STORE_ID)
        with contextlib.suppress(BrokenOffError), self.host() as host, begin(host, request):
            raise BrokenOffError

    def change_keys(self) -> str:
        """Begin a new epoch and let in a key in a file; return the file."""
        keys = unlock(self.backend, self.admin.trust, self.seed)
        self.identity.add_keys(rotate_domain(self.admin, keys.newest("web1")))
        later = draw_key(recovery.KeyType.RECOVERY, "stick", "file", os.urandom)
        keys = unlock(self.backend, self.admin.trust, self.seed)
        recipient = NewRecipient(label="stick", form="file", public=later.public)
        add_recipient(self.admin, keys, recipient)
        return key_file_of(later, self.admin.trust.vault, Secret(PASSPHRASE.encode()), os.urandom)

    def keep(self, tagged: Snapshot, forgotten: Snapshot) -> None:
        """Change tags and forget, as a keeper does."""
        keys = unlock(self.backend, self.admin.trust, self.seed)
        with self.host() as host:
            context = KeeperContext(
                backend=self.backend,
                trust=host.trust,
                catalog=host.catalog,
                keeper=Keeper(name="keeper", signer=self.identity.keeper_keys().signer),
                find_keys=keys.domain,
                clock=SystemClock(),
            )
            change_tags(context, [tagged], add=("kept",), remove=("first",))
            forget(context, [forgotten], "to be dead in a known vault")


def write(name: str, contents: bytes, mode: int = 0o644) -> Path:
    """Write one file of the source."""
    path = SOURCE / os.fsdecode(name.encode("latin-1"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    path.chmod(mode)
    return path


def settle() -> None:
    """Give everything a time that does not depend on when this ran."""
    for folder, _, files in os.walk(SOURCE):
        for number, name in enumerate([*sorted(files), ""]):
            path = os.path.join(folder, name)
            os.utime(path, ns=(TIME, TIME + number), follow_symlinks=False)


def furnish() -> None:
    """Make the source: one of everything that a tree can hold."""
    block = random.Random(7).randbytes(16 << 10)
    big = b"".join(block + number.to_bytes(4, "big") for number in range(170))
    write("big", big)
    write("-odd\n\xff", b"odd", 0o600)
    write("empty", b"")
    write("sub/small", b"small", 0o4755)
    os.link(SOURCE / "sub/small", SOURCE / "sub/zlink")
    os.setxattr(write("sub/xattr", b"x"), "user.known", b"value")
    (SOURCE / "link").symlink_to("sub/no\u00ebl")
    os.mkfifo(SOURCE / "fifo", 0o640)
    (SOURCE / "closed").mkdir(mode=0o500)
    with write("sparse", b"").open("r+b") as stream:
        stream.seek(1 << 20)
        stream.write(b"data" * 2000)
        stream.truncate(2 << 20)
    for number in range(20):
        write(f"many/{number:03}", b"%d" % number * number)


def make(place: Path) -> None:
    """Make the vault, its keys, and what it must give back."""
    with tempfile.TemporaryDirectory() as state:
        maker = Maker(Path(state) / "vault", Path(state))
        furnish()
        settle()
        made = [maker.back_up(Kind.FULL)]
        maker.break_off()
        write("sub/small", b"smaller", 0o755)
        write("new", b"new")
        settle()
        made.append(maker.back_up(Kind.INCREMENTAL))
        stick = maker.change_keys()
        write("new", b"newer")
        (SOURCE / "empty").unlink()
        settle()
        made.append(maker.back_up(Kind.INCREMENTAL))
        write("big", b"no longer big")
        settle()
        made.append(maker.back_up(Kind.DIFFERENTIAL))
        maker.keep(made[0][0], made[1][0])
        with tarfile.open(place / "vault.tar", "x") as archive:
            archive.add(Path(state) / "vault", "vault")
    live = [made[0], *made[2:]]
    expected = {
        "fingerprint": maker.created.trust.fingerprints[0],
        "passphrase": PASSPHRASE,
        "source": str(SOURCE),
        "kinds": {str(one.session): str(one.kind) for one, _ in live},
        "tags": {
            str(one.session): ["kept"] if at == 0 else ["first"] for at, (one, _) in enumerate(live)
        },
        "trees": {str(one.session): facts for one, facts in live},
    }
    (place / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    (place / "words.txt").write_text(recovery.to_words(maker.seed) + "\n")
    (place / "stick.json").write_text(stick)


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]))
    finally:
        shutil.rmtree(SOURCE, ignore_errors=True)
