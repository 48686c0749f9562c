"""When an object is due, and what a run may take."""

from __future__ import annotations

import pytest

from vaultd.policy.scrubbing import Allowance, Due, ScrubRule, daily_share, why_due

DAY = 86_400
NOW_NS = 1_700_000_000 * 10**9
RULE = ScrubRule(window_s=10 * DAY)


def days_ago(days: float) -> int:
    return NOW_NS - int(days * DAY) * 10**9


@pytest.mark.parametrize(
    ("read_ns", "suspect", "expected"),
    [
        (None, False, Due.NEW),
        (None, True, Due.SUSPECT),
        (days_ago(0), True, Due.SUSPECT),
        (days_ago(0), False, Due.SHARE),
        (days_ago(8.9), False, Due.SHARE),
        (days_ago(9.1), False, Due.OVERDUE),
        (days_ago(400), False, Due.OVERDUE),
    ],
)
def test_why_an_object_is_due(read_ns: int | None, suspect: bool, expected: Due) -> None:
    assert expected == why_due(read_ns, suspect=suspect, now_ns=NOW_NS, rule=RULE)


@pytest.mark.parametrize(("window_s", "expected"), [(10 * DAY, 100), (DAY, 1000), (60, 1000)])
def test_the_share_of_a_day(window_s: int, expected: int) -> None:
    assert expected == daily_share(1000, ScrubRule(window_s=window_s))


def taken(allowance: Allowance, *wanted: tuple[Due, int]) -> list[bool]:
    return [allowance.take(due, size, 1) for due, size in wanted]


def test_bytes_end_a_run_at_the_first_object_that_does_not_fit() -> None:
    allowance = Allowance(size=10, requests=9, share=9, fresh=False)
    assert [True, False, False] == taken(allowance, (Due.NEW, 6), (Due.NEW, 6), (Due.NEW, 1))


def test_requests_end_a_run() -> None:
    allowance = Allowance(size=10, requests=1, share=9, fresh=False)
    assert [True, False] == taken(allowance, (Due.NEW, 1), (Due.NEW, 1))


def test_what_is_not_due_is_read_up_to_the_share_and_not_beyond() -> None:
    allowance = Allowance(size=100, requests=9, share=10, fresh=False)
    wanted = (Due.OVERDUE, 5), (Due.SHARE, 5), (Due.SHARE, 1)
    assert [True, True, False] == taken(allowance, *wanted)


def test_an_object_beyond_all_limits_is_read_on_a_day_of_its_own() -> None:
    allowance = Allowance(size=10, requests=9, share=0, fresh=True)
    assert [True, False] == taken(allowance, (Due.NEW, 50), (Due.NEW, 1))
    assert [False] == taken(Allowance(size=10, requests=9, share=0, fresh=False), (Due.NEW, 50))
