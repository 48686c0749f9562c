"""Locks over months: promises hold, and nothing is extended more often than it must be."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.locks import extend, hide_all, lock_context, locks_of, versions_in
from tests.support.vaults import Scene
from tests.support.versioned import VersionedMemory
from tests.unit.vault.making import ToldClock
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.versions import LockMode
from vaultd.core.clock import SystemClock
from vaultd.core.errors import ConfigError
from vaultd.core.snapshot import Kind
from vaultd.maintenance.locks import check_locks, plan_extension, versions_of
from vaultd.vault import layout
from vaultd.vault.committed import read_root
from vaultd.vault.lock_options import DAY_S, PROBES, LockOptions

DAY_NS = int(DAY_S) * 10**9


class Story:
    """A vault in a bucket that locks, on a clock that is told."""

    def __init__(self, folder: Path, *, generation_days: int = 10) -> None:
        options = LockOptions(
            mode=LockMode.COMPLIANCE, retain_s=30 * DAY_S, generation_s=generation_days * DAY_S
        )
        self.clock = ToldClock(SystemClock().now_ns())
        self.memory = VersionedMemory(rule=options.rule, clock=self.clock)
        self.scene = Scene(folder, self.memory)
        self.scene.machine.clock = self.clock
        self.dice = random.Random(7)

    def change(self, number: int) -> None:
        name = f"d{self.dice.randrange(3)}/f{self.dice.randrange(8)}"
        self.scene.write(name, self.dice.randbytes(20_000) + bytes([number]))


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_what_is_put_is_locked_by_what_it_is(story: Story) -> None:
    story.change(1)
    snapshot = story.scene.back_up().snapshot

    locks = {name: kept[0].lock for name, kept in story.memory.kept.items()}
    now_ns = story.clock.now_ns()
    days = {
        name.partition("/")[0]: (lock.until_ns - now_ns) // DAY_NS
        for name, lock in locks.items()
        if lock is not None
    }
    assert {
        **dict.fromkeys(("packs", "index", "snap"), 40),
        **dict.fromkeys(("keys", "vault.json"), 395),
        "sess": 30,
    } == days
    root = read_root(story.memory, story.scene.desk.trust, snapshot)
    assert now_ns + 30 * DAY_NS == root.retain_until_ns


def test_names_that_are_no_objects_of_a_vault_are_not_locked() -> None:
    rule = LockOptions(mode=LockMode.GOVERNANCE, retain_s=1).rule
    assert None is rule.lock_for("doctor/x", 0)
    probe = rule.lock_for(f"{PROBES}x", 0)
    assert probe is not None
    assert 60 * 10**9 == probe.until_ns


@pytest.mark.parametrize(("retain_s", "generation_s"), [(0, 1), (1, 0), (-1, 1)])
def test_locks_of_no_time_are_refused(retain_s: float, generation_s: float) -> None:
    with pytest.raises(ConfigError):
        LockOptions(mode=LockMode.GOVERNANCE, retain_s=retain_s, generation_s=generation_s)


def test_fifty_snapshots_with_forgetting_are_locked_as_promised(story: Story) -> None:
    kinds = [None, None, Kind.INCREMENTAL, Kind.DIFFERENTIAL, Kind.FULL]
    versions = story.memory.versions
    extended_at: dict[str, list[int]] = {}
    violations = 0
    desk = story.scene.desk
    for number in range(50):
        story.change(number)
        story.scene.back_up(story.dice.choice(kinds))
        if number % 7 == 6:
            alive = desk.snapshots()
            desk.forget(story.dice.sample(alive[:-3], 3))
        violations += len(locks_of(desk).violations)
        versions.extended.clear()
        extend(desk)
        for name in versions.extended:
            extended_at.setdefault(name, []).append(story.clock.now_ns())
        report = locks_of(desk)
        assert () == report.violations
        assert report.promised > 0
        story.clock.sleep(1.5 * DAY_S)

    # Chains are longer than a generation here: without extensions promises would be broken.
    assert violations > 0
    for times in extended_at.values():
        assert all(b - a >= 10 * DAY_NS for a, b in itertools.pairwise(times))
    needed = {one.name for one in story.memory.versions.list("")}
    assert set(extended_at) < needed


def test_a_generation_as_long_as_a_chain_extends_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path, generation_days=40)
    for number in range(25):
        story.change(number)
        story.scene.back_up()
        assert () == extend(story.scene.desk).extensions
        assert () == locks_of(story.scene.desk).violations
        story.clock.sleep(2 * DAY_S)


def test_only_what_is_not_known_is_asked_for(story: Story) -> None:
    for number in range(4):
        story.change(number)
        story.scene.back_up()
    desk, versions = story.scene.desk, story.memory.versions
    extend(desk)
    versions.asked = 0
    extend(desk)
    assert 0 == versions.asked
    report = locks_of(desk)
    assert report.objects == versions.asked


def test_packs_that_only_forgotten_snapshots_need_are_not_extended(story: Story) -> None:
    story.scene.write("big", story.dice.randbytes(100_000))
    first = story.scene.back_up(Kind.FULL).snapshot
    story.clock.sleep(35 * DAY_S)
    story.change(2)
    story.scene.back_up(Kind.INCREMENTAL)
    story.change(3)
    story.scene.back_up(Kind.FULL)
    desk = story.scene.desk
    wanted = {one.version.name for one in plan_extension(lock_context(desk)).extensions}
    assert any(name.startswith(f"packs/web1/{first.session.seq:010d}") for name in wanted)

    desk.forget(desk.snapshots()[:2])

    assert () == extend(desk).extensions


def test_a_promise_that_is_over_binds_nobody(story: Story) -> None:
    story.change(1)
    story.scene.back_up()
    story.clock.sleep(31 * DAY_S)
    report = locks_of(story.scene.desk)
    assert (0, 0, ()) == (report.promised, report.objects, report.violations)


def test_a_host_cannot_make_the_keeper_lock_for_centuries(story: Story) -> None:
    rule = story.memory.versions.rule
    assert rule is not None
    story.change(1)
    story.memory.versions.rule = replace(rule, promise_s=100 * 365 * DAY_S)
    story.scene.back_up()
    story.memory.versions.rule = rule
    extend(story.scene.desk)
    longest = max(
        kept.lock.until_ns
        for name, versions in story.memory.kept.items()
        for kept in versions
        if kept.lock is not None and name.startswith("packs/")
    )
    assert longest <= story.clock.now_ns() + 42 * DAY_NS


def test_what_is_not_locked_or_gone_is_named(story: Story) -> None:
    story.change(1)
    snapshot = story.scene.back_up().snapshot
    desk = story.scene.desk
    pack = next(info.name for info in story.memory.list(layout.PACKS))
    part = next(info.name for info in story.memory.list(layout.PARTS))
    story.memory.kept[pack][0].lock = None
    del story.memory.kept[part]

    found = {one.name: one for one in locks_of(desk).violations}

    assert {pack, part} == set(found)
    assert "not locked" in found[pack].reason
    assert "gone" in found[part].reason
    assert snapshot.short_id == found[pack].snapshot
    plan = plan_extension(lock_context(desk))
    assert [pack] == [one.version.name for one in plan.extensions]
    assert [part] == [one.name for one in plan.violations]


def test_hidden_objects_are_still_locked_and_extended_beneath(story: Story) -> None:
    story.change(1)
    story.scene.back_up()
    context = lock_context(story.scene.desk)
    pack = next(info.name for info in story.memory.list(layout.PACKS))
    story.memory.cover(pack, b"a thief's")
    story.memory.delete(pack)
    story.memory.kept[pack][0].lock = None

    plan = plan_extension(context)

    assert [story.memory.kept[pack][0].id] == [one.version.id for one in plan.extensions]


def test_snapshots_whose_keys_are_not_at_hand_are_counted(story: Story) -> None:
    story.change(1)
    snapshot = story.scene.back_up().snapshot
    context = replace(lock_context(story.scene.desk), find_keys=lambda *_: None)
    assert (snapshot.short_id,) == check_locks(context).hidden
    assert (snapshot.short_id,) == plan_extension(context).hidden


def test_without_versions_or_a_rule_it_is_said(story: Story) -> None:
    with pytest.raises(ConfigError, match="keeps no versions"):
        versions_of(MemoryBackend())
    story.memory.versions.rule = None
    with pytest.raises(ConfigError, match="how long"):
        plan_extension(lock_context(story.scene.desk))


def test_an_unlocked_vault_promises_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, VersionedMemory())
    scene.write("a", b"a")
    snapshot = scene.back_up().snapshot
    assert 0 == read_root(scene.backend, scene.desk.trust, snapshot).retain_until_ns
    assert 0 == locks_of(scene.desk).promised


def test_a_root_that_is_gone_is_a_violation(story: Story) -> None:
    story.change(1)
    story.scene.back_up()
    context = lock_context(story.scene.desk)
    hide_all(story.memory)
    report = check_locks(context)
    assert [layout.outcome(context.snapshots[0].session)] == [one.name for one in report.violations]
    assert versions_in(story.memory).are_kept()
