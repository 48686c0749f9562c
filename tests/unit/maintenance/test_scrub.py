"""Scrubbing: what is read when, what it may cost, and what is told of damage."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.support.scrubbing import DAY_NS, Scrubber, replace_object, scrubber_of
from tests.support.vaults import Scene
from vaultd.backends.base import Backend, ObjectInfo
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.errors import StorageError, StorageUnavailableError
from vaultd.core.snapshot import Kind
from vaultd.maintenance.ledger import Result
from vaultd.maintenance.scrub import ScrubLimits
from vaultd.maintenance.subsets import Share
from vaultd.policy.scrubbing import Due, ScrubRule
from vaultd.policy.seats import Health
from vaultd.vault import layout


class Watched(Forwarding):
    """Notes which packs and index parts are read, in order; may fail, and may flip bytes once.

    Args:
        inner: The honest backend.
        failing_at: At which of these reads it is gone; 0: never.
        flipped: Objects of which the first read is wrong.
    """

    def __init__(
        self, inner: Backend, failing_at: int = 0, flipped: set[str] | None = None
    ) -> None:
        super().__init__(inner)
        self.read: list[str] = []
        self.failing_at = failing_at
        self.flipped = flipped or set()

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        found = super().get(name, offset=offset, length=length)
        if name.startswith((layout.PACKS, layout.PARTS)):
            self.read.append(name)
            if len(self.read) == self.failing_at:
                raise StorageUnavailableError("gone")
            if name in self.flipped:
                self.flipped.remove(name)
                return bytes(len(found))
        return found


class Unreadable(Forwarding):
    """Cannot read objects whose names begin in some way, as a disk with bad sectors.

    Args:
        inner: The honest backend.
        prefix: See above.
    """

    def __init__(self, inner: Backend, prefix: str) -> None:
        super().__init__(inner)
        self.prefix = prefix

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        if name.startswith(self.prefix):
            raise StorageError("input/output error")
        return super().get(name, offset=offset, length=length)

    def head(self, name: str) -> ObjectInfo:
        if name.startswith(self.prefix):
            raise StorageError("input/output error")
        return super().head(name)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A full snapshot with many small packs, and an incremental one."""
    scene = Scene(tmp_path, MemoryBackend())
    for number in range(12):
        scene.write(f"large/{number}", os.urandom(540_000))
    scene.back_up(Kind.FULL)
    scene.write("small", os.urandom(90_000))
    scene.back_up(Kind.INCREMENTAL)
    return scene


def needed(scene: Scene) -> dict[str, int]:
    prefixes = layout.PACKS, layout.PARTS
    return {info.name: info.size for prefix in prefixes for info in scene.backend.list(prefix)}


def pack_of(scene: Scene, at: int) -> str:
    """Return the largest pack of a snapshot, which holds contents."""
    session = scene.seen[at][0].session
    return max(scene.backend.list(layout.packs_of(session)), key=lambda info: info.size).name


def sha256_in(name: str) -> str:
    return name.rpartition("/")[2]


# What is read, and when


def test_the_first_run_reads_everything_the_newest_first_and_the_next_one_nothing(
    scene: Scene,
) -> None:
    watched = Watched(scene.backend)
    scrubber = scrubber_of(scene, watched)
    scrubber.desk.workers = 1

    first, second = scrubber.run(), scrubber.run()

    written = {info.name: info.modified_ns for info in scene.backend.list("")}
    expected = sorted(needed(scene), key=lambda name: (-written[name], name))
    assert expected == list(dict.fromkeys(watched.read))
    assert [(Due.NEW, len(expected))] == [(one.due, one.count) for one in first.plan.planned]
    assert (len(expected), sum(needed(scene).values())) == (first.objects, first.read)
    assert (0, 0, 0) == (second.objects, second.requests, second.age.rest)
    assert scrubber.clock.ns == first.all_read_ns == second.all_read_ns
    roots = {layout.outcome(snapshot.session) for snapshot, _ in scene.seen}
    assert set(expected) | roots == set(scrubber.readings())


