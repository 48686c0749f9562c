"""Examine the storage and this machine.

Can they be trusted with backups? Tries what the vault relies on (with small objects of its own),
compares clocks, looks for rights that a host should not have, and for room. Serious findings give
exit code 1.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from vaultctl.access import location_of
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import FAILED, OK
from vaultctl.views import doctor as view
from vaultd.maintenance.doctor import DoctorContext, examine
from vaultd.vault.identity import known_identities
from vaultd.wiring.storage import Backend, open_backend
from vaultd.wiring.system import system_random


@make_command(__doc__)
def command(app: App) -> int:
    """Examine; see the module's docstring."""
    location, settings = location_of(app), app.settings
    with ExitStack() as stack:

        def make_backend() -> Backend:
            return stack.enter_context(open_backend(location, settings, app.progress))

        backend = make_backend()
        known = known_identities(settings.state_dir)
        pins = [one.pin for one in known if one.location == backend.location]
        context = DoctorContext(
            make_backend=make_backend,
            pin=pins[0] if pins else None,
            locks_asked=settings.s3.lock is not None,
            prefix=f"doctor/{system_random(8).hex()}/",
            spool=backend.spool or Path(settings.state_dir),
            state=settings.state_dir,
            clock=app.clock,
            random=system_random,
            observer=app.progress,
        )
        findings = examine(context)
    view.show(app.output, findings)
    return FAILED if any(not one.ok and one.serious for one in findings) else OK
