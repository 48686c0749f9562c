"""Shut a machine out: what it signs from now on is believed no more.

vaultctl host revoke --admin-key-file admin.key web2

Its snapshots so far stay. If it was broken into, name the last session that is believed with
--last-session (see `vaultctl snapshots --json`), and rotate its domain's keys: vaultctl key rotate.
Take away its storage credentials too.
"""

from __future__ import annotations

import click

from vaultctl.authority import admin_of
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.listing import opened_list
from vaultd.vault.changes import revoke_host


@make_command(__doc__)
@click.argument("name")
@click.option("--admin-key-file", metavar="FILE", help="The admin key: file or words.")
@click.option("--last-session", type=click.IntRange(0), metavar="N", help="Believe up to this one.")
def command(app: App, name: str, admin_key_file: str | None, last_session: int | None) -> None:
    """Revoke; see the module's docstring."""
    with opened_list(app) as listed:
        sessions = [one.session.seq for one in listed.snapshots if one.session.host == name]
        last = max(sessions, default=0) if last_session is None else last_session
        admin = admin_of(app, listed.place, admin_key_file)
        trust = revoke_host(admin, name, last_seq=last)
        listed.place.identity.advance_pin(trust)
    app.tell(
        "summary",
        lambda: {"host": name, "last_session": last},
        lambda: f"host {name} is shut out: nothing after session {last} is believed",
    )
