"""Seal nothing more to a recovery key that was lost or seen.

vaultctl key revoke safe-1 --admin-key-file admin.key

What it opens today it goes on opening for who has a copy of the vault. Rotate the domains' keys
afterwards (`vaultctl key rotate`), so that it does not open what is backed up from then on. Needs
the admin key and another recovery key.
"""

from __future__ import annotations

import click
from msgspec.structs import replace

from vaultctl import keys
from vaultctl.access import opened_place
from vaultctl.authority import admin_of
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultd.core.errors import AccessDeniedError
from vaultd.vault.changes import drop_old_copies, reseal, revoke_recipient


@make_command(__doc__)
@click.argument("label")
@click.option("--admin-key-file", metavar="FILE", help="The admin key: file or words.")
@click.option("--single-key-i-accept-loss", is_flag=True, help="Go on with one recovery key.")
def command(
    app: App, label: str, admin_key_file: str | None, *, single_key_i_accept_loss: bool
) -> None:
    """Revoke; see the module's docstring."""
    with opened_place(app) as place:
        admin = admin_of(app, place, admin_key_file)
        opened = keys.read_keys(app, place.backend, place.trust)
        trust = revoke_recipient(admin, label, single_key_accepted=single_key_i_accept_loss)
        place.identity.advance_pin(trust)
        resealed = reseal(replace(admin, trust=trust), opened)
        try:
            dropped = drop_old_copies(place.backend, trust)
        except AccessDeniedError as error:
            dropped = ()
            app.output.warn(f"old copies of sealed keys stay: {error.message}")
    app.tell(
        "summary",
        lambda: {"label": label, "written": list(resealed.written), "deleted": list(dropped)},
        lambda: f"recovery key {label!r} is revoked; next: vaultctl key rotate",
    )
