"""What was read is remembered: by object, by day, and through a crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from vaultd.core.snapshot import SessionId
from vaultd.maintenance.ledger import Ledger, Reading, Result, Spent
from vaultd.vault import layout

DAY_NS = 86_400 * 10**9
NOW_NS = 19_000 * DAY_NS + 7
SESSION = SessionId(host="web1", seq=5)
PACK, PART = layout.pack(SESSION, b"p" * 32), layout.part(SESSION, b"i" * 32)
ROOT = layout.outcome(SESSION)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path, "here")) as ledger:
        yield ledger


def good(name: str = PACK, read_ns: int = NOW_NS) -> Reading:
    return Reading(name=name, size=9, read_ns=read_ns, result=Result.GOOD, opened=True)


@pytest.mark.parametrize("name", [PACK, PART, ROOT])
def test_the_last_reading_of_an_object_counts(ledger: Ledger, name: str) -> None:
    bad = Reading(name=name, size=9, read_ns=1, result=Result.DAMAGED, reason="it is another")
    assert ledger.reading(name) is None
    ledger.note([bad])
    assert bad == ledger.reading(name)
    ledger.note([good(name)])
    assert good(name) == ledger.reading(name)
    assert [good(name)] == list(ledger.readings())


def test_another_process_sees_it_at_once(ledger: Ledger, tmp_path: Path) -> None:
    ledger.note([good(PACK), good(ROOT)], Spent(size=9, requests=2))
    with closing(Ledger(tmp_path, "here")) as other:
        assert {PACK, ROOT} == {reading.name for reading in other.readings()}
        assert Spent(size=9, requests=2) == other.spent(NOW_NS)


def test_what_is_spent_is_added_up_by_day(ledger: Ledger) -> None:
    ledger.note([good()], Spent(size=9, requests=1))
    ledger.note([good(PART)], Spent(size=1, requests=2))
    ledger.note([good(read_ns=NOW_NS + DAY_NS)], Spent(size=4, requests=4))
    assert Spent(size=10, requests=3) == ledger.spent(NOW_NS)
    assert Spent(size=4, requests=4) == ledger.spent(NOW_NS + DAY_NS)
    assert Spent() == ledger.spent(NOW_NS - DAY_NS)


def test_objects_that_are_gone_are_dropped(ledger: Ledger) -> None:
    ledger.note([good(PACK), good(PART), good(ROOT)])
    ledger.drop([PACK, ROOT])
    assert [PART] == [reading.name for reading in ledger.readings()]


def test_a_damaged_ledger_is_begun_anew(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path, "here")) as ledger:
        ledger.note([good()])
    file = next(tmp_path.glob("ledger-*.sqlite"))
    file.write_bytes(b"rubbish" * 4096)
    with closing(Ledger(tmp_path, "here")) as ledger:
        assert [] == list(ledger.readings())


def test_what_was_read_at_one_place_says_nothing_of_another(ledger: Ledger, tmp_path: Path) -> None:
    ledger.note([good()], Spent(size=9, requests=1))
    with closing(Ledger(tmp_path, "there")) as other:
        assert ([], Spent()) == (list(other.readings()), other.spent(NOW_NS))
