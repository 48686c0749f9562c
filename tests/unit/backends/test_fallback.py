"""Several targets read as one: who is asked, who is believed, and what is said of it."""

from __future__ import annotations

import pytest

from vaultd.backends.base import Backend
from vaultd.backends.memory import MemoryBackend
from vaultd.backends.wrappers.fallback import Fallback, Second, Standing
from vaultd.backends.wrappers.faults import Fault, FaultKind, Step
from vaultd.backends.wrappers.faulty import Faulty
from vaultd.core.errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    StorageUnavailableError,
    VaultNotFoundError,
)
from vaultd.core.events import Event, Note


def filled(**objects: bytes) -> MemoryBackend:
    made = MemoryBackend()
    for name, data in objects.items():
        made.put(name, data)
    return made


class Scene:
    """Targets read as one, and what was said."""

    def __init__(self, first: Backend, *others: Backend, judged: bool = True) -> None:
        self.notes: list[str] = []
        seconds = [Second(one, f"copy-{at}", self.observe) for at, one in enumerate(others, 1)]
        judge = (lambda _, data: data.startswith(b"good")) if judged else None
        self.backend = Fallback(first, seconds, judge, self.observe)

    def observe(self, event: Event) -> None:
        assert isinstance(event, Note)
        self.notes.append(event.text)

    def names(self, prefix: str = "") -> list[str]:
        return [info.name for info in self.backend.list(prefix)]


def always(error: type[Exception]) -> Faulty:
    def fail(step: Step) -> Exception:
        return error(f"{step.name}: refused")

    return Faulty(MemoryBackend(), plan=lambda _: Fault(kind=FaultKind.FAIL, error=fail))  # type: ignore[arg-type]  # any error of ours


def test_the_first_target_is_enough_while_it_is_right() -> None:
    scene = Scene(filled(a=b"good 1"), filled(a=b"good 2"))
    assert b"good 1" == scene.backend.get("a")
    assert [] == scene.notes


def test_what_is_missing_or_wrong_comes_from_the_next_and_that_is_said_once() -> None:
    scene = Scene(filled(b=b"bad", c=b"good c"), filled(a=b"good a", b=b"good b"))
    assert [b"good a", b"good b", b"good c"] == [scene.backend.get(name) for name in "abc"]
    assert 1 == len(scene.notes)
    assert "read from replica copy-1 (memory), a to begin with" in scene.notes[0]


def test_a_part_of_an_object_is_not_judged_and_a_whole_one_with_a_limit_is() -> None:
    scene = Scene(filled(a=b"bad and long"), filled(a=b"good"))
    assert b"bad" == scene.backend.get("a", length=3)
    assert b"ad" == scene.backend.get("a", offset=1, length=2)
    assert b"good" == scene.backend.get("a", length=1000)


def test_when_all_are_wrong_the_first_ones_bytes_are_returned_for_who_verifies_them() -> None:
    scene = Scene(filled(a=b"bad 1"), filled(a=b"bad 2"), filled(a=b"bad 3"))
    assert b"bad 1" == scene.backend.get("a")
    assert [] == scene.notes


def test_what_a_replica_invents_is_as_good_as_nothing() -> None:
    scene = Scene(filled(), filled(a=b"bad"))
    with pytest.raises(ObjectNotFoundError):
        scene.backend.get("a")


@pytest.mark.parametrize("error", [StorageUnavailableError, VaultNotFoundError, AccessDeniedError])
def test_a_target_that_refuses_is_said_once_and_made_up_for(error: type[Exception]) -> None:
    scene = Scene(always(error), filled(a=b"good a", b=b"good b"))
    assert [b"good a", b"good b"] == [scene.backend.get(name) for name in "ab"]
    assert ["a", "b"] == scene.names()
    assert 6 == scene.backend.head("a").size
    assert 2 == len(scene.notes)
    assert "a: refused; reading from the other targets" in scene.notes[0]


def test_a_target_that_is_down_is_asked_last_from_then_on() -> None:
    asked: list[str] = []

    def down(step: Step) -> Fault:
        asked.append(step.name)
        return Fault(kind=FaultKind.FAIL)

    scene = Scene(Faulty(MemoryBackend(), plan=down), filled(a=b"good", b=b"good"))
    for name in "abab":
        scene.backend.get(name)
    assert ["a"] == asked
    with pytest.raises(ObjectNotFoundError):
        scene.backend.get("c")
    assert ["a", "c"] == asked


def test_standing_is_shared_by_those_of_one_run() -> None:
    standing = Standing()
    notes: list[Event] = []
    down = always(StorageUnavailableError)
    second = Second(filled(a=b"good"), "copy", notes.append)
    for _ in range(2):
        Fallback(down, [second], None, notes.append, standing).get("a")
    assert 2 == len(notes)


@pytest.mark.parametrize("operation", ["get", "head", "list"])
def test_when_no_target_answers_the_first_ones_error_is_raised(operation: str) -> None:
    scene = Scene(always(StorageUnavailableError), always(AccessDeniedError))
    with pytest.raises(StorageUnavailableError):
        list(getattr(scene.backend, operation)("a"))


def test_a_list_is_that_of_all_targets_each_name_once_and_the_first_ones_word_counts() -> None:
    scene = Scene(filled(b=b"12", d=b"1"), filled(a=b"1", b=b"1234"), filled(b=b"123", c=b"1"))
    assert ["a", "b", "c", "d"] == scene.names()
    assert 2 == next(info.size for info in scene.backend.list("b"))


def test_nothing_is_written_through_it() -> None:
    scene = Scene(filled(a=b"good"), filled())
    with pytest.raises(AccessDeniedError):
        scene.backend.put("b", b"good")
    with pytest.raises(AccessDeniedError):
        scene.backend.delete("a")
    assert ["a"] == scene.names()
