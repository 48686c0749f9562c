"""Whole vaults in a few lines: keys, hosts, a keeper, a recovery key, and the verbs on them.

`Vault` is what an administrator has made; `Machine` is one host with its state folder; `Desk` is
where somebody sits down with the recovery key. All of them work on any backend, open everything
for one call and close it again, as a process of its own would do. `Scene` is one of each, with a
folder that is captured again and again and must come back as it was each time.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.trees import Facts, differences, snapshot_of
from vaultd.backends.base import Backend
from vaultd.backends.local import LocalBackend
from vaultd.backends.local_system import System
from vaultd.core.clock import Clock, SystemClock
from vaultd.core.events import Event, Note, Observer, ignore
from vaultd.core.snapshot import Kind, SessionId, Snapshot
from vaultd.crypto import recipients
from vaultd.crypto.signing import Signer
from vaultd.format.keys import (
    CHUNKER_GEAR,
    HostGrant,
    KeeperGrant,
    PolicyBody,
    RecipientGrant,
    VaultBody,
    encode_vault_json,
)
from vaultd.format.session import PartRef, RevokedBody
from vaultd.format.signed import BUNDLE, OUTCOME, POLICY, VAULT
from vaultd.maintenance.check import CheckContext, CheckReport, check
from vaultd.maintenance.forget import forget
from vaultd.maintenance.keeping import KeeperContext
from vaultd.pipeline.backup import BackupReport, BackupRequest, back_up
from vaultd.pipeline.restore import RestoreReport, RestoreRequest, execute_restore
from vaultd.pipeline.select import Selection
from vaultd.stores.files.capture import FilesCapture
from vaultd.stores.files.destination import FilesDestination
from vaultd.stores.files.options import CaptureOptions, TargetOptions
from vaultd.vault import layout
from vaultd.vault.bundles import OpenedEpoch, seal_bundle
from vaultd.vault.catalog import Catalog
from vaultd.vault.chunk_index import ChunkIndex, index_path
from vaultd.vault.host import HostVault
from vaultd.vault.keyring import DomainKeys, HostKeys, ReadKeys, unlock
from vaultd.vault.log import Keeper
from vaultd.vault.reader import ReadContext, SnapshotReader
from vaultd.vault.trust import Trust, load_trust, sign_object

STORE = "files"
STORE_ID = b"files-store-id-0"
SMALL_PACKS = 64 << 10
NOTHING_MORE: Mapping[str, object] = {}
CAPTURE = CaptureOptions(hostname="tests", warn_live_databases=False)
ALL_METADATA = TargetOptions(allow_suid=True, allow_devices=True)


def secret(what: str) -> bytes:
    """Return 32 bytes that are the same in every run."""
    return hashlib.sha256(what.encode()).digest()


def epoch_of(domain: str, number: int = 1) -> OpenedEpoch:
    """Return the keys of a domain."""
    data_seed, meta_seed = secret(f"{domain} data {number}"), secret(f"{domain} meta {number}")
    return OpenedEpoch(
        keys=DomainKeys(
            domain=domain,
            epoch=number,
            data_public=recipients.public_key(data_seed),
            meta_public=recipients.public_key(meta_seed),
            chunk_id_key=secret(f"{domain} id"),
            index_key=secret(f"{domain} index {number}"),
            chunker_key=secret(f"{domain} chunker"),
        ),
        data_seed=data_seed,
        meta_seed=meta_seed,
    )


@dataclass(frozen=True, kw_only=True)
class Vault:
    """A vault with fixed keys: hosts with a domain each, one keeper, one recovery key.

    Attributes:
        hosts: Names of the hosts.
        pack_bytes: Where packs are closed; far below what `vaultctl init` allows, so that little
            contents fill many packs.
    """

    hosts: tuple[str, ...] = ("web1",)
    pack_bytes: int = SMALL_PACKS
    recovery: bytes = field(default=secret("recovery"), repr=False)
    admin: Signer = field(default_factory=lambda: Signer(secret("admin")))
    keeper: Signer = field(default_factory=lambda: Signer(secret("keeper")))

    def signer(self, host: str) -> Signer:
        """Return a host's signing key."""
        return Signer(secret(f"host {host}"))

    def found(self, backend: Backend) -> None:
        """Put what a ceremony puts."""
        body = VaultBody(
            vault_id=secret("vault")[:16],
            created_ns=1,
            chunker=CHUNKER_GEAR,
            pack_bytes=self.pack_bytes,
            admin_keys=(self.admin.public,),
            label="tests",
        )
        public = recipients.public_key(self.recovery)
        grants = tuple(
            HostGrant(
                host=name, verify_key=self.signer(name).public, domain=name, from_seq=1, until_seq=0
            )
            for name in self.hosts
        )
        policy = PolicyBody(
            vault_id=body.vault_id,
            number=1,
            previous=b"",
            created_ns=1,
            hosts=grants,
            keepers=(KeeperGrant(name="keeper", verify_key=self.keeper.public),),
            recipients=(
                RecipientGrant(
                    label="paper", form="words", public=public, added_ns=1, revoked=False
                ),
            ),
            min_age_days=0,
        )
        backend.put(layout.policy(1), sign_object(POLICY, policy, self.admin))
        for name in self.hosts:
            bundle = seal_bundle(body.vault_id, epoch_of(name), [public], created_ns=1)
            backend.put(layout.bundle(name, 1), sign_object(BUNDLE, bundle, self.admin))
        signed = sign_object(VAULT, body, self.admin)
        backend.put(layout.VAULT, encode_vault_json(signed, vault_id=body.vault_id))

    def revoke(self, backend: Backend, session: SessionId) -> None:
        """Close a session as a keeper does."""
        body = RevokedBody(secret("vault")[:16], session.host, session.seq, "keeper", 1)
        backend.put(layout.outcome(session), sign_object(OUTCOME, body, self.keeper))


