"""3-2-1-1-0 of each store, digit by digit."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict

from vaultctl import json_lines
from vaultctl.output import Output
from vaultctl.text import local, plain, plural
from vaultd.maintenance.copies import StoreCopies
from vaultd.policy.copies import Digit

_WORDS = {
    "copies": "copies, the original included",
    "media": "kinds of media",
    "off-site": "off-site",
    "immutable": "that nobody can delete",
    "errors": "errors",
}


def show(output: Output, found: Sequence[StoreCopies]) -> None:
    """Write what was counted."""
    if output.json:
        for store in found:
            output.record("store", _fields(store))
        reached = sum(store.reached for store in found)
        output.record("summary", {"stores": len(found), "reached": reached})
        return
    for store in found:
        name = plain(f"{store.store} on {store.host}")
        counted = "-".join(_shown(digit) for digit in store.digits)
        newest = f"newest {store.newest} of {local(store.newest_ns)}"
        output.line(f"{name}: {counted}  ({newest})")
        for digit in store.digits:
            mark = "✔" if digit.reached else "✘"
            output.line(f"  {mark} {_shown(digit)} {_WORDS[digit.name]}, wanted {digit.wanted}")
            for reason in digit.evidence:
                output.line(f"      {plain(reason)}")
        if store.hidden:
            count = plural(store.hidden, "snapshot")
            output.warn(f"{name}: {count} could not be looked at: give a recovery key to see all")
    if not found:
        output.line("there is no snapshot yet")


def _shown(digit: Digit) -> str:
    return "?" if digit.found is None else str(digit.found)


def _fields(store: StoreCopies) -> dict[str, object]:
    return {
        "host": store.host,
        "store": store.store,
        "reached": store.reached,
        "newest": store.newest,
        "newest_time": json_lines.instant(store.newest_ns),
        "hidden_snapshots": store.hidden,
        "digits": [{**asdict(digit), "reached": digit.reached} for digit in store.digits],
        "targets": [{**asdict(held), "media": str(held.media)} for held in store.held],
    }
