"""Ask for this machine to be let in, or for its newest keys.

vaultctl host request -r LOCATION web2 > web2.request

Carry the request to whoever has the admin key, and compare the fingerprint over another channel.
It holds no secret.
"""

from __future__ import annotations

import click

from vaultctl.access import opened_place
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultd.vault.admission import read_request
from vaultd.vault.enrolment import HOST, KEEPER, Applicant, request_enrolment
from vaultd.wiring.system import system_random


@make_command(__doc__)
@click.argument("name")
@click.option("--domain", default="", metavar="NAME", help="Share keys with these machines.")
@click.option("--keeper", is_flag=True, help="Ask to be a keeper: to tag, forget and prune.")
def command(app: App, name: str, domain: str, *, keeper: bool) -> None:
    """Ask; see the module's docstring."""
    applicant = Applicant(name=name, role=KEEPER if keeper else HOST, domain=domain)
    with opened_place(app) as place:
        text = request_enrolment(place.identity, applicant, random=system_random, clock=app.clock)
    fingerprint = read_request(text).fingerprint
    app.tell(
        "request",
        lambda: {"name": name, "request": text, "fingerprint": fingerprint},
        text.rstrip,
    )
    if not app.output.json:
        app.output.say(
            f"Fingerprint of this request: {fingerprint}\n"
            "Give the text to an admin, who runs `vaultctl host enrol FILE`;\n"
            "then run `vaultctl host accept FILE` here with the answer."
        )
