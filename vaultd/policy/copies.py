"""3-2-1-1-0, counted for one store: a pure decision with its evidence, digit by digit.

Three copies, the original included; on two kinds of media; one of them off-site; one that cannot be
changed or is offline; and no errors. What nobody said or looked at counts as not there: a digit is
reached when there is evidence for it, and only then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct


class Media(StrEnum):
    """What a copy lies on."""

    DISK = "disk"
    OBJECT_STORAGE = "object-storage"
    TAPE = "tape"


class Held(Struct, frozen=True, kw_only=True):
    """What one target holds of one store.

    Attributes:
        target: Name of the target, for people.
        media: What it lies on.
        offsite: Somebody said that it is in another building than the original.
        locked: Objects cannot be deleted there, or it is offline; ``None``: not known.
        live: Live snapshots of the store.
        complete: Of these, how many have every object that they need there.
        has_newest: The newest one is among the complete ones.
        missing: Objects that live snapshots of the store need and that are not there.
        errors: Damaged objects found when everything was last read; ``None``: never read.
        read_at: When that was, for people; empty when never.
        unreachable: Why it could not be looked at; empty when it could.
    """

    target: str
    media: Media
    offsite: bool
    locked: bool | None
    live: int
    complete: int
    has_newest: bool
    missing: int
    errors: int | None = None
    read_at: str = ""
    unreachable: str = ""


class Original(Struct, frozen=True, kw_only=True):
    """The customer data itself: the first of the three copies.

    Attributes:
        media: What it lies on.
    """

    media: Media = Media.DISK


class Digit(Struct, frozen=True, kw_only=True):
    """One digit of the rule.

    Attributes:
        name: ``copies``, ``media``, ``off-site``, ``immutable``, ``errors``.
        wanted: What the rule says; at least so many, and of errors exactly 0.
        found: What there is evidence for; ``None``: it was never looked at.
        evidence: Why, one clause for each thing counted or missed.
    """

    name: str
    wanted: int
    found: int | None
    evidence: tuple[str, ...]

    @property
    def reached(self) -> bool:
        """Whether the rule is kept in this digit."""
        if self.found is None:
            return False
        return self.found == 0 if self.name == "errors" else self.found >= self.wanted


def count_copies(held: Sequence[Held], original: Original | None = None) -> tuple[Digit, ...]:
    """Return the five digits for one store.

    Args:
        held: What each target holds of it, the first target first.
        original: The data itself; on a disk by default.
    """
    origin = Original() if original is None else original
    copies = [one for one in held if one.has_newest]
    return (
        Digit(
            name="copies",
            wanted=3,
            found=1 + len(copies),
            evidence=("the original", *(_holding(one) for one in held)),
        ),
        _media(copies, origin),
        Digit(
            name="off-site",
            wanted=1,
            found=sum(one.offsite for one in copies),
            evidence=tuple(
                f"{one.target}: {'' if one.offsite else 'not '}said to be off-site"
                for one in copies
            ),
        ),
        Digit(
            name="immutable",
            wanted=1,
            found=sum(one.locked is True for one in copies),
            evidence=tuple(f"{one.target}: {_lock(one.locked)}" for one in copies),
        ),
        _errors(held),
    )


def _holding(one: Held) -> str:
    if one.unreachable:
        return f"{one.target}: cannot be looked at: {one.unreachable}"
    newest = "the newest snapshot is complete" if one.has_newest else "the newest one is not there"
    return f"{one.target}: {one.complete} of {one.live} snapshots complete, {newest}"


def _media(copies: Iterable[Held], original: Original) -> Digit:
    where: dict[Media, list[str]] = {original.media: ["the original"]}
    for one in copies:
        where.setdefault(one.media, []).append(one.target)
    evidence = tuple(f"{media}: {', '.join(names)}" for media, names in where.items())
    return Digit(name="media", wanted=2, found=len(where), evidence=evidence)


def _lock(locked: bool | None) -> str:  # noqa: FBT001 - three answers to one question
    if locked is None:
        return "not known whether it is locked"
    return "locked: nobody can delete before its date" if locked else "anybody with rights deletes"


def _errors(held: Sequence[Held]) -> Digit:
    """Count what is missing and what was damaged; a target that was never read proves nothing."""
    evidence = []
    for one in held:
        if one.unreachable:
            evidence.append(f"{one.target}: cannot be looked at: {one.unreachable}")
            continue
        read = f"{one.errors} damaged when read at {one.read_at}"
        if one.errors is None:
            read = "never read in full"
        evidence.append(f"{one.target}: {one.missing} missing, {read}")
    errors = sum(one.missing + (one.errors or 0) for one in held)
    unknown = any(one.errors is None or one.unreachable for one in held) or not held
    found = None if unknown and not errors else errors
    return Digit(name="errors", wanted=0, found=found, evidence=tuple(evidence))
