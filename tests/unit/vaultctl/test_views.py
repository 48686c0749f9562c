"""What people see of results that a healthy vault does not give."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest
from msgspec.structs import replace
from vaultctl import sheets
from vaultctl.output import Output
from vaultctl.text import local
from vaultctl.views import check, doctor, problems, restore, scrub, snapshots

from vaultd.core.events import Problem, ProblemKind
from vaultd.core.snapshot import Counts, Kind, SessionId, Snapshot
from vaultd.maintenance.agenda import Age, Planned
from vaultd.maintenance.check import CheckReport, Damage
from vaultd.maintenance.doctor import Finding
from vaultd.maintenance.harm import HarmedFile
from vaultd.maintenance.ledger import Spent
from vaultd.maintenance.references import Totals
from vaultd.maintenance.scrub import ScrubPlan, ScrubReport
from vaultd.pipeline.restore import RestoreReport
from vaultd.pipeline.restore_plan import RestorePlan
from vaultd.policy.scrubbing import Due, ScrubRule
from vaultd.vault.sheets import RecoverySheet
from vaultd.wiring.keys import KeyType


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Page:
    def __init__(self, *, json: bool = False, verbose: int = 0, quiet: bool = False) -> None:
        self._out, self._err = io.StringIO(), io.StringIO()
        self.output = Output(
            json=json, quiet=quiet, verbose=verbose, stdout=self._out, stderr=self._err
        )

    @property
    def out(self) -> str:
        return self._out.getvalue()

    @property
    def err(self) -> str:
        return self._err.getvalue()


def _snapshot(*, hidden: bool = False, problems: int = 0, store: str = "crm") -> Snapshot:
    return Snapshot(
        session=SessionId(host="web1", seq=7),
        root_sha256=hashlib.sha256(store.encode()).digest(),
        kind=Kind.FULL,
        chain=7,
        base=0,
        store_id=b"s" * 16,
        epoch=1,
        started_ns=1_700_000_000 * 10**9,
        ended_ns=1_700_000_001 * 10**9,
        store="" if hidden else store,
        tags=(),
        hostname="" if hidden else "web1.example",
        username="" if hidden else "root",
        roots=() if hidden else (b"/srv",),
        counts=Counts(files=3, data=2048, stored_added=4096, problems=problems),
        stored=1,
        software="vaultd",
    )


NOTHING_LEFT = Age(read=4096, rest=0, rest_size=0, never=0, oldest_ns=None)
BEGUN_NS, DAY_NS = 1_700_000_000 * 10**9, 86_400 * 10**9


def _report(
    *damages: Damage,
    read: int = 0,
    opened: bool = False,
    age: Age = NOTHING_LEFT,
    files: tuple[HarmedFile, ...] = (),
    suspects: tuple[str, ...] = (),
) -> CheckReport:
    return CheckReport(
        snapshots=2,
        packs=3,
        data=4096,
        read=read,
        opened=opened,
        damages=damages,
        hidden=("0a0b0c0d",) if damages else (),
        files=files,
        age=age,
        suspects=suspects,
    )


def _file(number: int = 0, *, is_listing: bool = False) -> HarmedFile:
    return HarmedFile(
        host="web1",
        store="crm",
        path=b"srv/%d" % number,
        reason="chunk 00 is gone",
        snapshots=("aa",),
        is_listing=is_listing,
    )


def _age(read: int, never: int, days: int | None) -> Age:
    oldest_ns = None if days is None else BEGUN_NS + days * DAY_NS
    return Age(read=read, rest=5, rest_size=3072, never=never, oldest_ns=oldest_ns)


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (_report(), "all there: 2 snapshots, 3 packs (4.0 KiB); nothing was read"),
        (_report(read=4096), "every byte read and compared by hash"),
        (_report(read=4096, opened=True), "every byte decrypted and compared with its id"),
        (
            _report(Damage(name="packs/x", reason="is missing", snapshots=("aa", "bb"))),
            "DAMAGE: 1 thing wrong in 2 snapshots, 3 packs (4.0 KiB); 2 snapshots harmed",
        ),
        (
            _report(
                Damage(name="packs/x", reason="is missing", snapshots=("aa",)),
                files=(_file(), _file(1), _file(is_listing=True)),
            ),
            "1 snapshot harmed, 2 files damaged",
        ),
        (
            _report(read=1024, age=_age(1024, 5, None)),
            "25.0 % of it read and compared by hash; the rest, 5 objects (3.0 KiB), was never read",
        ),
        (
            _report(read=1024, age=_age(1024, 2, 0)),
            f"was read since {local(BEGUN_NS)}, but for 2 never read",
        ),
        (_report(read=1024, age=_age(1024, 0, 1)), f"was read since {local(BEGUN_NS + DAY_NS)}"),
    ],
)
def test_the_verdict_of_a_check(report: CheckReport, words: str) -> None:
    page = Page()

    check.show(page.output, report)

    assert words in page.out.splitlines()[-1]


def test_much_damage_is_listed_as_far_as_anybody_reads() -> None:
    damages = [Damage(name=f"packs/{at}\x1b[2J", reason="is missing") for at in range(60)]
    short, long = Page(), Page(verbose=1)
    for page in (short, long):
        check.show(page.output, _report(*damages))

    assert (52, 61) == (len(short.out.splitlines()), len(long.out.splitlines()))
    assert "10 more: -v shows them all" in short.out
    assert "\x1b" not in short.out
    assert "1 snapshot could not be checked" in short.err


def test_damaged_files_are_named_and_what_cannot_be_listed_is_told() -> None:
    page = Page()
    check.show(page.output, _report(files=(_file(), _file(is_listing=True)), suspects=("packs/y",)))

    assert "damaged file: /srv/0 (store crm on web1, snapshot aa)" in page.out
    assert "files cannot be listed from here on: /srv/0" in page.out
    assert "1 object read before and found bad, not read now: packs/y" in page.err


def test_of_many_snapshots_a_few_are_named_and_with_v_all() -> None:
    ids = tuple(f"{at:08x}" for at in range(9))
    report = _report(
        Damage(name="packs/x", reason="is missing", snapshots=ids),
        files=(replace(_file(), snapshots=ids),),
    )
    short, long = Page(), Page(verbose=1)
    for page in (short, long):
        check.show(page.output, report)

    assert 2 == short.out.count("00000003, 00000004 and 4 more)")
    assert 2 == long.out.count("00000007, 00000008)")


PLAN = ScrubPlan(
    snapshots=2,
    needed=Totals(count=9, size=4096),
    spent=Spent(size=7, requests=1),
    planned=(Planned(due=Due.NEW, count=2, size=1024), Planned(due=Due.SHARE, count=1, size=512)),
    days=4.0,
    rule=ScrubRule(window_s=2 * 86_400, bytes_per_day=1024),
)


def _scrubbed(**fields: object) -> ScrubReport:
    report = ScrubReport(
        plan=PLAN,
        objects=3,
        read=1536,
        requests=3,
        opened=False,
        damages=(),
        files=(),
        healed=(),
        logged=None,
        age=_age(1024, 0, 0),
        all_read_ns=None,
        hidden=(),
    )
    return replace(report, **fields)


def test_a_plan_says_why_and_how_much_and_that_the_window_is_missed() -> None:
    page, script = Page(), Page(json=True)
    scrub.show_plan(page.output, PLAN)
    scrub.show_plan(script.output, PLAN)

    assert page.out.splitlines() == [
        "never read: 2 objects, 1.0 KiB",
        "today's share of the window: 1 object, 512 B",
        "would read 3 objects (1.5 KiB) of 9 (4.0 KiB)",
    ]
    assert "everything is read in 4 days, not in 2" in page.err
    assert '"due": "never read", "objects": 2' in script.out


def test_a_scrub_says_what_was_read_what_is_good_again_and_who_was_told() -> None:
    damage = Damage(name="packs/x", reason="is missing", snapshots=("aa",))
    good, bad, alone, script = Page(), Page(), Page(), Page(json=True)
    scrub.show(good.output, _scrubbed(healed=("packs/y",), hidden=("aa",)))
    scrub.show(bad.output, _scrubbed(damages=(damage,), files=(_file(),), logged=1))
    scrub.show(alone.output, _scrubbed(damages=(damage,)))
    scrub.show(script.output, _scrubbed(damages=(damage,), files=(_file(),), healed=("packs/y",)))

    assert "good again: packs/y" in good.out
    assert "good: 3 objects read (1.5 KiB); 25.0 % of all bytes read within 2 days" in good.out
    assert "1 snapshot could not be looked at" in good.err
    assert "DAMAGE: 1 thing wrong; 1 snapshot harmed, 1 file damaged" in bad.out
    assert "they store again" in bad.err
    assert "hosts are not told" in alone.err
    types = [json.loads(line)["message_type"] for line in script.out.splitlines()]
    assert ["damage", "damaged_file", "healed", "summary"] == types


def _problems(count: int) -> list[Problem]:
    return [
        Problem(kind=ProblemKind.DENIED, path=b"/%d" % at, reason="permission denied")
        for at in range(count)
    ]


def test_problems_are_listed_as_far_as_anybody_reads() -> None:
    short, long, none, script = Page(), Page(verbose=1), Page(), Page(json=True)
    for page in (short, long, script):
        problems.show_problems(page.output, "missing", _problems(30))
    problems.show_problems(none.output, "missing", [])

    assert "warning: missing: 30 entries" == short.err.splitlines()[0]
    assert "10 more: -v shows them all" in short.err.splitlines()[-1]
    assert 31 == len(long.err.splitlines())
    assert "" == none.err == script.err


def test_the_doctor_says_what_is_bad_and_what_to_do() -> None:
    findings = [
        Finding(name="first", ok=True, detail="fine"),
        Finding(name="second", ok=False, detail="so so", hint="Mind it.", serious=False),
        Finding(name="third one", ok=False, detail="bad", hint="Mend it."),
    ]
    page, advice = Page(), Page()
    doctor.show(page.output, findings)
    doctor.show(advice.output, findings[:2])

    assert page.out.splitlines() == [
        "ok    first      fine",
        "note  second     so so",
        "                 hint: Mind it.",
        "BAD   third one  bad",
        "                 hint: Mend it.",
        "",
        "1 serious finding: do not rely on this yet.",
    ]
    assert "All well, with some advice." == advice.out.splitlines()[-1]


def test_what_keys_do_not_show_is_marked_as_such() -> None:
    page = Page()

    snapshots.show(page.output, [_snapshot(hidden=True), _snapshot(problems=2)], of=5)

    assert "?" in page.out.splitlines()[2]
    assert "full !" in page.out.splitlines()[3]
    assert "incomplete" in page.err
    assert "keys are not on this machine" in page.err
    assert "2 snapshots of 5." in page.err


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        (120, "ID Time Kind Store Host Tags Files Size Stored"),
        (80, "ID Time Kind Store Size Stored"),
        (60, "ID Time Kind Store Stored"),
    ],
)
def test_a_narrow_terminal_shows_fewer_columns_and_never_half_an_id(
    monkeypatch: pytest.MonkeyPatch, columns: int, headings: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Screen()
    output = Output(json=False, quiet=True, verbose=0, stdout=screen, stderr=io.StringIO())
    snapshot = _snapshot(store="/srv/customer data/of many years")

    snapshots.show(output, [snapshot], of=1)

    text = re.sub(r"\x1b\[[0-9;]*m|\(\S+\)", "", screen.getvalue())
    assert headings.split() == text.splitlines()[0].split()
    assert snapshot.short_id in text
    assert "KiB" in text
    assert all(len(line) <= columns for line in text.splitlines())


def test_an_empty_vault_says_how_to_begin() -> None:
    page = Page()

    snapshots.show(page.output, [], of=0)

    assert not page.out
    assert "vaultctl backup" in page.err


def test_quiet_leaves_only_the_table() -> None:
    page = Page(quiet=True)

    snapshots.show(page.output, [_snapshot(hidden=True)], of=1)

    assert not page.err
    assert page.out


def test_a_list_may_be_read_by_a_script() -> None:
    page = Page(json=True)

    snapshots.show(page.output, [_snapshot(hidden=True)], of=1)

    first, last = map(json.loads, page.out.splitlines())
    assert ("snapshot", "web1", 7, "") == (
        first["message_type"],
        first["host"],
        first["seq"],
        first["store"],
    )
    assert {"message_type": "summary", "snapshots": 1, "snapshots_in_vault": 1} == last


def _restored(*found: Problem, resumed: bool = False) -> RestoreReport:
    return RestoreReport(
        data=3 << 20,
        tally=object(),
        problems=found,
        warnings=(),
        resumed=resumed,
        verified=resumed,
        elapsed_s=2.0,
    )


def test_a_restore_that_lacks_something_says_so_loudly() -> None:
    page, good = Page(), Page()
    restore.show(page.output, _snapshot(), Path("/out"), _restored(*_problems(1)))
    restore.show(good.output, _snapshot(), Path("/out"), _restored(resumed=True))

    assert "result   INCOMPLETE: see above" in page.out
    assert "warning: not as it should be: 1 entry" in page.err
    assert "/0: permission denied" in page.err
    assert "result   complete, read back and compared, resumed" in good.out
    assert "1.5 MiB/s" in good.out


def test_a_plan_warns_when_there_is_no_room() -> None:
    page = Page()

    restore.show_plan(
        page.output, _snapshot(), Path("/out"), RestorePlan(files=1, data=2048, blocked=3)
    )

    assert "not enough room" in page.err
    assert "blocked  3" in page.out


SHEET = RecoverySheet(
    type=KeyType.RECOVERY,
    label='paper <1> & "2"',
    words=("abandon",) * 23 + ("zoo",),
    vault_id="ab" * 16,
    vault_label="<script>alert(1)</script>",
    location="s3:https://host/it's",
    fingerprints=("aaaa-bbbb",),
    created_ns=0,
)


def test_a_sheet_holds_nothing_from_elsewhere() -> None:
    page = sheets.as_html(SHEET)

    assert "<script" not in page
    assert ["s3:https://host", "http://www.w3.org/2000/svg"] == list(
        dict.fromkeys(re.findall(r"(?:s3:)?https?://[\w./]*\w(?=[/\"])", page))
    )
    assert "paper &lt;1&gt; &amp;" in page
    assert page.count("<li><b>") == 24
    assert "default-src 'none'" in page


def test_a_sheet_as_text_is_as_wide_as_a_terminal() -> None:
    text = sheets.as_text(SHEET)

    assert all(len(line) <= 80 for line in text.splitlines() if "vaultctl -r" not in line)
    assert " 1 abandon" in text
    assert "24 zoo" in text
    assert f"vaultctl -r {shlex.quote(SHEET.location)} restore latest" in text
