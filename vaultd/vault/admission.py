"""An admin's side of enrolment: read a request, name the machine in a policy, answer.

See `vaultd.vault.enrolment` for the machine's side.
"""

from __future__ import annotations

import contextlib

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.errors import KeyringError, MalformedObjectError
from vaultd.crypto import hashing, recipients, signing
from vaultd.format.codec import decode, encode
from vaultd.format.keys import HostGrant, KeeperGrant
from vaultd.format.machine import (
    GRANT,
    REQUEST,
    GrantBody,
    GrantSecrets,
    HeldIndexKey,
    RequestBody,
    armor,
    unarmor,
)
from vaultd.format.signed import decode_signed
from vaultd.vault import contexts, layout
from vaultd.vault.bundles import new_epoch, newest_bundle
from vaultd.vault.changes import Admin, end_grants, next_epoch
from vaultd.vault.enrolment import HOST, KEEPER, Applicant, accept_grant, request_enrolment
from vaultd.vault.identity import HostIdentity
from vaultd.vault.keyring import DomainKeys, ReadKeys, to_held
from vaultd.vault.trust import Trust, open_object, sign_object


class Request(Struct, frozen=True, kw_only=True):
    """A request as an admin reads it; nothing proves yet who sent it.

    Attributes:
        body: What is asked.
        sha256: Of the request's object; the answer names it.
    """

    body: RequestBody
    sha256: bytes

    @property
    def fingerprint(self) -> str:
        """Of the machine's key: compare it with what the machine shows."""
        return signing.fingerprint(self.body.verify_key)


class Enrolled(Struct, frozen=True, kw_only=True):
    """An admin's answer.

    Attributes:
        trust: The vault after it.
        grant: The text to carry to the machine.
        new_keys: Keys of a domain that was made for it; keepers need its index key.
    """

    trust: Trust
    grant: str
    new_keys: DomainKeys | None


def read_request(text: str) -> Request:
    """Return the request in a text.

    Raises:
        IntegrityError: There is none, or it is damaged, or not signed by the key that it names.
    """
    raw = unarmor(REQUEST, text)
    claimed, _ = decode_signed(REQUEST, raw, what=REQUEST.name)
    body = decode(RequestBody, claimed, what=REQUEST.name, limit=REQUEST.limit)
    open_object(REQUEST, raw, (body.verify_key,), what=REQUEST.name)
    return Request(body=body, sha256=hashing.sha256(raw))


def enrol_host(
    admin: Admin, request: Request, keys: ReadKeys | None, *, replace_key: bool = False
) -> Enrolled:
    """Let a machine write as a host, or give a host the newest keys of its domain.

    Args:
        admin: Who does it.
        request: What the machine asks, its fingerprint compared.
        keys: What a recovery key opens; needed unless the domain is new.
        replace_key: The host has a new key: end the old one with its last session so far.

    Raises:
        KeyringError: The request is for another vault or role, does not fit what the vault knows
            of the host, or a recovery key is needed.
    """
    body = request.body
    _check_request(admin, request, HOST)
    grants = _host_grants(admin, body, replace_key=replace_key)
    made: DomainKeys | None = None
    if any(grant.domain == body.domain for grant in admin.trust.policy.hosts):
        held = _domain_keys(admin, body.domain, keys)
    else:
        # Bundles without a host are left from an enrolment that broke off: nothing is sealed to
        # them, so the next epoch starts afresh.
        epoch = new_epoch(body.domain, next_epoch(admin.backend, body.domain), admin.random)
        admin.put_bundle(epoch)
        made = epoch.keys
        held = (made,)
    trust = admin.trust
    if grants != trust.policy.hosts:
        trust = admin.put_policy(hosts=grants)
    secrets = GrantSecrets(domains=tuple(to_held(entry) for entry in held), index_keys=())
    return Enrolled(trust=trust, grant=_grant(admin, trust, request, secrets), new_keys=made)


def enrol_keeper(admin: Admin, request: Request, keys: ReadKeys) -> Enrolled:
    """Let a machine forget, prune and revoke, or give a keeper the index keys of new domains.

    Args:
        admin: Who does it.
        request: What the machine asks, its fingerprint compared.
        keys: What a recovery key opens.

    Raises:
        KeyringError: The request is for another vault or role, or its name is another keeper's.
    """
    body = request.body
    _check_request(admin, request, KEEPER)
    grant = KeeperGrant(name=body.name, verify_key=body.verify_key)
    trust = admin.trust
    if grant not in trust.policy.keepers:
        if trust.keeper_keys(body.name):
            raise KeyringError(
                f"keeper {body.name!r} is enrolled with another key",
                hint="Choose another name for the new keeper.",
            )
        trust = admin.put_policy(keepers=(*trust.policy.keepers, grant))
    held = tuple(
        HeldIndexKey(domain=epoch.keys.domain, epoch=epoch.keys.epoch, key=epoch.keys.index_key)
        for epoch in keys.epochs
    )
    secrets = GrantSecrets(domains=(), index_keys=held)
    return Enrolled(trust=trust, grant=_grant(admin, trust, request, secrets), new_keys=None)


