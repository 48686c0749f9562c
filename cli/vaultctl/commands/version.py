"""Say which version this is.

Prints the version of vaultctl. With --json also the version of the Python that runs it.
"""

from __future__ import annotations

import platform

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultd import __version__


@make_command(__doc__)
def command(app: App) -> None:
    """Show the version; see the module's docstring."""
    app.tell(
        "version",
        lambda: {"version": __version__, "python": platform.python_version()},
        lambda: f"vaultctl {__version__}",
    )
