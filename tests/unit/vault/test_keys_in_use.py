"""Keys from the ceremony to the restore: what hosts seal is what recovery keys open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.vault.making import Made, make
from vaultd.backends.local import LocalBackend
from vaultd.core.clock import SystemClock
from vaultd.core.errors import KeyringError
from vaultd.core.events import Observer, ignore
from vaultd.core.snapshot import Snapshot
from vaultd.crypto import recipients
from vaultd.pipeline.backup import BackupRequest, back_up
from vaultd.stores.files.capture import FilesCapture
from vaultd.stores.files.options import CaptureOptions
from vaultd.vault.admission import enrol_host, read_request
from vaultd.vault.catalog import Catalog
from vaultd.vault.ceremony import keep_created
from vaultd.vault.changes import NewRecipient, add_recipient, rotate_domain
from vaultd.vault.enrolment import Applicant, accept_grant, request_enrolment
from vaultd.vault.identity import HostIdentity, make_identity, recognise
from vaultd.vault.keyring import ReadKeys, unlock
from vaultd.vault.reader import ReadContext, SnapshotReader
from vaultd.wiring.hosts import open_host

STORE_ID = b"s" * 16


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(backend=LocalBackend(tmp_path / "vault", create=True))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "letter").write_text("for one pair of eyes")
    return folder


def run_backup(made: Made, state: Path, source: Path) -> None:
    trust, identity = recognise(made.backend, state)
    assert identity is not None
    options = CaptureOptions()
    request = BackupRequest(store="files", store_id=STORE_ID, options=options.fingerprint())

    def captured(observer: Observer) -> FilesCapture:
        return FilesCapture([os.fsencode(source)], options, SystemClock(), observer)

    with open_host(made.backend, trust, identity) as host:
        back_up(host, request, captured)


def readable(made: Made, keys: ReadKeys, folder: Path) -> Iterator[tuple[Snapshot, int]]:
    """Yield each snapshot and how many chunks its tree has, which only a reader can tell."""
    folder.mkdir(mode=0o700, exist_ok=True)
    catalog = Catalog(folder / "catalog.sqlite")
    trust = made.trust
    try:
        assert [] == catalog.refresh(made.backend, trust, keys.domain)
        snapshots = catalog.snapshots(trust, keys.domain)
    finally:
        catalog.close()
    context = ReadContext(
        backend=made.backend, trust=trust, keys=keys, folder=folder, observer=ignore
    )
    for snapshot in snapshots:
        with SnapshotReader(context, snapshot) as reader:
            yield snapshot, len(reader.meta.tree)


def enrolled(made: Made, state: Path) -> HostIdentity:
    """Return another machine, enrolled in the first host's domain."""
    identity = make_identity(state, made.trust, made.backend.location)
    applicant = Applicant(name="web2", domain="web1")
    text = request_enrolment(identity, applicant, random=made.random, clock=made.clock)
    grant = enrol_host(made.admin, read_request(text), made.unlocked()).grant
    return accept_grant(made.backend, identity, grant)


def test_old_and_new_recovery_keys_read_what_all_hosts_and_epochs_sealed(
    made: Made, source: Path, tmp_path: Path
) -> None:
    identity = keep_created(made.created, tmp_path / "web1")
    run_backup(made, tmp_path / "web1", source)
    identity.add_keys(rotate_domain(made.admin, identity.host_keys().current))
    run_backup(made, tmp_path / "web1", source)
    enrolled(made, tmp_path / "web2")
    run_backup(made, tmp_path / "web2", source)
    new = NewRecipient(label="safe", form="file", public=recipients.public_key(b"n" * 32))
    add_recipient(made.admin, made.unlocked(), new)
    for seed in (made.seed(0), made.seed(1), b"n" * 32):
        keys = unlock(made.backend, made.trust, seed)
        read = list(readable(made, keys, tmp_path / "desk"))
        assert ["web1", "web1", "web2"] == sorted(one.session.host for one, _ in read)
        assert all(chunks > 0 for _, chunks in read)


def test_a_recovery_key_that_misses_an_epoch_cannot_read_its_snapshots(
    made: Made, source: Path, tmp_path: Path
) -> None:
    identity = keep_created(made.created, tmp_path / "web1")
    run_backup(made, tmp_path / "web1", source)
    old = made.unlocked()
    identity.add_keys(rotate_domain(made.admin, identity.host_keys().current))
    run_backup(made, tmp_path / "web1", source)
    with pytest.raises(KeyringError):
        list(readable(made, old, tmp_path / "desk"))
