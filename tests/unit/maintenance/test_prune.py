"""What is deleted, what is not, and what is left for later."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.keeping import AT_ONCE, Keeper, keeper_of
from tests.support.vaults import STORE_ID, Machine, Scene, Vault
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import CautionError, KeyringError
from vaultd.core.snapshot import Kind, SessionId
from vaultd.maintenance.checkpoint import write_checkpoint
from vaultd.maintenance.prune import execute_prune, plan_prune
from vaultd.maintenance.recall import pin, recallable
from vaultd.maintenance.survey import PruneRules
from vaultd.vault import layout
from vaultd.vault.host import open_session

SOURCE = random.Random(3)
DAY_S = 86_400


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two chains: a full and two incrementals; then a full."""
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("large", SOURCE.randbytes(400_000))
    scene.back_up(Kind.FULL)
    for number in range(2):
        scene.write(f"more-{number}", SOURCE.randbytes(100_000))
        scene.back_up(Kind.INCREMENTAL)
    scene.write("large", SOURCE.randbytes(400_000))
    scene.back_up(Kind.FULL)
    return scene


@pytest.fixture
def keeper(scene: Scene) -> Keeper:
    return keeper_of(scene)


def names(scene: Scene, prefix: str) -> set[str]:
    return {info.name for info in scene.backend.list(prefix)}


def forget(scene: Scene, keeper: Keeper, *positions: int) -> None:
    """Forget snapshots of a scene by position, there and in the vault."""
    keeper.forget(*(scene.seen[at][0] for at in positions))
    scene.seen = [seen for at, seen in enumerate(scene.seen) if at not in positions]


def of_session(scene: Scene, *seqs: int) -> set[str]:
    found = names(scene, layout.PACKS) | names(scene, layout.PARTS)
    return {name for name in found if any(f"/{seq:010d}/" in name for seq in seqs)}


def test_nothing_is_condemned_while_everything_is_needed(scene: Scene, keeper: Keeper) -> None:
    before = names(scene, "")
    report = keeper.prune()
    assert (0, 0, ()) == (report.condemned, report.deleted, report.pending)
    assert names(scene, layout.LOG) == names(scene, "") - before
    scene.expect_whole()


def test_a_forgotten_chain_is_deleted_with_its_parts_and_roots(
    scene: Scene, keeper: Keeper
) -> None:
    doomed = of_session(scene, 1, 2, 3) | {f"snap/web1/{seq:010d}" for seq in (1, 2, 3)}
    forget(scene, keeper, 0, 1, 2)

    report = keeper.prune()

    assert doomed & names(scene, "") == set()
    assert len(doomed) == report.deleted
    assert of_session(scene, 4)
    assert {f"sess/web1/{seq:010d}" for seq in (1, 2, 3, 4)} == names(scene, layout.SESSIONS)
    scene.expect_whole()
    scene.expect_restorable()


def test_what_a_later_snapshot_of_the_chain_needs_stays(scene: Scene, keeper: Keeper) -> None:
    kept = of_session(scene, 1, 2, 3)
    forget(scene, keeper, 0, 1)

    report = keeper.prune()

    assert kept == of_session(scene, 1, 2, 3)
    assert (2, 0) == (report.deleted, report.condemned)  # two roots
    scene.expect_whole()
    scene.expect_restorable()


def test_nothing_is_lost_for_a_host_that_goes_on(scene: Scene, keeper: Keeper) -> None:
    forget(scene, keeper, 3)
    keeper.prune()
    scene.back_up(Kind.INCREMENTAL)
    forget(scene, keeper, 0, 1, 2)
    keeper.prune()
    scene.back_up(Kind.INCREMENTAL)
    scene.back_up(Kind.FULL)
    scene.back_up(Kind.DIFFERENTIAL)
    keeper.prune()
    scene.expect_whole()
    scene.expect_restorable()


def test_a_snapshot_can_be_recalled_for_a_while(scene: Scene, keeper: Keeper) -> None:
    rules = replace(AT_ONCE, recall_s=7 * DAY_S)
    snapshot, facts = scene.seen[0]
    forget(scene, keeper, 0)
    assert 0 == keeper.prune(rules).deleted

    keeper.recall(snapshot)
    scene.seen.insert(0, (snapshot, facts))
    assert 0 == keeper.prune(rules, ahead_s=8 * DAY_S).condemned
    scene.expect_whole()
    scene.expect_restorable()


def test_after_a_while_a_snapshot_is_gone_for_good(scene: Scene, keeper: Keeper) -> None:
    rules = replace(AT_ONCE, recall_s=7 * DAY_S)
    snapshot = scene.seen[3][0]
    forget(scene, keeper, 3)
    keeper.prune(rules, ahead_s=8 * DAY_S)

    assert not of_session(scene, 4)
    with pytest.raises(CautionError, match="cannot be brought back"):
        keeper.recall(snapshot)
    with keeper.context() as context:
        assert [] == recallable(context)


