"""Make a vault, its keys, and make this machine its first host.

vaultctl init -r /mnt/backup/vault
vaultctl init -r s3:https://s3.example.com/backups/crm --kit /media/usb/vault-kit

Two recovery keys are made: one is 24 words on a sheet to print, one is a file under a passphrase.
Either opens every backup; without one of them nobody can, ever. They go into a new folder, the
kit, which you carry away from this machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from vaultctl.access import location_of
from vaultctl.birth import InitRequest, make_vault
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.keys import new_passphrase
from vaultctl.views import birth as view


@make_command(__doc__)
@click.option("--label", metavar="TEXT", help="Name of the vault for people; the last part of -r.")
@click.option("--host", metavar="NAME", help="Name of this machine in the vault; its host name.")
@click.option("--domain", metavar="NAME", help="Machines that share keys; the machine's own name.")
@click.option("--kit", metavar="DIR", help="Folder for the keys; ./vaultd-kit-ID.")
@click.option(
    "--single-key-i-accept-loss",
    is_flag=True,
    help="Only the sheet, no second key: who loses it loses every backup.",
)
@click.option(
    "--discard-unfinished", is_flag=True, help="Delete what an init that broke off left there."
)
def command(app: App, **chosen: Any) -> None:
    """Make a vault; see the module's docstring."""
    location = location_of(app)
    host = chosen["host"] or _own_name()
    request = InitRequest(
        location=location,
        label=chosen["label"] or Path(location.rstrip("/")).name or "vault",
        host=host,
        domain=chosen["domain"] or host,
        kit=None if chosen["kit"] is None else Path(chosen["kit"]),
        single_key=chosen["single_key_i_accept_loss"],
        discard_unfinished=chosen["discard_unfinished"],
    )
    made = make_vault(app, request, lambda: new_passphrase(app))
    view.show(app.output, made)


def _own_name() -> str:
    """Return this machine's name as object names can hold it."""
    short = os.uname().nodename.partition(".")[0].lower()
    return re.sub(r"[^a-z0-9]+", "-", short).strip("-")[:40] or "host"
