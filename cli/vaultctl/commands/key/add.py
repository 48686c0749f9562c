"""Add a recovery key, which opens all backups, the old ones too.

vaultctl key add --form words --label safe-2 --kit DIR
vaultctl key add --form file --label notary --kit DIR

Needs the admin key, and a recovery key that is in force. The new key is written into the kit
folder before the vault learns of it.
"""

from __future__ import annotations

from pathlib import Path

import click

from vaultctl import keys
from vaultctl.access import opened_place
from vaultctl.authority import admin_of
from vaultctl.birth import personal_files
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.kit import check_kit, write_kit
from vaultd.core.errors import ConfigError
from vaultd.vault.changes import NewRecipient, add_recipient
from vaultd.vault.sheets import FILE, WORDS, draw_key
from vaultd.wiring.keys import KeyType
from vaultd.wiring.system import system_random


@make_command(__doc__)
@click.option(
    "--form",
    type=click.Choice([WORDS, FILE]),
    default=WORDS,
    show_default=True,
    help="On a sheet, or a file under a passphrase.",
)
@click.option("--label", required=True, metavar="TEXT", help="Tells it from the others.")
@click.option("--kit", required=True, metavar="DIR", help="New folder for the key.")
@click.option("--admin-key-file", metavar="FILE", help="The admin key: file or words.")
def command(app: App, form: str, label: str, kit: str, admin_key_file: str | None) -> None:
    """Add; see the module's docstring."""
    folder = Path(kit)
    check_kit(folder)
    with opened_place(app) as place:
        if any(grant.label == label for grant in place.trust.policy.recipients):
            raise ConfigError(f"there is a recovery key {label!r}", hint="Choose another label.")
        admin = admin_of(app, place, admin_key_file)
        opened = keys.read_keys(app, place.backend, place.trust)
        key = draw_key(KeyType.RECOVERY, label, form, system_random)
        passphrase = keys.new_passphrase(app) if form == FILE else None
        files = personal_files(key, place.trust, place.backend.location, passphrase)
        write_kit(folder, files)
        recipient = NewRecipient(label=label, form=form, public=key.public)
        trust, resealed = add_recipient(admin, opened, recipient)
        place.identity.advance_pin(trust)
    for domain, epoch in resealed.missing:
        app.output.warn(f"domain {domain} epoch {epoch}: not opened, so the new key has no access")
    app.tell(
        "summary",
        lambda: {"label": label, "kit": str(folder), "files": [file.name for file in files]},
        lambda: f"recovery key {label!r} opens all backups now; it lies in {folder}: keep it safe",
    )
