"""What can go wrong with a backend, and when: the plan that `faulty.Faulty` follows."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from vaultd.core.errors import NoSpaceError, StorageUnavailableError, VaultdError


class FaultKind(StrEnum):
    """What happens to a call that a fault meets; a kind that cannot befall it does nothing."""

    FAIL = "fail"
    """An error, and nothing else happens."""
    LOSE_ANSWER = "lose answer"
    """It is done; an error comes back."""
    HALF_BODY = "half body"
    """A put stores half of its bytes, and an error comes back."""
    TRUNCATE = "truncate"
    """A get returns half of the bytes, and no error."""
    FLIP = "flip"
    """A get returns bytes with one bit flipped, and no error."""
    FLIP_STORED = "flip stored"
    """A put stores its bytes with one bit flipped."""
    LOSE_WRITE = "lose write"
    """A put is acknowledged, and nothing is stored."""
    STALE_LIST = "stale list"
    """A list lacks the objects of the latest puts."""
    DOUBLE_LIST = "double list"
    """A list has every object twice."""
    SLOW = "slow"
    """The call waits, then goes on as usual."""


class Step(Struct, frozen=True, kw_only=True):
    """One call of a backend.

    Attributes:
        number: Its place among all calls, from 1.
        operation: ``put``, ``get``, ``head``, ``list`` or ``delete``.
        name: The object, or the prefix of a list.
    """

    number: int
    operation: str
    name: str


def unavailable(step: Step) -> VaultdError:
    """Return the error of a server that does not answer."""
    return StorageUnavailableError(f"{step.operation} {step.name}: no answer (a planned fault)")


def busy(step: Step) -> VaultdError:
    """Return the error of a server that asks for fewer requests."""
    text = f"{step.operation} {step.name}: slow down (a planned fault)"
    return StorageUnavailableError(text, throttled=True)


def full(step: Step) -> VaultdError:
    """Return the error of a backend that has no room."""
    return NoSpaceError(f"{step.operation} {step.name}: no space left (a planned fault)")


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that goes wrong.

    Attributes:
        kind: What happens.
        error: Makes the error of a kind that raises one.
        seconds: How long a slow call waits.
    """

    kind: FaultKind
    error: Callable[[Step], VaultdError] = unavailable
    seconds: float = 0


Plan = Callable[[Step], Fault | None]
"""Says for each call which fault it meets, if any."""


def nothing(step: Step) -> None:
    """Plan no fault."""


def during(first: int, last: int, fault: Fault) -> Plan:
    """Plan a fault for calls number ``first`` to ``last``, both included, counted from 1."""
    return lambda step: fault if first <= step.number <= last else None


def when(meets: Callable[[Step], bool], fault: Fault) -> Plan:
    """Plan a fault for all calls that a question is true of."""
    return lambda step: fault if meets(step) else None


def sometimes(ratio: float, randomness: Callable[[int], bytes], fault: Fault) -> Plan:
    """Plan a fault for that share of all calls, 0 to 1, drawn one by one."""
    return lambda _: fault if int.from_bytes(randomness(4), "big") < ratio * 2**32 else None


def first_of(*plans: Plan) -> Plan:
    """Plan what the first of several plans has for a call, if any has."""
    return lambda step: next(filter(None, (plan(step) for plan in plans)), None)
