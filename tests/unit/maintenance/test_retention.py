"""From the snapshots of a vault and the storage's times to a plan, and from that to the log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.vaults import Scene
from vaultd.core.clock import SystemClock
from vaultd.core.snapshot import Kind, SessionId, Snapshot
from vaultd.format.log import ForgetBody
from vaultd.maintenance.keeping import KeeperContext
from vaultd.maintenance.retention import (
    RetentionPlan,
    Rules,
    execute_retention,
    plan_retention,
)
from vaultd.policy.calendar import Span
from vaultd.policy.retention import RetentionPolicy
from vaultd.policy.seats import Health
from vaultd.vault import layout
from vaultd.vault.log import EMPTY, Keeper, read_after

DAY_NS = 86_400 * 10**9
NOW_NS = 1_606_176_000 * 10**9  # 2020-11-24, midnight: before whatever hosts say in these tests
POLICY = RetentionPolicy(keep_daily=1, min_age_s=0)


def committed(scene: Scene, session: SessionId, at_ns: int) -> None:
    """Let the storage say that it took an outcome at a time."""
    os.utime(scene.folder / "vault" / layout.outcome(session), ns=(at_ns, at_ns))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Six full snapshots of one store, the storage's times a day apart, the newest of yesterday."""
    scene = Scene(tmp_path_factory.mktemp("scene"))
    scene.write("file", b"contents")
    for back in range(6, 0, -1):
        session = scene.back_up(Kind.FULL).snapshot.session
        committed(scene, session, NOW_NS - back * DAY_NS)
    return scene


def plan(
    scene: Scene, snapshots: list[Snapshot], policy: RetentionPolicy = POLICY, **rules: object
) -> RetentionPlan:
    fields = {"policy_of": lambda _: policy, "min_age_days": 0, **rules}
    return plan_retention(scene.backend, snapshots, Rules(**fields), NOW_NS)  # type: ignore[arg-type]  # by name


def kept(result: RetentionPlan) -> list[int]:
    return [one.snapshot.session.seq for one in result.judged if one.kept]


def test_the_storage_s_times_count(scene: Scene) -> None:
    result = plan(scene, scene.desk.snapshots())

    assert [4, 5, 6] == kept(result)
    assert [3, 2, 1] == [one.snapshot.session.seq for one in result.doomed]
    assert "daily of 2020-11-23" in result.judged[-1].reasons
    assert ("no rule keeps it",) == result.judged[0].reasons
    assert "keep-daily 1, min-age 0 days" == result.judged[0].policy
    assert () == result.warnings


def test_no_policy_goes_below_the_least_age_of_the_vault(scene: Scene) -> None:
    result = plan(scene, scene.desk.snapshots(), min_age_days=5)

    assert [3, 4, 5, 6] == kept(result)
    assert ("younger than 5 days",) == result.judged[2].reasons


def test_a_pin_and_a_proof_count(scene: Scene) -> None:
    snapshots = scene.desk.snapshots()
    health = {one.session: Health.DAMAGED for one in snapshots[3:]}

    result = plan(
        scene,
        snapshots,
        pinned=frozenset({snapshots[0].session}),
        health=lambda one: health.get(one.session, Health.GOOD),
    )

    assert [1, 2, 3, 4, 5, 6] == kept(result)
    assert "pinned" == result.judged[0].reasons[0]
    assert "one of the newest 3 proven good" in result.judged[2].reasons
    assert ("daily of 2020-11-23",) == result.judged[-1].reasons


def test_hidden_names_are_not_judged(scene: Scene) -> None:
    snapshots = scene.desk.snapshots()
    hidden = [replace(one, store="", tags=()) for one in snapshots]

    everything = plan(scene, hidden)
    some = plan(scene, [*hidden[:2], *snapshots[2:]])

    assert [1, 2, 3, 4, 5, 6] == kept(everything)
    assert [1, 2, 4, 5, 6] == kept(some)
    assert "2 of 6 snapshots" in some.warnings[0]


def test_what_is_gone_from_the_storage_is_kept_in_the_list(scene: Scene) -> None:
    snapshots = scene.desk.snapshots()
    gone = replace(snapshots[0], session=SessionId(host="web1", seq=99))

    result = plan(scene, [*snapshots, gone])

    assert "its outcome is not in the storage" in result.judged[-1].reasons


def test_a_store_has_the_name_that_it_had_first(scene: Scene) -> None:
    snapshots = scene.desk.snapshots()
    renamed = [*snapshots[:-1], replace(snapshots[-1], store="scratch")]
    lax = RetentionPolicy(keep_last=1, min_age_s=0)
    strict = RetentionPolicy(keep_within=Span(years=1), min_age_s=0)

    result = plan(scene, renamed, policy_of=lambda name: lax if name == "scratch" else strict)

    assert () == result.doomed


def test_a_store_without_rules_is_not_judged(scene: Scene) -> None:
    result = plan(scene, scene.desk.snapshots(), policy_of=lambda _: None)

    assert {("there are no rules for its store",)} == {one.reasons for one in result.judged}
    assert () == result.doomed + result.warnings


def test_a_clock_that_is_behind_is_told(scene: Scene) -> None:
    rules = Rules(policy_of=lambda _: POLICY, min_age_days=0)

    late = plan_retention(scene.backend, scene.desk.snapshots(), rules, NOW_NS - 3 * DAY_NS)

    assert ("this machine's clock is 48 h 00 min behind the storage's",) == late.warnings


def test_warnings_of_a_policy_are_told_once(scene: Scene) -> None:
    counting = RetentionPolicy(keep_last=1)

    assert 1 == len(plan(scene, scene.desk.snapshots(), counting).warnings)


def test_a_part_of_a_plan_is_judged_like_the_whole(scene: Scene) -> None:
    snapshots = scene.desk.snapshots()

    part = plan(scene, snapshots).among(snapshots[2:4])

    assert [(3, False), (4, True)] == [(one.snapshot.session.seq, one.kept) for one in part.judged]


def test_what_is_planned_is_forgotten_newest_first_and_the_log_says_why(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.write("file", b"contents")
    for back in range(5, 0, -1):
        session = scene.back_up(Kind.FULL).snapshot.session
        committed(scene, session, NOW_NS - back * DAY_NS)
    keys = scene.desk.keys
    with scene.desk.catalog() as catalog:
        context = KeeperContext(
            backend=scene.backend,
            trust=scene.desk.trust,
            catalog=catalog,
            keeper=Keeper(name="keeper", signer=scene.vault.keeper),
            find_keys=keys.domain,
            clock=SystemClock(),
        )
        execute_retention(context, plan(scene, scene.desk.snapshots()))

    assert [3, 4, 5] == [one.session.seq for one in scene.desk.snapshots()]
    log = read_after(scene.backend, scene.desk.trust, EMPTY)
    events = [entry.body.event for entry in log]
    assert [2, 1] == [event.seq for event in events if isinstance(event, ForgetBody)]
    assert {"retention: keep-daily 1, min-age 0 days"} == {
        event.reason for event in events if isinstance(event, ForgetBody)
    }