def test_everything_is_read_once_within_the_window_in_even_parts(scene: Scene) -> None:
    scrubber = scrubber_of(scene)
    limits = ScrubLimits(rule=ScrubRule(window_s=10 * 86_400))
    scrubber.run(limits)
    begun_ns, whole = scrubber.clock.ns, sum(needed(scene).values())
    for day in range(1, 11):
        scrubber.clock.ns = begun_ns + day * DAY_NS
        report = scrubber.run(limits)
        # What is larger than a day's share waits until it must not wait any longer.
        assert day >= 9 or report.read <= whole // 10

    readings = scrubber.readings()
    assert all(readings[name].read_ns > begun_ns for name in needed(scene))


def test_what_could_not_be_read_in_time_is_overdue_and_comes_before_the_share(scene: Scene) -> None:
    scrubber = scrubber_of(scene)
    scrubber.run()
    scrubber.clock.ns += 40 * DAY_NS

    report = scrubber.run()

    assert [Due.OVERDUE] == [one.due for one in report.plan.planned]
    assert len(needed(scene)) == report.objects


def test_readings_of_the_future_keep_nothing_from_being_read(scene: Scene) -> None:
    scrubber = scrubber_of(scene)
    scrubber.clock.ns += 4000 * DAY_NS
    scrubber.run()
    scrubber.clock.ns -= 4000 * DAY_NS

    assert [Health.UNKNOWN] * 2 == proofs(scrubber, scene)
    assert len(needed(scene)) == scrubber.run().objects
    assert [Health.GOOD] * 2 == proofs(scrubber, scene)


def test_several_machines_share_the_work(scene: Scene) -> None:
    reports = [scrubber_of(scene).run(ScrubLimits(shard=Share(number, 3))) for number in (1, 2, 3)]

    assert len(needed(scene)) == sum(report.objects for report in reports)
    assert all(report.age.rest == 0 for report in reports)
    assert all(report.objects < len(needed(scene)) for report in reports)


def test_a_plan_reads_nothing_and_remembers_nothing(scene: Scene) -> None:
    watched = Watched(scene.backend)
    scrubber = scrubber_of(scene, watched)

    plan = scrubber.plan()

    assert (2, len(needed(scene))) == (plan.snapshots, plan.needed.count)
    assert [] == watched.read
    assert {} == scrubber.readings()


# What it may cost


def test_a_run_ends_at_its_limits_and_the_next_goes_on_behind(scene: Scene) -> None:
    watched = Watched(scene.backend)
    scrubber = scrubber_of(scene, watched)
    runs = 0
    while (report := scrubber.run(ScrubLimits(max_bytes=1_300_000))).objects:
        assert report.read <= 1_300_000
        runs += 1

    assert runs >= 5
    assert sorted(needed(scene)) == sorted(watched.read)


def test_bytes_of_a_day_are_remembered_across_runs(scene: Scene) -> None:
    scrubber = scrubber_of(scene)
    limits = ScrubLimits(rule=ScrubRule(bytes_per_day=1_900_000))

    first, second = scrubber.run(limits), scrubber.run(limits)
    scrubber.clock.ns += DAY_NS
    third = scrubber.run(limits)

    assert 1_200_000 < first.read <= 1_900_000
    assert (0, 0) == (second.objects, second.requests)
    assert 1_200_000 < third.read <= 1_900_000
    assert first.read == second.plan.spent.size
    assert first.all_read_ns is None


@pytest.mark.parametrize("opens", [False, True])
def test_requests_of_a_day_are_counted_and_limited(scene: Scene, opens: bool) -> None:
    watched = Watched(scene.backend)
    scrubber = scrubber_of(scene, watched, opens=opens)
    limits = ScrubLimits(rule=ScrubRule(requests_per_day=14))

    report = scrubber.run(limits)

    assert 0 < report.objects < len(needed(scene))
    assert len(watched.read) == report.requests <= 14
    assert report.requests == scrubber.plan(limits).spent.requests


