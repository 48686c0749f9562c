"""Print the sheet of a recovery key again, from the key itself.

vaultctl key sheet --recovery-key-file recovery-file.key --html sheet.html

Without --html the sheet is written as text to standard output: mind who looks over your shoulder.
"""

from __future__ import annotations

from pathlib import Path

import click

from vaultctl import keys, sheets
from vaultctl.access import Place, opened_place
from vaultctl.archive import new_file
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultd.vault.sheets import WORDS, PersonalKey, RecoverySheet, sheet_of
from vaultd.wiring.keys import KeyType, Secret


@make_command(__doc__)
@click.option("--html", metavar="FILE", help="Write a page to print, for its owner only.")
def command(app: App, html: str | None) -> None:
    """Print; see the module's docstring."""
    with opened_place(app) as place:
        sheet = keys.with_recovery_key(app, place.trust, lambda seed: _sheet(place, seed))
    if html is None:
        fields = {"label": sheet.label, "words": list(sheet.words), "vault_id": sheet.vault_id}
        app.tell("sheet", lambda: fields, lambda: sheets.as_text(sheet).rstrip())
        return
    with new_file(Path(html)) as file:
        file.write(sheets.as_html(sheet).encode())
    app.tell("summary", lambda: {"file": html}, lambda: f"{html}: print it, then delete it")


def _sheet(place: Place, seed: bytes) -> RecoverySheet:
    key = PersonalKey(type=KeyType.RECOVERY, label="recovery", form=WORDS, seed=Secret(seed))
    labels = [one.label for one in place.trust.policy.recipients if one.public == key.public]
    named = PersonalKey(
        type=KeyType.RECOVERY, label=(labels or ["unknown"])[0], form=WORDS, seed=Secret(seed)
    )
    return sheet_of(named, place.trust.vault, place.backend.location)