@dataclass(kw_only=True)
class Machine:
    """One host: its state folder, its keys, and whom it tells what happens.

    Attributes:
        vault: The vault that it is enrolled in.
        backend: Where that lies.
        state: Its state folder; made when it is not there.
        host: Its name.
        clock: What it takes for the time.
        random: Where its random bytes come from.
        notes: What it was told to say to people.
    """

    vault: Vault
    backend: Backend
    state: Path
    host: str = "web1"
    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[int], bytes] = os.urandom
    notes: list[str] = field(default_factory=list)

    @property
    def keys(self) -> HostKeys:
        """Everything secret that this machine holds."""
        return HostKeys(
            vault_id=secret("vault")[:16],
            host=self.host,
            signer=self.vault.signer(self.host),
            current=epoch_of(self.host).keys,
        )

    def observe(self, event: Event) -> None:
        """Keep the notes."""
        if isinstance(event, Note):
            self.notes.append(event.text)

    @contextmanager
    def opened(self) -> Iterator[HostVault]:
        """Open the vault as this host."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        index = ChunkIndex(index_path(self.state, self.host))
        catalog = Catalog(self.state / "catalog.sqlite")
        try:
            yield HostVault(
                backend=self.backend,
                trust=load_trust(self.backend, pin=None),
                keys=self.keys,
                index=index,
                catalog=catalog,
                folder=self.state,
                spool=self.backend.spool or self.state,
                clock=self.clock,
                random=self.random,
                observer=self.observe,
                software="tests",
            )
        finally:
            catalog.close()
            index.close()

    def back_up(
        self,
        *roots: Path,
        kind: Kind | None = None,
        capture: CaptureOptions = CAPTURE,
        wanted: Mapping[str, object] = NOTHING_MORE,
    ) -> BackupReport:
        """Capture folders into a snapshot.

        Args:
            roots: The folders.
            kind: As in `BackupRequest`.
            capture: As in `FilesCapture`.
            wanted: More fields of `BackupRequest`.
        """
        fields = {"store": STORE, "store_id": STORE_ID, "options": capture.fingerprint(), **wanted}
        request = BackupRequest(kind=kind, **fields)  # type: ignore[arg-type]  # fields by name
        paths = [os.fsencode(root) for root in roots]

        def captured(observer: Observer) -> FilesCapture:
            return FilesCapture(paths, capture, self.clock, observer)

        with self.opened() as host:
            return back_up(host, request, captured)


@dataclass(kw_only=True)
class Desk:
    """Where the recovery key is used: a machine that may know nothing but the key.

    Attributes:
        vault: The vault.
        backend: Where that lies.
        folder: Where this machine remembers things.
        workers: Threads of restores and checks.
        others: Further targets, as in `ReadContext`.
        others: Further targets that are read from.
        notes: What was said to people.
    """

    vault: Vault
    backend: Backend
    folder: Path
    workers: int = 2
    others: tuple[Backend, ...] = ()
    notes: list[str] = field(default_factory=list)

    def observe(self, event: Event) -> None:
        """Keep the notes."""
        if isinstance(event, Note):
            self.notes.append(event.text)

    @property
    def trust(self) -> Trust:
        """Whom the vault believes."""
        return load_trust(self.backend, pin=None)

    @property
    def keys(self) -> ReadKeys:
        """What the recovery key opens."""
        return unlock(self.backend, self.trust, self.vault.recovery)

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """Open what this machine remembers of the vault."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        catalog = Catalog(self.folder / "catalog.sqlite")
        try:
            yield catalog
        finally:
            catalog.close()

    def snapshots(self) -> list[Snapshot]:
        """Return the live snapshots, oldest first.

        Raises:
            AssertionError: Something is wrong with the vault.
        """
        keys, trust = self.keys, self.trust
        with self.catalog() as catalog:
            assert [] == catalog.refresh(self.backend, trust, keys.domain)
            return catalog.snapshots(trust, keys.domain)

    def stand_ins(self) -> dict[bytes, PartRef]:
        """Return the index parts that stand in place of lost ones."""
        with self.catalog() as catalog:
            catalog.refresh_log(self.backend, self.trust)
            return catalog.state().stand_ins()

    @contextmanager
    def reader(self, snapshot: Snapshot) -> Iterator[SnapshotReader]:
        """Open a snapshot."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        context = ReadContext(
            backend=self.backend,
            trust=self.trust,
            keys=self.keys,
            folder=self.folder,
            observer=self.observe,
            others=self.others,
            stand_ins=self.stand_ins(),
        )
        with SnapshotReader(context, snapshot) as reader:
            yield reader

    def restore(
        self, snapshot: Snapshot, target: Path, *, verify: bool = False, **options: object
    ) -> RestoreReport:
        """Restore a whole snapshot, all metadata included.

        Args:
            snapshot: Which.
            target: An empty folder, or one that is to be made.
            verify: Read everything back.
            options: More fields of `Selection`.
        """
        request = RestoreRequest(
            destination=FilesDestination(target, ALL_METADATA),
            selection=Selection(**options),  # type: ignore[arg-type]  # fields by name
            verify=verify,
            workers=self.workers,
        )
        with self.reader(snapshot) as reader:
            return execute_restore(reader, request, SystemClock(), self.observe)

    def check(self, *, read_data: bool = True) -> CheckReport:
        """Check the vault."""
        keys = self.keys
        with self.catalog() as catalog:
            context = CheckContext(
                backend=self.backend,
                trust=self.trust,
                catalog=catalog,
                find_keys=keys.domain,
                keys=keys,
                folder=self.folder,
                clock=SystemClock(),
                observer=ignore,
            )
            return check(context, read_data=read_data, workers=self.workers)

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Take snapshots out of the live set, as a keeper does."""
        keys = self.keys
        with self.catalog() as catalog:
            context = KeeperContext(
                backend=self.backend,
                trust=self.trust,
                catalog=catalog,
                keeper=Keeper(name="keeper", signer=self.vault.keeper),
                find_keys=keys.domain,
                clock=SystemClock(),
            )
            forget(context, snapshots, "a test")


