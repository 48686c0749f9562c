"""What was healed, and what has no good copy."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultd.maintenance.heal import Healed, Outcome


def show(output: Output, found: Sequence[Healed], *, dry_run: bool) -> None:
    """Write how it went with each object."""
    counts = {outcome: sum(one.outcome is outcome for one in found) for outcome in Outcome}
    if output.json:
        for one in found:
            fields = {**asdict(one), "outcome": str(one.outcome)}
            output.record("object", {**fields, "dry_run": dry_run})
        named = {str(outcome).replace(" ", "_"): count for outcome, count in counts.items()}
        output.record("summary", {**named, "dry_run": dry_run})
        return
    for one in found:
        if one.outcome is not Outcome.GOOD:
            output.line(_line(one, dry_run=dry_run))
    bad = counts[Outcome.NO_COPY] + counts[Outcome.REFUSED]
    healed = plural(counts[Outcome.HEALED], "object")
    done = "would be healed" if dry_run else "healed"
    if bad:
        output.line(f"DAMAGE: {plural(bad, 'object')} could not be healed; {healed} {done}")
    elif counts[Outcome.HEALED]:
        output.line(f"{healed} {done}")
    else:
        output.line("nothing to heal")


def _line(one: Healed, *, dry_run: bool) -> str:
    name, was = plain(one.name), plain(one.was)
    if one.outcome is Outcome.HEALED:
        verb = "would be healed" if dry_run else "healed"
        return f"{verb}: {name} from {one.source} ({was})"
    return f"{one.outcome}: {name}: {was}; {plain(one.reason)}"
