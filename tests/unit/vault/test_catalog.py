"""What a machine knows of snapshots and of the log, and what it finds wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.vaults import STORE, Desk, Machine, Scene, Vault, epoch_of, secret
from tests.unit.vault.making import ToldClock
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import BrokenChainError, CorruptObjectError, IntegrityError, KeyringError
from vaultd.core.snapshot import Counts, Kind, SessionId
from vaultd.crypto.signing import Signer
from vaultd.format.log import ForgetBody, TagBody, TagNames
from vaultd.maintenance.forget import change_tags, forget
from vaultd.maintenance.keeping import KeeperContext
from vaultd.vault import layout
from vaultd.vault.bundles import DomainKeys
from vaultd.vault.catalog import Catalog, seal_tags
from vaultd.vault.log import EMPTY, Keeper, LogHead, append, read_after
from vaultd.vault.trust import Trust


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Three snapshots."""
    scene = Scene(tmp_path, MemoryBackend())
    for number in range(3):
        scene.write(f"file-{number}", b"contents")
        scene.back_up(Kind.FULL, tags=("first", "second") if number == 0 else ())
    return scene


@pytest.fixture
def desk(scene: Scene) -> Desk:
    return scene.new_desk()


def hidden(domain: str, epoch: int) -> DomainKeys | None:
    """Find no keys at all."""
    return None


def keeper_of(desk: Desk, catalog: Catalog) -> KeeperContext:
    return KeeperContext(
        backend=desk.backend,
        trust=desk.trust,
        catalog=catalog,
        keeper=Keeper(name="keeper", signer=desk.vault.keeper),
        find_keys=desk.keys.domain,
        clock=ToldClock(),
    )


def tagged(desk: Desk, at: int = 0) -> tuple[str, ...]:
    return desk.snapshots()[at].tags


# Outcomes


def test_snapshots_are_listed_oldest_first_as_they_were_committed(scene: Scene, desk: Desk) -> None:
    found = desk.snapshots()

    assert [snapshot for snapshot, _ in scene.seen] == found
    assert [(STORE, "tests")] * 3 == [(one.store, one.hostname) for one in found]
    assert found[0].counts.files == 1
    assert ("first", "second") == found[0].tags


def test_without_keys_a_snapshot_is_listed_without_its_secrets(desk: Desk) -> None:
    with desk.catalog() as catalog:
        assert [] == catalog.refresh(desk.backend, desk.trust, hidden)
        found = catalog.snapshots(desk.trust, hidden)
        assert [("", "", (), (), Counts(), 0)] * 3 == [
            (one.store, one.hostname, one.roots, one.tags, one.counts, one.stored) for one in found
        ]
        assert [] == catalog.refresh(desk.backend, desk.trust, desk.keys.domain)
        assert [STORE] * 3 == [one.store for one in catalog.snapshots(desk.trust, hidden)]


def test_what_was_seen_and_is_gone_is_found(scene: Scene, desk: Desk) -> None:
    newest = scene.seen[-1][0].session
    assert 3 == len(desk.snapshots())
    scene.backend.delete(layout.outcome(newest))

    with desk.catalog() as catalog:
        findings = catalog.refresh(desk.backend, desk.trust, desk.keys.domain)

    assert [f"snapshot {newest}: seen before and gone from the vault"] == findings


def test_a_gap_between_snapshots_is_found_by_who_sees_them_first(scene: Scene, desk: Desk) -> None:
    scene.backend.delete(layout.outcome(scene.seen[1][0].session))

    with desk.catalog() as catalog:
        (finding,) = catalog.refresh(desk.backend, desk.trust, desk.keys.domain)

    assert "was made after it, and it is gone" in finding


def test_a_forgotten_snapshot_is_no_gap(scene: Scene, desk: Desk) -> None:
    desk.forget([scene.seen[1][0]])
    scene.backend.delete(layout.outcome(scene.seen[1][0].session))

    assert [scene.seen[0][0], scene.seen[2][0]] == scene.new_desk().snapshots()
    assert [scene.seen[0][0], scene.seen[2][0]] == desk.snapshots()


