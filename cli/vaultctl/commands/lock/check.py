"""Check that every snapshot is locked as long as was promised.

vaultctl lock check

Asks the storage for the lock of every object that a live snapshot needs. Nothing is changed. What
is not locked for long enough is named, with exit code 20.
"""

from __future__ import annotations

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, OK
from vaultctl.listing import opened_list
from vaultctl.locking import lock_context
from vaultctl.views import locks as view
from vaultd.maintenance.locks import check_locks


@make_command(__doc__)
def command(app: App) -> int:
    """Check locks; see the module's docstring."""
    with opened_list(app) as listed:
        report = check_locks(lock_context(app, listed))
    view.show_check(app.output, report)
    return DAMAGE if report.violations else OK
