"""Checking a vault: what is missing, damaged, hidden, and what it costs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.scrubbing import replace_object
from tests.support.vaults import Desk, Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.clock import SystemClock
from vaultd.core.events import Advanced, Event, PhaseStarted
from vaultd.core.snapshot import Kind
from vaultd.maintenance.check import CheckContext, CheckReport, check, known_health
from vaultd.maintenance.ledger import Ledger, Result
from vaultd.maintenance.subsets import Sample, parse_share, parse_subset
from vaultd.policy.seats import Health
from vaultd.vault import layout
from vaultd.vault.bundles import DomainKeys


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two snapshots of one chain, and a full of a second store."""
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("large", os.urandom(600_000))
    scene.write("small", b"small")
    scene.back_up(Kind.FULL)
    scene.write("more", os.urandom(2000))
    scene.back_up(Kind.INCREMENTAL)
    return scene


@contextmanager
def context_of(desk: Desk, events: list[Event]) -> Iterator[CheckContext]:
    keys = desk.keys
    with desk.catalog() as catalog:
        yield CheckContext(
            backend=desk.backend,
            trust=desk.trust,
            catalog=catalog,
            find_keys=keys.domain,
            keys=keys,
            folder=desk.folder,
            clock=SystemClock(),
            observer=events.append,
        )


def hidden(domain: str, epoch: int) -> DomainKeys | None:
    return None


def test_a_whole_vault_is_whole_and_every_byte_was_read(scene: Scene) -> None:
    events: list[Event] = []
    desk = scene.new_desk()
    with context_of(desk, events) as context:
        report = check(context, read_data=True)

    packs = [info.size for info in scene.backend.list(layout.PACKS)]
    parts = [info.size for info in scene.backend.list(layout.PARTS)]
    assert ((), (), True) == (report.damages, report.hidden, report.opened)
    assert (2, len(packs), sum(packs)) == (report.snapshots, report.packs, report.data)
    assert sum(packs) + sum(parts) == report.read
    names = [event.name for event in events if isinstance(event, PhaseStarted)]
    assert ["check references", "check trees", "read data"] == names
    assert any(isinstance(event, Advanced) and event.data for event in events)


def test_references_and_trees_are_checked_without_reading_contents(scene: Scene) -> None:
    report = scene.new_desk().check(read_data=False)

    assert ((), 0, False) == (report.damages, report.read, report.opened)


def test_hashes_tell_damage_without_any_key(scene: Scene) -> None:
    for info in list(scene.backend.list(layout.PACKS))[:1]:
        contents = scene.backend.get(info.name)
        scene.backend.delete(info.name)
        scene.backend.put(info.name, contents[:-30] + bytes(30))
    events: list[Event] = []
    with context_of(scene.new_desk(), events) as context:
        report = check(replace(context, keys=None), read_data=True)

    assert [info.name] == [damage.name for damage in report.damages]
    assert "its bytes have hash" in report.damages[0].reason
    assert not report.opened


def test_snapshots_whose_keys_are_not_at_hand_are_named(scene: Scene) -> None:
    with context_of(scene.new_desk(), []) as context:
        report = check(replace(context, find_keys=hidden), read_data=True)

    assert tuple(snapshot.short_id for snapshot, _ in scene.seen) == report.hidden
    assert ((), 0) == (report.damages, report.packs)


def test_a_missing_pack_harms_the_snapshots_that_need_it(scene: Scene) -> None:
    both = tuple(snapshot.short_id for snapshot, _ in scene.seen)
    first, second = (
        next(iter(scene.backend.list(f"{layout.PACKS}{snapshot.session}/"))).name
        for snapshot, _ in scene.seen
    )
    scene.backend.delete(first)
    scene.backend.delete(second)

    damages = {damage.name: damage for damage in scene.new_desk().check().damages}

    assert ("is missing", both) == (damages[first].reason, damages[first].snapshots)
    assert both[1:] == damages[second].snapshots