class Unsynced(System):
    """A system that does not wait for its disk: tests that cut no power need not."""

    def flush(self, fd: int) -> None:
        pass

    def flush_folder(self, path: str) -> None:
        pass


class Scene:
    """One vault, one machine, one folder, and what the folder looked like at each snapshot.

    Args:
        folder: Where everything lies.
        backend: Where the vault lies; a folder of its own by default.
        vault: Which vault; its objects are put unless there are any.

    Attributes:
        tree: The folder that is captured.
        seen: Every snapshot made here, and what the folder looked like.
    """

    def __init__(
        self, folder: Path, backend: Backend | None = None, vault: Vault | None = None
    ) -> None:
        self.folder = folder
        place = folder / "vault"
        self.backend = backend or LocalBackend(place, create=True, system=Unsynced())
        self.vault = vault or Vault()
        if next(iter(self.backend.list("")), None) is None:
            self.vault.found(self.backend)
        self.box = folder / "box"
        self.tree = self.box / "tree"
        self.tree.mkdir(parents=True)
        self.machine = Machine(vault=self.vault, backend=self.backend, state=folder / "state")
        self.desk = self.new_desk()
        self.seen: list[tuple[Snapshot, dict[bytes, Facts]]] = []
        self._numbers = itertools.count(1)

    def new_desk(self) -> Desk:
        """Return a machine that knows nothing but the recovery key."""
        folder = self.folder / f"desk-{secrets.token_hex(4)}"
        return Desk(vault=self.vault, backend=self.backend, folder=folder)

    def write(self, name: str, contents: bytes) -> Path:
        """Write a file of the folder, in a directory that is made when it is not there."""
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
        return path

    def back_up(self, kind: Kind | None = None, **wanted: object) -> BackupReport:
        """Capture the folder, which must succeed without a problem."""
        report = self.machine.back_up(self.tree, kind=kind, wanted=wanted)
        assert () == report.problems
        self.seen.append((report.snapshot, snapshot_of(self.box)))
        return report

    def restore(self, snapshot: Snapshot) -> tuple[RestoreReport, dict[bytes, Facts]]:
        """Restore a snapshot to a new place; return the report, and what is there then."""
        target = self.folder / f"restored-{next(self._numbers)}"
        report = self.new_desk().restore(snapshot, target)
        place = Path(f"{target}{self.box}")
        return report, snapshot_of(place) if place.is_dir() else {}

    def expect_restorable(self, *snapshots: Snapshot) -> None:
        """Restore snapshots made here, all of them by default, and compare with what was seen."""
        for snapshot, expected in self.seen:
            if not snapshots or snapshot in snapshots:
                report, found = self.restore(snapshot)
                assert () == report.problems
                assert [] == differences(expected, found)

    def expect_whole(self) -> None:
        """Check the vault from a new machine: it holds what was made here, and nothing is wrong."""
        desk = self.new_desk()
        report = desk.check()
        assert () == report.damages
        assert [snapshot for snapshot, _ in self.seen] == desk.snapshots()
