"""An admin's answers to machines that ask to be let in."""

from __future__ import annotations

from collections.abc import Callable

from vaultctl import keys, prompts
from vaultctl.access import Place
from vaultctl.context import App
from vaultd.core.errors import ConfigError
from vaultd.vault.admission import (
    Enrolled,
    Request,
    enrol_here,
    enrol_host,
    enrol_keeper,
    read_request,
)
from vaultd.vault.changes import Admin
from vaultd.vault.enrolment import KEEPER, Applicant


def answer(
    app: App,
    place: Place,
    make_admin: Callable[[], Admin],
    text: str,
    *,
    replace_key: bool,
    compared: bool,
) -> None:
    """Answer a request, and write the answer.

    Args:
        app: The run.
        place: The vault.
        make_admin: Gives the admin at work.
        text: The request.
        replace_key: End the host's old key.
        compared: The fingerprint needs no question any more.

    Raises:
        ConfigError: The fingerprint was not confirmed.
        KeyringError: The request does not fit, or a key is missing.
    """
    request = read_request(text)
    if not compared:
        _compare(app, request)
    admin = make_admin()
    enrolled = _enrolled(app, place, admin, request, replace_key=replace_key)
    place.identity.advance_pin(enrolled.trust)
    if enrolled.new_keys is not None:
        # This machine may be the keeper, who must see which packs the new domain's snapshots need.
        place.identity.add_keys(enrolled.new_keys)
    body = request.body
    app.tell(
        "grant",
        lambda: {"name": body.name, "role": body.role, "grant": enrolled.grant},
        enrolled.grant.rstrip,
    )
    if not app.output.json:
        app.output.say(f"Carry the answer to {body.name}; there: vaultctl host accept FILE")


def enrol_this_machine(
    app: App, place: Place, admin: Admin, applicant: Applicant, *, replace_key: bool
) -> None:
    """Enrol the machine that this runs on.

    Args:
        app: The run.
        place: The vault.
        admin: Who does it.
        applicant: What this machine wants to be.
        replace_key: End the key that a host of this name has.

    Raises:
        KeyringError: It is something else already, or a key is missing.
    """
    domain = applicant.domain or applicant.name
    known = any(grant.domain == domain for grant in place.trust.policy.hosts)
    find_keys = keys.read_keys if applicant.role == KEEPER or known else keys.given_keys
    read_keys = find_keys(app, place.backend, place.trust)
    enrol_here(admin, place.identity, applicant, read_keys, replace_key=replace_key)
    app.tell(
        "summary",
        lambda: {"name": applicant.name, "role": applicant.role},
        lambda: f"this machine is {applicant.role} {applicant.name} now",
    )


def _enrolled(
    app: App, place: Place, admin: Admin, request: Request, *, replace_key: bool
) -> Enrolled:
    body = request.body
    if body.role == KEEPER:
        return enrol_keeper(admin, request, keys.read_keys(app, place.backend, place.trust))
    known = any(grant.domain == body.domain for grant in place.trust.policy.hosts)
    find_keys = keys.read_keys if known else keys.given_keys
    read_keys = find_keys(app, place.backend, place.trust)
    return enrol_host(admin, request, read_keys, replace_key=replace_key)


def _compare(app: App, request: Request) -> None:
    body = request.body
    shown = f"{body.role} {body.name}" + (f" of domain {body.domain}" if body.domain else "")
    text = f"request of {shown}: fingerprint {request.fingerprint}"
    if not prompts.can_ask():
        raise ConfigError(
            f"{text} was not compared with the machine's",
            hint="Compare it over another channel, then add --yes.",
        )
    app.output.say_always(text)
    if not prompts.ask_yes("Does that machine show the same fingerprint?"):
        raise ConfigError("the fingerprint was not confirmed, so nobody was let in")
