"""List the machines that the vault knows.

For each host its domain, its key, and which sessions it may sign; and the keepers.
"""

from __future__ import annotations

from msgspec.structs import asdict

from vaultctl.access import opened_place
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.views.tables import new_table
from vaultd.vault.roster import Machine, roster


@make_command(__doc__)
def command(app: App) -> None:
    """List; see the module's docstring."""
    with opened_place(app) as place:
        machines = roster(place.trust)
        own = (place.identity.host, place.identity.keeper)
    if app.output.json:
        for one in machines:
            app.output.record("machine", {**asdict(one), "here": one.name in own})
        app.output.record("summary", {"machines": len(machines)})
        return
    table = new_table()
    for heading in ("Role", "Name", "Domain", "Key", "Sessions", ""):
        table.add_column(heading, no_wrap=True)
    for one in machines:
        here = "this machine" if one.name == own[one.role == "keeper"] else ""
        table.add_row(one.role, one.name, one.domain, one.fingerprint, _sessions(one), here)
    app.output.rich(table)


def _sessions(one: Machine) -> str:
    if one.role != "host":
        return ""
    if one.until_seq:
        return f"{one.from_seq} to {one.until_seq}, ended"
    return f"from {one.from_seq}"
