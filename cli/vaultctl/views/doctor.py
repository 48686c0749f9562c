"""What the doctor found."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict

from vaultctl.output import Output
from vaultctl.text import plain, plural
from vaultd.maintenance.doctor import Finding


def show(output: Output, findings: Sequence[Finding]) -> None:
    """Write findings, one a line, and a verdict."""
    serious = [one for one in findings if not one.ok and one.serious]
    advice = [one for one in findings if not one.ok and not one.serious]
    if output.json:
        for finding in findings:
            output.record("finding", asdict(finding))
        output.record("summary", {"serious": len(serious), "advice": len(advice)})
        return
    width = max((len(one.name) for one in findings), default=0)
    for one in findings:
        output.line(f"{_mark(one)}  {plain(one.name):<{width}}  {plain(one.detail)}".rstrip())
        if not one.ok and one.hint:
            output.line(f"      {'':<{width}}  hint: {one.hint}")
    if serious:
        output.line(f"\n{plural(len(serious), 'serious finding')}: do not rely on this yet.")
    else:
        output.line(f"\nAll well{', with some advice' if advice else ''}.")


def _mark(finding: Finding) -> str:
    if finding.ok:
        return "ok  "
    return "BAD " if finding.serious else "note"