def test_a_pack_of_another_length_is_told_with_both(scene: Scene) -> None:
    info = next(iter(scene.backend.list(layout.PACKS)))
    scene.backend.delete(info.name)
    scene.backend.put(info.name, b"short")

    damages = [one for one in scene.new_desk().check().damages if one.name == info.name]

    assert f"has 5 bytes, expected {info.size}" == damages[0].reason


def test_a_lost_part_is_missing_and_its_packs_are_still_read(scene: Scene) -> None:
    for info in scene.backend.list(layout.PARTS):
        scene.backend.delete(info.name)

    report = scene.new_desk().check()

    assert {"is missing"} == {damage.reason for damage in report.damages}
    assert all(damage.name.startswith(layout.PARTS) for damage in report.damages)


def test_a_root_that_was_replaced_after_it_was_seen_is_another_object(scene: Scene) -> None:
    desk = scene.new_desk()
    assert () == desk.check().damages
    first, second = (layout.outcome(snapshot.session) for snapshot, _ in scene.seen)
    scene.backend.delete(first)
    scene.backend.put(first, scene.backend.get(second))

    reasons = {damage.reason for damage in desk.check().damages if damage.name == first}

    assert "is another object than the one that was committed" in reasons


# What is read, and what is remembered


def sample(subset: str | None = None, shard: str | None = None) -> Sample:
    return Sample(
        subset=None if subset is None else parse_subset(subset),
        shard=None if shard is None else parse_share(shard),
        random=bytes,
    )


def objects(scene: Scene) -> dict[str, int]:
    prefixes = layout.PACKS, layout.PARTS
    return {info.name: info.size for one in prefixes for info in scene.backend.list(one)}


def test_what_a_check_reads_is_in_the_ledger(scene: Scene) -> None:
    desk = scene.new_desk()
    with context_of(desk, []) as context:
        unread = check(context)
        report = check(context, read_data=True)
        again = check(context)

    with closing(Ledger(desk.folder, desk.backend.location)) as ledger:
        readings = {one.name: one for one in ledger.readings()}
        spent = ledger.spent(context.clock.now_ns())
    assert {(Result.GOOD, True)} == {
        (one.result, one.opened) for name, one in readings.items() if name.startswith(layout.PACKS)
    }
    roots = {layout.outcome(snapshot.session) for snapshot, _ in scene.seen}
    assert roots | set(objects(scene)) == set(readings)
    assert sum(objects(scene).values()) == spent.size == report.age.read
    assert (len(objects(scene)), 0) == (unread.age.never, report.age.rest)
    assert (0, len(objects(scene))) == (again.age.never, again.age.rest)


@pytest.mark.parametrize("subset", ["1%", "1", "30K"])
def test_a_sample_reads_until_it_has_enough_and_the_rest_is_told(scene: Scene, subset: str) -> None:
    with context_of(scene.new_desk(), []) as context:
        reads: list[CheckReport] = []
        while not reads or reads[-1].age.never:
            reads.append(check(context, read_data=True, sample=sample(subset)))

    sizes = objects(scene)
    assert len(reads) <= len(sizes)
    assert all(0 < report.read < sum(sizes.values()) for report in reads)
    assert [0] == [report.age.never for report in reads[-1:]]


def test_what_was_bad_and_is_not_read_again_is_suspect(scene: Scene) -> None:
    name = max(objects(scene).items(), key=lambda item: item[1])[0]
    before = replace_object(scene.backend, name, bytes(objects(scene)[name]))
    with context_of(scene.new_desk(), []) as context:
        found = check(context, read_data=True)
        plain = check(context)
        replace_object(scene.backend, name, before)
        healed = check(context, read_data=True)

    assert [(name,)] == [(one.name,) for one in found.damages]
    assert ((), ((name,), ())) == (found.suspects, (plain.suspects, plain.damages))
    assert ((), ()) == (healed.suspects, healed.damages)


def test_nothing_is_known_of_snapshots_before_anything_was_read(scene: Scene) -> None:
    desk = scene.new_desk()
    snapshots = desk.snapshots()
    with context_of(desk, []) as context:
        assert {} == known_health(context, snapshots, 60)
        check(context, read_data=True)
        assert {Health.GOOD} == set(known_health(context, snapshots, 60).values())
