"""Let a machine in: answer its request, or enrol this machine at once.

vaultctl host enrol --admin-key-file admin.key web2.request > web2.grant
vaultctl host enrol --admin-key-file admin.key --here web2

A recovery key is needed too when the machine joins a domain that exists, or is a keeper.
"""

from __future__ import annotations

from pathlib import Path

import click

from vaultctl.access import opened_place
from vaultctl.authority import admin_of
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.enrolling import answer, enrol_this_machine
from vaultd.core.errors import ConfigError
from vaultd.vault.enrolment import HOST, KEEPER, Applicant


@make_command(__doc__)
@click.argument("request", metavar="FILE|NAME")
@click.option("--admin-key-file", metavar="FILE", help="The admin key: file or words.")
@click.option("--here", is_flag=True, help="Enrol this machine under NAME, in one step.")
@click.option("--domain", default="", metavar="NAME", help="With --here: share keys with these.")
@click.option("--keeper", is_flag=True, help="With --here: as a keeper.")
@click.option("--replace-key", is_flag=True, help="The machine was set up anew: end its old key.")
@click.option("--yes", is_flag=True, help="The fingerprint was compared already.")
def command(app: App, request: str, admin_key_file: str | None, **chosen: object) -> None:
    """Enrol; see the module's docstring."""
    here, keeper, domain = bool(chosen["here"]), bool(chosen["keeper"]), str(chosen["domain"])
    with opened_place(app) as place:
        if here:
            applicant = Applicant(name=request, role=KEEPER if keeper else HOST, domain=domain)
            admin = admin_of(app, place, admin_key_file)
            replaces = bool(chosen["replace_key"])
            enrol_this_machine(app, place, admin, applicant, replace_key=replaces)
            return
        try:
            text = Path(request).read_text("utf-8", "replace")
        except OSError as exc:
            raise ConfigError(
                f"request {request}: cannot be read: {exc.strerror}",
                hint="Give the file that `vaultctl host request` printed, or add --here.",
            ) from exc
        answer(
            app,
            place,
            lambda: admin_of(app, place, admin_key_file),
            text,
            replace_key=bool(chosen["replace_key"]),
            compared=bool(chosen["yes"]),
        )
