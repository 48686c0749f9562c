"""What every backend promises, as functions that try it on a real one.

The tests run them on all backends and wrappers; ``vaultctl doctor`` runs them on a user's own
folder or bucket, under a scratch prefix. Each function tries one promise, which its docstring puts
in words, and raises `StorageError` when it is broken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from vaultd.backends.conformance_promises import (
    Bench,
    Together,
    a_list_shows_what_was_put_before,
    a_refused_body_can_be_put_again,
    a_wrong_sha256_is_noticed_or_ignored,
    bytes_come_back_as_they_were,
    deleting_what_is_missing_is_fine,
    head_tells_size_and_time,
    lists_are_in_order_and_exact,
    long_and_odd_names_work,
    many_threads_may_use_it,
    one_of_many_racing_puts_wins,
    put_refuses_to_overwrite,
    ranges_are_exact,
    spooled_bodies_are_stored_whole,
    unknown_names_are_not_found,
    unsafe_names_are_refused,
    what_is_deleted_is_gone,
)
from vaultd.core.clock import Clock
from vaultd.core.errors import AccessDeniedError, ObjectExistsError, StorageError, VaultdError

__all__ = [
    "DELETING",
    "PROMISES",
    "Bench",
    "Promise",
    "Together",
    "Verdict",
    "clock_ahead_s",
    "may_delete",
    "try_promise",
]

Promise = Callable[[Bench], None]
"""Tries one promise; raises `StorageError` when it is broken."""


DELETING: tuple[Promise, ...] = (what_is_deleted_is_gone, deleting_what_is_missing_is_fine)
"""The promises that only those can see kept who may delete."""

PROMISES: tuple[Promise, ...] = (
    bytes_come_back_as_they_were,
    put_refuses_to_overwrite,
    one_of_many_racing_puts_wins,
    a_list_shows_what_was_put_before,
    lists_are_in_order_and_exact,
    ranges_are_exact,
    unknown_names_are_not_found,
    head_tells_size_and_time,
    spooled_bodies_are_stored_whole,
    a_refused_body_can_be_put_again,
    a_wrong_sha256_is_noticed_or_ignored,
    long_and_odd_names_work,
    unsafe_names_are_refused,
    many_threads_may_use_it,
    *DELETING,
)
"""All promises; those of `DELETING` last."""

_NO_CONDITION = (
    "Let the daemon delete nothing there (prune = off): this server does not honour If-None-Match."
)
_LAGGING = "Let the daemon delete nothing there (prune = off): lists of this server lag."
_HINTS: dict[Promise, str] = {
    put_refuses_to_overwrite: _NO_CONDITION,
    one_of_many_racing_puts_wins: _NO_CONDITION,
    a_list_shows_what_was_put_before: _LAGGING,
    what_is_deleted_is_gone: _LAGGING,
}
"""What to do when a promise is broken and the backend itself gave no advice."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What came of trying one promise.

    Attributes:
        name: The promise's short name, with spaces.
        text: The promise in one sentence.
        kept: It was.
        reason: Why not; empty when it was.
        hint: What to do about it, when something is known to help.
        left: Objects that could not be removed afterwards.
    """

    name: str
    text: str
    kept: bool
    reason: str = ""
    hint: str | None = None
    left: int = 0


def try_promise(promise: Promise, bench: Bench) -> Verdict:
    """Try one promise in a place of its own, and remove what it made.

    Returns:
        The verdict; errors of the backend are part of it.
    """
    place = replace(bench, prefix=f"{bench.prefix}{promise.__name__}/")
    reason, hint = "", None
    try:
        promise(place)
    except VaultdError as exc:
        reason, hint = exc.message, exc.hint or _HINTS.get(promise)
    return Verdict(
        name=promise.__name__.replace("_", " "),
        text=(promise.__doc__ or "").partition("\n")[0],
        kept=not reason,
        reason=reason,
        hint=hint,
        left=_clear(place),
    )


def may_delete(bench: Bench) -> bool:
    """Tell whether these credentials may delete, by deleting an object made for it."""
    backend = bench.make()
    name = f"{bench.prefix}canary"
    with contextlib.suppress(ObjectExistsError):
        backend.put(name, b"canary")
    try:
        backend.delete(name)
    except AccessDeniedError:
        return False
    return True


def clock_ahead_s(bench: Bench, clock: Clock) -> float:
    """Return how far the backend's clock is ahead of ours, in seconds; good to about one second."""
    backend = bench.make()
    name = f"{bench.prefix}clock-{bench.randomness(4).hex()}"
    before_ns = clock.now_ns()
    backend.put(name, b"tick")
    after_ns = clock.now_ns()
    modified_ns = backend.head(name).modified_ns
    with contextlib.suppress(AccessDeniedError):
        backend.delete(name)
    return (modified_ns - (before_ns + after_ns) // 2) / 1e9


def _clear(bench: Bench) -> int:
    """Remove what a promise left; return how many objects would not go."""
    left = 0
    try:
        backend = bench.make()
        for name in [info.name for info in backend.list(bench.prefix)]:
            try:
                backend.delete(name)
            except StorageError:
                left += 1
    except VaultdError:  # it cannot even be listed: the promise has said so before
        pass
    return left
