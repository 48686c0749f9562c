"""Count the copies of each store by the rule 3-2-1-1-0.

Three copies (the original included), two kinds of media, one off-site, one that nobody can delete,
and no errors: each digit is shown with its evidence. What lies where, and on what, is written in
the configuration; whether it is there is found by listing every target. Names are shown as far as
this machine has the keys. The exit code is 1 when a digit is not reached.
"""

from __future__ import annotations

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.counting import copies_of
from vaultctl.exit_codes import FAILED, OK
from vaultctl.views import copies as view


@make_command(__doc__)
def command(app: App) -> int:
    """Count; see the module's docstring."""
    found = copies_of(app)
    view.show(app.output, found)
    return OK if all(store.reached for store in found) else FAILED
