"""List the recovery keys of the vault, and when each was last tested here."""

from __future__ import annotations

from vaultctl import json_lines
from vaultctl.access import opened_place
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.text import local, plain
from vaultctl.views.tables import new_table


@make_command(__doc__)
def command(app: App) -> None:
    """List; see the module's docstring."""
    with opened_place(app) as place:
        grants = place.trust.policy.recipients
        tests = place.identity.key_tests
        fingerprints = place.trust.fingerprints
    if app.output.json:
        for grant in grants:
            tested = tests.get(grant.label)
            fields = {
                "label": grant.label,
                "form": grant.form,
                "added": json_lines.instant(grant.added_ns),
                "revoked": grant.revoked,
                "tested": None if tested is None else json_lines.instant(tested),
            }
            app.output.record("key", fields)
        app.output.record("summary", {"keys": len(grants), "fingerprints": list(fingerprints)})
        return
    table = new_table()
    for heading in ("Recovery key", "Form", "Added", "Last tested here", ""):
        table.add_column(heading, no_wrap=True)
    for grant in grants:
        tested = tests.get(grant.label)
        table.add_row(
            plain(grant.label),
            grant.form,
            local(grant.added_ns),
            "never" if tested is None else local(tested),
            "revoked" if grant.revoked else "",
        )
    app.output.rich(table)
    app.output.line(f"Fingerprint of the vault (admin key): {' '.join(fingerprints)}")