def test_what_is_condemned_is_not_deleted_before_its_time(scene: Scene, keeper: Keeper) -> None:
    rules = replace(AT_ONCE, wait_s=DAY_S)
    snapshot, facts = scene.seen[3]
    forget(scene, keeper, 3)

    first = keeper.prune(rules)
    assert first.condemned > 0
    assert 0 == first.deleted
    assert [()] == [one.sessions for one in first.pending]
    assert 0 == keeper.prune(rules, ahead_s=DAY_S - 60).condemned
    keeper.recall(snapshot)
    scene.seen.append((snapshot, facts))
    after = keeper.prune(rules, ahead_s=DAY_S + 60)

    assert first.condemned == after.rescued
    assert 0 == after.deleted
    scene.expect_whole()
    scene.expect_restorable()


def test_a_session_that_is_open_is_waited_for(scene: Scene, keeper: Keeper) -> None:
    forget(scene, keeper, 3)
    with (
        scene.machine.opened() as host,
        open_session(host, STORE_ID) as opened,
    ):
        report = keeper.prune()
        session = SessionId(host="web1", seq=opened.seq)
        assert [(session,)] == [one.sessions for one in report.pending]
        assert 0 == report.deleted
    scene.back_up()  # closes the dead one
    assert keeper.prune().deleted > 0
    scene.expect_whole()
    scene.expect_restorable()


def test_a_session_that_knew_the_condemnation_is_not_waited_for(
    scene: Scene, keeper: Keeper
) -> None:
    rules = replace(AT_ONCE, wait_s=DAY_S)
    forget(scene, keeper, 3)
    keeper.prune(rules)
    scene.back_up()  # now its machine knows
    with scene.machine.opened() as host, open_session(host, STORE_ID):
        assert keeper.prune(rules, ahead_s=2 * DAY_S - 3600).deleted > 0
    scene.expect_restorable()


def test_a_dead_session_is_closed_and_its_host_goes_on(scene: Scene, keeper: Keeper) -> None:
    forget(scene, keeper, 3)
    with scene.machine.opened() as host, open_session(host, STORE_ID) as opened:
        pass
    rules = replace(AT_ONCE, revoke_after_s=DAY_S)
    assert () == keeper.prune(rules).revoked

    report = keeper.prune(rules, ahead_s=DAY_S + 60)

    assert (SessionId(host="web1", seq=opened.seq),) == report.revoked
    assert report.deleted > 0
    scene.back_up()
    scene.expect_whole()
    scene.expect_restorable()


def test_too_many_open_sessions_are_closed_oldest_first(scene: Scene, keeper: Keeper) -> None:
    forget(scene, keeper, 3)
    for number in range(5):
        name = layout.intent(SessionId(host="web1", seq=100 + number))
        scene.backend.put(name, b"rubbish of an intruder")

    report = keeper.prune()

    assert [SessionId(host="web1", seq=100)] == list(report.revoked)
    assert 4 == len(report.pending[0].sessions)


# Stops


def test_a_root_that_vanished_stops_everything(scene: Scene, keeper: Keeper) -> None:
    keeper.prune()
    scene.backend.delete(layout.outcome(scene.seen[3][0].session))
    for one in (keeper, keeper_of(scene, "another")):
        with pytest.raises(CautionError, match="not as it should be"):
            one.prune()
    assert of_session(scene, 4)


def test_a_root_that_was_replaced_stops_everything(scene: Scene, keeper: Keeper) -> None:
    keeper.prune()
    name = layout.outcome(scene.seen[1][0].session)
    other = scene.backend.get(layout.outcome(scene.seen[2][0].session))
    scene.backend.delete(name)
    scene.backend.put(name, other)
    with pytest.raises(Exception, match="snap/web1/0000000002"):
        keeper.prune()


def test_a_listing_that_lacks_needed_packs_stops_everything(scene: Scene, keeper: Keeper) -> None:
    forget(scene, keeper, 3)
    scene.backend.delete(min(of_session(scene, 2) & names(scene, layout.PACKS)))
    with pytest.raises(CautionError, match=r"1 of \d+ packs .* not listed"):
        keeper.prune()


def test_a_keeper_without_a_key_deletes_nothing(scene: Scene, keeper: Keeper) -> None:
    forget(scene, keeper, 3)
    with keeper.context() as context:
        blind = replace(context, find_keys=lambda domain, epoch: None)
        with pytest.raises(KeyringError, match="cannot be seen"):
            plan_prune(blind, context.clock.now_ns(), AT_ONCE)


def test_a_person_confirms_when_it_is_much(scene: Scene, keeper: Keeper) -> None:
    for number in range(12):
        scene.write(f"bulk-{number}", SOURCE.randbytes(600_000))
    scene.back_up(Kind.FULL)
    forget(scene, keeper, 4)
    rules = PruneRules(recall_s=0, wait_s=0)
    with pytest.raises(CautionError, match="more than 30%") as caught:
        keeper.prune(rules)
    assert not names(scene, layout.LOG) - {layout.log_entry(1)}
    assert caught.value.hint is not None
    count = int(caught.value.hint.split("--confirm ")[1].rstrip("."))
    with pytest.raises(CautionError, match="were confirmed"):
        keeper.prune(replace(rules, confirmed=count - 1))
    assert count == keeper.prune(replace(rules, confirmed=count)).condemned
    scene.expect_whole()