def test_an_object_larger_than_a_day_allows_is_read_alone(scene: Scene) -> None:
    scrubber = scrubber_of(scene)
    limits = ScrubLimits(rule=ScrubRule(bytes_per_day=10))

    counts = []
    for _ in needed(scene):
        counts.append((scrubber.run(limits).objects, scrubber.run(limits).objects))
        scrubber.clock.ns += DAY_NS

    assert {(1, 0)} == set(counts)
    assert not scrubber.plan(limits).needed.count - len(counts)


def test_a_run_that_fails_is_gone_on_with_behind_what_was_read(scene: Scene) -> None:
    watched = Watched(scene.backend, failing_at=5)
    scrubber = scrubber_of(scene, watched)
    scrubber.desk.workers = 1
    with pytest.raises(StorageUnavailableError):
        scrubber.run()

    scrubber.run()

    again = [name for name in set(watched.read) if watched.read.count(name) > 1]
    assert [watched.read[4]] == again


# Damage


def test_damage_is_found_without_any_recovery_key_and_told_to_hosts_once(scene: Scene) -> None:
    scrubber = scrubber_of(scene)
    scrubber.run()
    name = pack_of(scene, 0)
    before = replace_object(scene.backend, name, bytes(needed(scene)[name]))
    scrubber.clock.ns += 40 * DAY_NS

    first, second = scrubber.run(), scrubber.run()

    both = tuple(snapshot.short_id for snapshot, _ in scene.seen)
    for report in (first, second):
        assert [(name, both)] == [(one.name, one.snapshots) for one in report.damages]
        assert "its bytes have hash" in report.damages[0].reason
        assert (False, ()) == (report.opened, report.files)
    assert (1, 0) == (first.logged, second.logged)
    assert {sha256_in(name): "damaged"} == scrubber.avoided()
    assert [Due.SUSPECT] == [one.due for one in second.plan.planned]

    replace_object(scene.backend, name, before)
    third = scrubber.run()

    assert ((), (name,), 1) == (third.damages, third.healed, third.logged)
    assert {} == scrubber.avoided()


def test_a_lost_pack_is_told_and_so_is_that_it_came_back(scene: Scene) -> None:
    scrubber = scrubber_of(scene)
    name = pack_of(scene, 1)
    before = scene.backend.get(name)
    scene.backend.delete(name)

    lost = scrubber.run()
    scene.backend.put(name, before)
    found = scrubber.run()

    assert [(name, "is missing")] == [(one.name, one.reason) for one in lost.damages]
    assert (scene.seen[1][0].short_id,) == lost.damages[0].snapshots
    assert Result.GOOD is scrubber.readings()[name].result
    assert ((), (name,)) == (found.damages, found.healed)
    assert {} == scrubber.avoided()


def test_what_another_keeper_called_bad_is_read_soon_and_called_good(scene: Scene) -> None:
    name = pack_of(scene, 0)
    before = replace_object(scene.backend, name, None)
    scrubber_of(scene).run()
    replace = scene.backend.put
    replace(name, before)

    other = scrubber_of(scene)
    assert {sha256_in(name): "lost"} == other.avoided()
    report = other.run(ScrubLimits(rule=ScrubRule(window_s=30 * 86_400)))

    assert (name,) == report.healed
    assert {} == other.avoided()


def test_a_run_that_died_before_it_told_hosts_is_made_up_for(scene: Scene) -> None:
    name = pack_of(scene, 0)
    replace_object(scene.backend, name, b"short")
    scrubber = scrubber_of(scene, is_keeper=False)
    assert scrubber.run().logged is None
    assert {} == scrubber.avoided()

    scrubber.is_keeper = True
    report = scrubber.run()

    assert 1 == report.logged
    assert {sha256_in(name): "damaged"} == scrubber.avoided()


def test_bytes_flipped_on_the_way_are_no_damage(scene: Scene) -> None:
    watched = Watched(scene.backend, flipped={pack_of(scene, 0), pack_of(scene, 1)})

    report = scrubber_of(scene, watched).run()

    assert ((), 0) == (report.damages, report.logged)
    assert not watched.flipped