def enrol_here(
    admin: Admin,
    identity: HostIdentity,
    applicant: Applicant,
    keys: ReadKeys | None,
    *,
    replace_key: bool = False,
) -> tuple[Trust, HostIdentity]:
    """Enrol the machine at which the admin sits, in one step.

    Args:
        admin: Who does it.
        identity: This machine.
        applicant: What this machine wants to be.
        keys: What a recovery key opens; needed for a keeper, and for a domain that exists.
        replace_key: End the key that a host of this name has.

    Raises:
        KeyringError: As `request_enrolment`, `enrol_host` and `enrol_keeper`.
    """
    text = request_enrolment(identity, applicant, random=admin.random, clock=admin.clock)
    request = read_request(text)
    if applicant.role == HOST:
        enrolled = enrol_host(admin, request, keys, replace_key=replace_key)
    else:
        enrolled = enrol_keeper(admin, request, _needed(keys, f"keeper {applicant.name}"))
    identity = accept_grant(admin.backend, identity, enrolled.grant)
    if enrolled.new_keys is not None:
        identity.add_keys(enrolled.new_keys)
    return enrolled.trust, identity


def _check_request(admin: Admin, request: Request, role: str) -> None:
    body = request.body
    if body.vault_id != admin.trust.vault_id:
        raise KeyringError(
            f"request of {body.name}: for vault {body.vault_id.hex()[:8]}, "
            f"this is {admin.trust.vault_id.hex()[:8]}"
        )
    if body.role != role:
        raise KeyringError(f"request of {body.name}: to be a {body.role}, expected a {role}")


def _host_grants(admin: Admin, body: RequestBody, *, replace_key: bool) -> tuple[HostGrant, ...]:
    hosts = admin.trust.policy.hosts
    own = [grant for grant in hosts if grant.host == body.name]
    if any(grant.domain != body.domain for grant in own):
        raise KeyringError(
            f"host {body.name}: belongs to domain {own[0].domain}, which never changes",
            hint=f"Ask for domain {own[0].domain}, or choose another name for the host.",
        )
    if any(grant.verify_key == body.verify_key for grant in hosts if grant.host != body.name):
        raise KeyringError(f"host {body.name}: its key is that of another host")
    in_force = [grant for grant in own if grant.until_seq == 0]
    if any(grant.verify_key == body.verify_key for grant in in_force):
        return hosts
    if any(grant.verify_key == body.verify_key for grant in own):
        raise KeyringError(
            f"host {body.name}: its key was ended",
            hint="Remove the machine's identity of this vault, so that it draws a new key.",
        )
    if in_force and not replace_key:
        shown = signing.fingerprint(in_force[0].verify_key)
        raise KeyringError(
            f"host {body.name}: enrolled already, with key {shown}",
            hint="If that machine was set up anew, have its key replaced.",
        )
    last = _last_session(admin.backend, body.name)
    added = HostGrant(
        host=body.name,
        verify_key=body.verify_key,
        domain=body.domain,
        from_seq=last + 1,
        until_seq=0,
    )
    return (*end_grants(hosts, body.name, last), added)


def _last_session(backend: Backend, host: str) -> int:
    last = 0
    for prefix in (layout.SESSIONS, layout.OUTCOMES):
        for entry in backend.list(f"{prefix}{host}/"):
            with contextlib.suppress(MalformedObjectError):
                last = max(last, layout.session_of(entry.name).seq)
    return last


def _domain_keys(admin: Admin, domain: str, keys: ReadKeys | None) -> tuple[DomainKeys, ...]:
    epochs = [
        epoch.keys
        for epoch in _needed(keys, f"domain {domain}").epochs
        if epoch.keys.domain == domain
    ]
    newest = newest_bundle(admin.backend, admin.trust, domain).body.epoch
    if not epochs or epochs[-1].epoch != newest:
        raise KeyringError(
            f"domain {domain}: the recovery key given does not open epoch {newest}",
            hint="Use a recovery key that is in force.",
        )
    return tuple(epochs)


def _needed(keys: ReadKeys | None, what: str) -> ReadKeys:
    if keys is None:
        raise KeyringError(
            f"{what}: its keys exist already, and only a recovery key opens them",
            hint="Give a recovery key too.",
        )
    return keys


def _grant(admin: Admin, trust: Trust, request: Request, secrets: GrantSecrets) -> str:
    body = GrantBody(
        vault_id=trust.vault_id,
        request=request.sha256,
        role=request.body.role,
        name=request.body.name,
        policy_number=trust.policy.number,
        policy_sha256=trust.policy_sha256,
        created_ns=admin.clock.now_ns(),
        sealed=recipients.seal(
            request.body.answer_key,
            encode(secrets),
            contexts.grant_info(trust.vault_id, request.sha256),
        ),
    )
    return armor(GRANT, sign_object(GRANT, body, admin.signer))