def test_names_that_are_not_ours_are_found(scene: Scene, desk: Desk) -> None:
    scene.backend.put("snap/web1/rubbish", b"rubbish")
    scene.backend.put("snap/unknown/0000000001", b"rubbish")

    with desk.catalog() as catalog:
        findings = catalog.refresh(desk.backend, desk.trust, desk.keys.domain)

    assert 2 == len(findings)
    assert all(finding.startswith("outcome snap/") for finding in findings)


# The log


def test_the_log_is_remembered_and_goes_on(scene: Scene, desk: Desk) -> None:
    with desk.catalog() as catalog:
        context = keeper_of(desk, catalog)
        assert EMPTY == catalog.log_head()
        forget(context, [scene.seen[0][0]], "a test")
        forget(context, [scene.seen[1][0]], "a test")
        assert 2 == catalog.log_head().number
        assert {scene.seen[0][0].session, scene.seen[1][0].session} == catalog.forgotten()
    with scene.new_desk().catalog() as other:
        assert catalog_head(desk) == other.refresh_log(desk.backend, desk.trust)


def catalog_head(desk: Desk) -> LogHead:
    with desk.catalog() as catalog:
        return catalog.log_head()


def entries(scene: Scene, desk: Desk, count: int) -> None:
    desk.forget([scene.seen[0][0]] * count)


def test_an_entry_that_is_missing_in_the_middle_is_found(scene: Scene, desk: Desk) -> None:
    entries(scene, desk, 3)
    scene.backend.put("log/notes.txt", b"not ours")
    scene.backend.delete(layout.log_entry(2))

    other = scene.new_desk()
    with other.catalog() as catalog:
        findings = catalog.refresh(other.backend, other.trust, other.keys.domain)

    assert ["log: entry 2 is gone, and log/0000000003 is there"] == findings


@pytest.mark.parametrize("removed", [(3,), (1, 2, 3)])
def test_a_log_that_was_rolled_back_is_refused_by_who_knows_better(
    scene: Scene, desk: Desk, removed: tuple[int, ...]
) -> None:
    entries(scene, desk, 3)
    for number in removed:
        scene.backend.delete(layout.log_entry(number))

    with desk.catalog() as catalog, pytest.raises(BrokenChainError, match="seen before"):
        catalog.refresh_log(desk.backend, desk.trust)


def replaced(scene: Scene, number: int, data: bytes) -> None:
    scene.backend.delete(layout.log_entry(number))
    scene.backend.put(layout.log_entry(number), data)


def test_a_log_that_was_rewritten_is_refused(scene: Scene, desk: Desk) -> None:
    entries(scene, desk, 2)
    replaced(scene, 2, scene.backend.get(layout.log_entry(1)))

    with desk.catalog() as catalog, pytest.raises(BrokenChainError, match="hash"):
        catalog.refresh_log(desk.backend, desk.trust)
    with pytest.raises(CorruptObjectError, match="says that it is entry 1"):
        list(read_after(desk.backend, desk.trust, EMPTY))


def test_entries_must_follow_each_other(scene: Scene, desk: Desk) -> None:
    entries(scene, desk, 1)
    session = scene.seen[0][0]
    body = ForgetBody("web1", 1, session.root_sha256, "forged")
    keeper = Keeper(name="keeper", signer=desk.vault.keeper)
    other = MemoryBackend()
    for _ in range(2):
        append(other, desk.trust, keeper, ToldClock(5), lambda _: body)
    replaced_by = other.get(layout.log_entry(2))
    scene.backend.put(layout.log_entry(2), replaced_by)

    with pytest.raises(BrokenChainError, match="follows"):
        list(read_after(desk.backend, desk.trust, EMPTY))


def test_only_keepers_write_the_log(scene: Scene, desk: Desk) -> None:
    session = scene.seen[0][0]
    body = ForgetBody("web1", 1, session.root_sha256, "forged")
    thief = Keeper(name="keeper", signer=Signer(secret("thief")))
    append(desk.backend, desk.trust, thief, ToldClock(), lambda _: body)

    with pytest.raises(IntegrityError, match="no valid signature"):
        list(read_after(desk.backend, desk.trust, EMPTY))