@pytest.mark.parametrize("opens", [False, True])
def test_a_bad_sector_is_damage_of_one_object_and_ends_nothing(scene: Scene, opens: bool) -> None:
    name = pack_of(scene, 1)
    scrubber = scrubber_of(scene, Unreadable(scene.backend, name), opens=opens)

    report = scrubber.run()

    assert [(name, "input/output error")] == [(one.name, one.reason) for one in report.damages]
    assert len(needed(scene)) == report.objects
    assert {sha256_in(name): "damaged"} == scrubber.avoided()
    assert opens == bool(report.files)


def test_a_disk_that_is_gone_is_no_damage(scene: Scene) -> None:
    backend = Unreadable(scene.backend, layout.PACKS)
    scrubber = scrubber_of(scene, backend)
    with scrubber.planned(ScrubLimits()) as scrub:
        backend.prefix = ""
        with pytest.raises(StorageError):
            scrub.execute()

    assert {} == scrubber_of(scene).avoided()


def test_with_a_recovery_key_exactly_the_files_are_named(scene: Scene) -> None:
    name = pack_of(scene, 1)
    replace_object(scene.backend, name, None)

    report = scrubber_of(scene, opens=True).run()

    small = bytes(scene.tree / "small")[1:]
    assert [(small, (scene.seen[1][0].short_id,))] == [
        (file.path, file.snapshots) for file in report.files
    ]
    assert ("web1", "files", False) == (
        report.files[0].host,
        report.files[0].store,
        report.files[0].is_listing,
    )


def test_a_lost_index_part_is_damage_that_costs_no_file_and_is_not_avoided(scene: Scene) -> None:
    part = next(iter(scene.backend.list(layout.PARTS))).name
    replace_object(scene.backend, part, None)

    scrubber = scrubber_of(scene, opens=True)
    report = scrubber.run()

    assert [part] == [one.name for one in report.damages]
    assert ((), 0) == (report.files, report.logged)


# Healing


def test_what_is_healed_is_read_before_it_is_called_good(scene: Scene) -> None:
    good, lying = pack_of(scene, 0), pack_of(scene, 1)
    before = replace_object(scene.backend, good, None)
    replace_object(scene.backend, lying, b"short")
    asked: list[str] = []

    def heal(names: Collection[str]) -> Collection[str]:
        asked.extend(names)
        scene.backend.put(good, before)
        return {good, lying, "packs/that/nobody/asked/for"}

    scrubber = scrubber_of(scene)
    report = scrubber.run(heal=heal)

    assert sorted([good, lying]) == asked
    assert ((good,), [lying]) == (report.healed, [one.name for one in report.damages])
    assert {sha256_in(lying): "damaged"} == scrubber.avoided()


# What is proven


def proofs(scrubber: Scrubber, scene: Scene) -> list[Health]:
    found = scrubber.proofs()
    return [found[snapshot.session] for snapshot, _ in scene.seen]


def test_a_snapshot_is_good_when_all_its_packs_were_read_lately(scene: Scene) -> None:
    scrubber = scrubber_of(scene)
    assert [Health.UNKNOWN] * 2 == proofs(scrubber, scene)
    scrubber.run()
    assert [Health.GOOD] * 2 == proofs(scrubber, scene)
    scrubber.clock.ns += 2 * DAY_NS
    assert [Health.UNKNOWN] * 2 == proofs(scrubber, scene)
    scrubber.clock.ns -= 2 * DAY_NS
    scene.back_up(Kind.INCREMENTAL)
    assert [Health.GOOD, Health.GOOD, Health.UNKNOWN] == proofs(scrubber, scene)
    replace_object(scene.backend, pack_of(scene, 1), None)
    assert [Health.GOOD, Health.DAMAGED, Health.DAMAGED] == proofs(scrubber, scene)


def test_objects_that_nobody_needs_any_more_are_dropped_from_the_ledger(scene: Scene) -> None:
    scrubber = scrubber_of(scene)
    scrubber.run()
    gone = pack_of(scene, 1)
    scrubber.desk.forget([scene.seen[1][0]])
    scene.backend.delete(gone)

    report = scrubber.run()

    assert () == report.damages
    assert gone not in scrubber.readings()
