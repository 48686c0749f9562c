"""3-2-1-1-0: what is counted, and that nothing counts without evidence."""

from __future__ import annotations

import pytest

from vaultd.policy.copies import Held, Media, Original, count_copies

DISK, BUCKET, TAPE = Media.DISK, Media.OBJECT_STORAGE, Media.TAPE


def held(target: str = "vault", media: Media = BUCKET, **fields: object) -> Held:
    usual: dict[str, object] = {
        "offsite": False,
        "locked": None,
        "live": 5,
        "complete": 5,
        "has_newest": True,
        "missing": 0,
        "errors": 0,
        "read_at": "2026-11-24T04:00:00Z",
    }
    return Held(target=target, media=media, **(usual | fields))  # type: ignore[arg-type]  # fields by name


OFFSITE = held("offsite", offsite=True, locked=True)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([], (1, 1, 0, 0, None)),
        ([held(media=DISK)], (2, 1, 0, 0, 0)),
        ([held()], (2, 2, 0, 0, 0)),
        ([held(media=DISK), OFFSITE], (3, 2, 1, 1, 0)),
        ([held(), held("tape", TAPE, offsite=True)], (3, 3, 1, 0, 0)),
        ([held(), held("offsite", offsite=True, locked=False)], (3, 2, 1, 0, 0)),
        ([held(), held("lags", offsite=True, locked=True, has_newest=False)], (2, 2, 0, 0, 0)),
        ([held(has_newest=False, media=DISK, missing=2), OFFSITE], (2, 2, 1, 1, 2)),
        ([held(errors=None), OFFSITE], (3, 2, 1, 1, None)),
        ([held(errors=None, missing=1), OFFSITE], (3, 2, 1, 1, 1)),
        ([held(errors=3), OFFSITE], (3, 2, 1, 1, 3)),
        ([held(), held("down", has_newest=False, errors=0, unreachable="no answer")],
         (2, 2, 0, 0, None)),
    ],
)  # fmt: skip
def test_the_digits(targets: list[Held], expected: tuple[int | None, ...]) -> None:
    assert expected == tuple(digit.found for digit in count_copies(targets))


def test_the_rule_is_kept_only_with_all_five_digits() -> None:
    good = count_copies([held(media=DISK), OFFSITE])
    assert [True] * 5 == [digit.reached for digit in good]
    assert [3, 2, 1, 1, 0] == [digit.wanted for digit in good]
    never_read = count_copies([held(errors=None), OFFSITE])
    assert [True, True, True, True, False] == [digit.reached for digit in never_read]
    damaged = count_copies([held(errors=1), OFFSITE])
    assert not damaged[-1].reached


def test_the_original_may_lie_on_something_else() -> None:
    digits = count_copies([held(media=DISK)], Original(media=BUCKET))
    assert 2 == digits[1].found


def test_every_target_is_in_the_evidence() -> None:
    down = held("down", has_newest=False, complete=0, unreachable="no answer")
    digits = count_copies([held(complete=4, errors=None), OFFSITE, down])
    evidence = {digit.name: digit.evidence for digit in digits}
    assert (
        "the original",
        "vault: 4 of 5 snapshots complete, the newest snapshot is complete",
        "offsite: 5 of 5 snapshots complete, the newest snapshot is complete",
        "down: cannot be looked at: no answer",
    ) == evidence["copies"]
    assert "vault: 0 missing, never read in full" == evidence["errors"][0]
    assert "offsite: locked: nobody can delete before its date" == evidence["immutable"][1]