# What is said


def test_a_pin_is_remembered_and_taken_off(scene: Scene, keeper: Keeper) -> None:
    snapshot = scene.seen[0][0]
    with keeper.context() as context:
        context.catalog.refresh(context.backend, context.trust, context.find_keys)
        pin(context, [snapshot], pinned=True, reason="end of the year")
        assert {snapshot.session: "end of the year"} == context.catalog.pinned()
        pin(context, [snapshot], pinned=False, reason="no longer")
        assert {} == context.catalog.pinned()


def test_a_checkpoint_says_all_that_counts(scene: Scene, keeper: Keeper) -> None:
    forget(scene, keeper, 0, 1)
    rules = replace(AT_ONCE, wait_s=DAY_S)
    keeper.prune(rules)
    forget(scene, keeper, 1)  # the newest
    keeper.prune(rules)
    with keeper.context() as context:
        live = scene.seen[0][0]
        pin(context, [live], pinned=True, reason="kept")
        write_checkpoint(context, 10**6, set(), every=1)
        expected = context.catalog.state()
        before = context.catalog.state().blocked("web1")
    other = keeper_of(scene, "another")
    with other.context() as context:
        context.catalog.refresh_log(context.backend, context.trust)
        state = context.catalog.state()
        assert expected.forgotten.keys() == state.forgotten.keys()
        assert expected.pinned == state.pinned
        assert expected.heads == state.heads
        assert before == context.catalog.state().blocked("web1")
        assert len(context.catalog.entries()) < context.catalog.log_head().number
    scene.back_up()
    scene.expect_restorable()
    other.prune(rules, ahead_s=2 * DAY_S)
    keeper.prune(rules, ahead_s=2 * DAY_S)
    scene.expect_restorable()


def test_hidden_heads_are_noticed_by_who_never_saw_them(scene: Scene, keeper: Keeper) -> None:
    keeper.prune()
    scene.backend.delete(layout.outcome(scene.seen[3][0].session))
    desk = scene.new_desk()
    with desk.catalog() as catalog:
        (finding,) = catalog.refresh(desk.backend, desk.trust, desk.keys.domain)
    assert "a keeper has seen it as the newest" in finding


def test_each_host_is_kept_apart(tmp_path: Path) -> None:
    vault = Vault(hosts=("web1", "web2"))
    backend = MemoryBackend()
    vault.found(backend)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(SOURCE.randbytes(100_000))
    made = []
    for host in vault.hosts:
        machine = Machine(vault=vault, backend=backend, state=tmp_path / host, host=host)
        made.append(machine.back_up(tmp_path / "tree").snapshot)
        made.append(machine.back_up(tmp_path / "tree", kind=Kind.FULL).snapshot)
    keeper = Keeper(vault=vault, backend=backend, folder=tmp_path / "keeper")
    keeper.forget(made[0])
    slow = Machine(vault=vault, backend=backend, state=tmp_path / "web2", host="web2")
    with slow.opened() as opened, open_session(opened, STORE_ID):
        assert keeper.prune().deleted > 0  # a session of another host is not waited for
    assert not list(backend.list("packs/web1/0000000001/"))
    assert list(backend.list("packs/web2/0000000001/"))


def test_a_dry_plan_changes_nothing(scene: Scene, keeper: Keeper) -> None:
    forget(scene, keeper, 3)
    before = names(scene, "")
    with keeper.context() as context:
        plan = plan_prune(context, context.clock.now_ns(), AT_ONCE)
    assert plan.condemned > 0
    assert plan.condemned_bytes > 400_000
    assert before == names(scene, "")


def test_deleted_objects_that_come_back_are_deleted_again(scene: Scene, keeper: Keeper) -> None:
    doomed = min(of_session(scene, 4))
    contents = scene.backend.get(doomed)
    forget(scene, keeper, 3)
    keeper.prune()
    scene.backend.put(doomed, contents)
    assert 1 == keeper.prune().deleted
    assert doomed not in names(scene, "")


def test_a_prune_is_planned_before_it_is_executed_by_another(scene: Scene, keeper: Keeper) -> None:
    """Two keepers with the same plan: what one has said, the other finds said."""
    forget(scene, keeper, 3)
    other = keeper_of(scene, "another")
    with keeper.context() as first, other.context() as second:
        now_ns = first.clock.now_ns()
        plans = [plan_prune(context, now_ns, AT_ONCE) for context in (first, second)]
        execute_prune(first, plans[0])
        report = execute_prune(second, plans[1])
    assert 0 == report.rescued
    scene.back_up()
    scene.expect_whole()
    scene.expect_restorable()


def test_a_snapshot_whose_packs_are_gone_is_not_recalled_whatever_the_log_says(
    scene: Scene, keeper: Keeper
) -> None:
    snapshot, _ = scene.seen[3]
    forget(scene, keeper, 3)
    for name in of_session(scene, 4):
        scene.backend.delete(name)

    with pytest.raises(CautionError, match="had to go"):
        keeper.recall(snapshot)

    assert snapshot not in scene.new_desk().snapshots()
