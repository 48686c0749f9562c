"""A machine's side of enrolment: it asks, an admin answers (`vaultd.vault.admission`), it accepts.

The machine makes its signing key itself and shows a request; the admin names it in a new policy
and answers with the keys of its domain, sealed to a key of that request. Both texts may travel by
any way: people compare the fingerprints of the request and of the admin, and no secret is in clear.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.clock import Clock
from vaultd.core.errors import BrokenChainError, CorruptObjectError, KeyringError
from vaultd.crypto import hashing, recipients, signing
from vaultd.crypto.secret import Secret
from vaultd.format.codec import decode
from vaultd.format.machine import (
    GRANT,
    REQUEST,
    GrantBody,
    GrantSecrets,
    PendingFile,
    RequestBody,
    armor,
    decode_file,
    encode_file,
    unarmor,
)
from vaultd.format.signed import POLICY
from vaultd.vault import contexts, layout
from vaultd.vault.ceremony import check_name
from vaultd.vault.identity import HostIdentity
from vaultd.vault.keyring import IndexKey, from_held
from vaultd.vault.private import read_private, remove_private, write_private
from vaultd.vault.trust import Trust, load_trust, open_object, sign_object

PENDING = "pending.json"
HOST, KEEPER = "host", "keeper"


class Applicant(Struct, frozen=True, kw_only=True):
    """What a machine wants to be.

    Attributes:
        name: Its name in object names, or in the log.
        role: ``host`` or ``keeper``.
        domain: The domain that a host wants to belong to; its name when empty.

    Raises:
        ConfigError: A name cannot be used.
    """

    name: str
    role: str = HOST
    domain: str = ""

    def __post_init__(self) -> None:
        check_name(self.role, self.name)
        if self.role == HOST:
            check_name("domain", self.domain or self.name)


def request_enrolment(
    identity: HostIdentity, applicant: Applicant, *, random: Callable[[int], bytes], clock: Clock
) -> str:
    """Ask for enrolment, or for newer keys, and remember having asked.

    Args:
        identity: This machine; its pin holds the admin keys that may answer, so a person should
            have compared their fingerprints when it was made.
        applicant: What this machine wants to be.
        random: Source of random bytes.
        clock: Says when it asked.

    Returns:
        The request, to be carried to an admin.

    Raises:
        KeyringError: This machine is something else in this vault already.
    """
    known = _known_seed(identity, applicant.role, applicant.name)
    signing_seed = Secret(random(signing.SEED_BYTES)) if known is None else known
    answer_seed = random(recipients.SEED_BYTES)
    signer = signing.Signer(signing_seed.reveal())
    body = RequestBody(
        vault_id=identity.vault_id,
        role=applicant.role,
        name=applicant.name,
        domain=(applicant.domain or applicant.name) if applicant.role == HOST else "",
        verify_key=signer.public,
        answer_key=recipients.public_key(answer_seed),
        created_ns=clock.now_ns(),
    )
    raw = sign_object(REQUEST, body, signer)
    pending = PendingFile(
        role=applicant.role,
        name=applicant.name,
        request=hashing.sha256(raw),
        signing_seed=b"" if known is not None else signing_seed.reveal(),
        answer_seed=answer_seed,
    )
    write_private(identity.folder / PENDING, encode_file(pending))
    return armor(REQUEST, raw)


def accept_grant(backend: Backend, identity: HostIdentity, text: str) -> HostIdentity:
    """Become what an admin granted.

    Args:
        backend: Where the vault lies.
        identity: This machine, as when it asked.
        text: The grant.

    Raises:
        KeyringError: This machine did not ask, or asked anew since.
        IntegrityError: The grant is damaged or forged, or the vault is not the one its admin saw.
    """
    raw = unarmor(GRANT, text)
    trust = load_trust(backend, pin=identity.pin)
    signed = open_object(GRANT, raw, trust.vault.admin_keys, what=GRANT.name)
    body = decode(GrantBody, signed, what=GRANT.name, limit=GRANT.limit)
    pending = _pending(identity, body)
    _check_view(backend, trust, body)
    seed = _known_seed(identity, body.role, body.name) or Secret(pending.signing_seed)
    if signing.Signer(seed.reveal()).public not in _enrolled_keys(trust, body):
        raise KeyringError(
            f"{body.role} {body.name}: the vault's policy does not name this machine's key",
            hint="Make a new request, and have an admin answer it.",
        )
    info = contexts.grant_info(trust.vault_id, pending.request)
    opened = recipients.open(pending.answer_seed, body.sealed, info)
    secrets = decode(GrantSecrets, opened, what=GRANT.name, limit=GRANT.limit)
    _keep(identity, body, seed if pending.signing_seed else None, secrets)
    remove_private(identity.folder / PENDING)
    return identity.advance_pin(trust)


def _known_seed(identity: HostIdentity, role: str, name: str) -> Secret | None:
    known = identity.host if role == HOST else identity.keeper
    if known is None:
        return None
    if known != name:
        raise KeyringError(
            f"this machine is {role} {known!r} of this vault, not {name!r}",
            hint="Ask under that name, or use another state folder.",
        )
    return identity.signing_seed(role)


def _check_view(backend: Backend, trust: Trust, body: GrantBody) -> None:
    if trust.policy.number < body.policy_number:
        raise BrokenChainError(
            f"grant for {body.role} {body.name}: made under key policy {body.policy_number}, "
            f"the vault shows {trust.policy.number}",
            hint="Try again later; if it stays so, the vault was rolled back.",
        )
    seen = backend.get(layout.policy(body.policy_number), length=POLICY.limit + 1)
    if hashing.sha256(seen) != body.policy_sha256:
        raise BrokenChainError(
            f"grant for {body.role} {body.name}: the admin saw another key policy "
            f"{body.policy_number} than this machine",
            hint="Compare the vault's address on both machines.",
        )


def _pending(identity: HostIdentity, body: GrantBody) -> PendingFile:
    path = identity.folder / PENDING
    contents = read_private(path)
    if contents is None:
        raise KeyringError(
            "this machine has no enrolment request without an answer",
            hint="Make a request first; each grant answers one request, once.",
        )
    pending = decode_file(PendingFile, contents, what=str(path))
    if (pending.request, pending.role, pending.name) != (body.request, body.role, body.name):
        raise KeyringError(
            f"grant for {body.role} {body.name}: answers another request than this machine's last",
            hint="Use the answer to the newest request, or make a new one.",
        )
    return pending


def _enrolled_keys(trust: Trust, body: GrantBody) -> list[bytes]:
    if body.role == KEEPER:
        return trust.keeper_keys(body.name)
    return [
        grant.verify_key
        for grant in trust.policy.hosts
        if grant.host == body.name and grant.until_seq == 0
    ]


def _keep(
    identity: HostIdentity, body: GrantBody, seed: Secret | None, secrets: GrantSecrets
) -> None:
    domains = [from_held(held) for held in secrets.domains]
    index_keys = [
        IndexKey(domain=held.domain, epoch=held.epoch, index_key=held.key)
        for held in secrets.index_keys
    ]
    if not domains and not index_keys:
        raise CorruptObjectError(f"grant for {body.role} {body.name}: holds no keys")
    if body.role == HOST:
        identity.keep_host(body.name, seed, domains)
    else:
        identity.keep_keeper(body.name, seed, index_keys)
