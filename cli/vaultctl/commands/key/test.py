"""Prove that a recovery key opens what is backed up now.

vaultctl key test --recovery-key-file recovery-file.key
vaultctl key test                     asks for the words on the sheet

Do this now and twice a year, with each key: a key that was never tried is a hope.
"""

from __future__ import annotations

from vaultctl import keys
from vaultctl.access import opened_place
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, OK
from vaultctl.text import plain
from vaultd.vault.ceremony import KeyTest, test_key
from vaultd.wiring.system import system_random


@make_command(__doc__)
def command(app: App) -> int:
    """Test; see the module's docstring."""
    with opened_place(app) as place:
        result = keys.with_recovery_key(
            app,
            place.trust,
            lambda seed: test_key(
                place.backend,
                place.trust,
                seed,
                identity=place.identity,
                random=system_random,
                clock=app.clock,
            ),
        )
    for damage in result.damaged:
        app.output.warn(damage)
    app.tell("summary", lambda: _fields(result), lambda: _words(result))
    return DAMAGE if result.damaged else OK


def _fields(result: KeyTest) -> dict[str, object]:
    return {
        "label": result.label,
        "opened": [{"domain": domain, "epoch": epoch} for domain, epoch in result.opened],
        "closed": [{"domain": domain, "epoch": epoch} for domain, epoch in result.closed],
        "damaged": list(result.damaged),
    }


def _words(result: KeyTest) -> str:
    domains = sorted({domain for domain, _ in result.opened})
    name = f"recovery key {plain(result.label)!r}" if result.label else "this key (revoked or old)"
    lines = [f"{name} works: it opens {', '.join(domains)}"]
    if result.closed:
        missing = ", ".join(f"{domain} epoch {epoch}" for domain, epoch in result.closed)
        lines.append(f"it does not open {missing}")
    return "\n".join(lines)