def test_an_entry_that_somebody_else_was_first_to_append_gets_the_next_number(
    scene: Scene, desk: Desk
) -> None:
    keeper = Keeper(name="keeper", signer=desk.vault.keeper)

    def event(number: int) -> ForgetBody:
        if number == 1:
            scene.new_desk().forget([scene.seen[1][0]])
        return ForgetBody("web1", 1, scene.seen[0][0].root_sha256, f"number {number}")

    entry = append(desk.backend, desk.trust, keeper, ToldClock(), event)

    assert 2 == entry.head.number
    assert isinstance(entry.body.event, ForgetBody)
    assert "number 2" == entry.body.event.reason
    assert [1, 2] == [one.head.number for one in read_after(desk.backend, desk.trust, EMPTY)]


# Tags


def test_tags_are_added_and_removed_and_nobody_else_reads_them(scene: Scene, desk: Desk) -> None:
    with desk.catalog() as catalog:
        context = keeper_of(desk, catalog)
        change_tags(context, [scene.seen[0][0]], add=["third", "first"], remove=["second"])
        change_tags(context, [scene.seen[0][0], scene.seen[1][0]], add=["fourth"])

    assert ("first", "third", "fourth") == tagged(desk)
    assert ("fourth",) == tagged(scene.new_desk(), 1)
    stored = b"".join(desk.backend.get(info.name) for info in desk.backend.list(layout.LOG))
    assert b"fourth" not in stored


def test_tags_need_the_keys_of_the_domain(scene: Scene, desk: Desk) -> None:
    with desk.catalog() as catalog:
        context = replace(keeper_of(desk, catalog), find_keys=hidden)
        with pytest.raises(KeyringError, match="not on this machine") as caught:
            change_tags(context, [scene.seen[0][0]], add=["more"])

    assert "recovery key" in (caught.value.hint or "")


def test_tags_of_others_are_left_alone_without_their_keys(scene: Scene, desk: Desk) -> None:
    with desk.catalog() as catalog:
        change_tags(keeper_of(desk, catalog), [scene.seen[0][0]], add=["more"])
        catalog.refresh(desk.backend, desk.trust, hidden)
        assert [()] * 3 == [one.tags for one in catalog.snapshots(desk.trust, hidden)]


def garbled(trust: Trust, number: int) -> TagBody:
    return TagBody("web1", 1, "web1", 1, b"x" * 60)


def copied(trust: Trust, number: int) -> TagBody:
    sealed = seal_tags(TagNames(("more",), ()), number + 1, trust, epoch_of("web1").keys)
    return TagBody("web1", 1, "web1", 1, sealed)


@pytest.mark.parametrize("make", [garbled, copied])
def test_tags_that_do_not_open_are_found_and_change_nothing(
    desk: Desk, make: Callable[[Trust, int], TagBody]
) -> None:
    keeper = Keeper(name="keeper", signer=desk.vault.keeper)
    trust = desk.trust
    append(desk.backend, trust, keeper, ToldClock(), lambda number: make(trust, number))

    with desk.catalog() as catalog:
        findings = catalog.refresh(desk.backend, trust, desk.keys.domain)
        snapshots = catalog.snapshots(trust, desk.keys.domain)

    assert 1 == len(findings)
    assert ("first", "second") == snapshots[0].tags


# Hosts of one vault


def test_a_keeper_reads_the_log_of_every_host(tmp_path: Path) -> None:
    vault = Vault(hosts=("web1", "web2"))
    backend = MemoryBackend()
    vault.found(backend)
    (tmp_path / "tree").mkdir()
    for host in vault.hosts:
        machine = Machine(vault=vault, backend=backend, state=tmp_path / host, host=host)
        machine.back_up(tmp_path / "tree")
    desk = Desk(vault=vault, backend=backend, folder=tmp_path / "desk")
    first, second = desk.snapshots()
    desk.forget([first])

    assert [second] == desk.snapshots()
    assert {SessionId(host="web1", seq=1)} == {first.session}
