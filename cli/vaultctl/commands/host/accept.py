"""Take the answer of an admin: from now on this machine can back up.

vaultctl host accept web2.grant
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vaultctl.access import opened_place
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultd.core.errors import ConfigError
from vaultd.vault.enrolment import accept_grant


@make_command(__doc__)
@click.argument("grant", metavar="FILE")
def command(app: App, grant: str) -> None:
    """Accept; see the module's docstring."""
    try:
        text = sys.stdin.read() if grant == "-" else Path(grant).read_text("utf-8", "replace")
    except OSError as exc:
        raise ConfigError(f"grant {grant}: cannot be read: {exc.strerror}") from exc
    with opened_place(app) as place:
        identity = accept_grant(place.backend, place.identity, text)
        host, keeper = identity.host, identity.keeper
    names = [f"host {host}"] if host else []
    names += [f"keeper {keeper}"] if keeper else []
    app.tell(
        "summary",
        lambda: {"host": host, "keeper": keeper},
        lambda: f"this machine is {' and '.join(names)} of the vault now",
    )
