"""Whom a vault believes: its admin keys, and the chain of policies that they signed.

Everything in a vault is believed because a signature leads to an admin key, and the admin key is
believed because this machine remembers it (`Pin`) or a person compared its fingerprint with paper.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.core.errors import (
    BrokenChainError,
    CorruptObjectError,
    KeyringError,
    MalformedObjectError,
    ObjectNotFoundError,
    VaultNotFoundError,
)
from vaultd.crypto import hashing, signing
from vaultd.format.codec import Packed, decode, encode
from vaultd.format.keys import (
    MAX_VAULT_JSON_BYTES,
    PolicyBody,
    RecipientGrant,
    VaultBody,
    decode_vault_json,
)
from vaultd.format.signed import (
    POLICY,
    VAULT,
    Signature,
    SignedKind,
    decode_signed,
    encode_signed,
)
from vaultd.vault import layout

_POLICY_NAME = re.compile(re.escape(layout.POLICIES) + r"(\d{6})")


class Pin(Struct, frozen=True, kw_only=True):
    """What a machine remembers of a vault, so that nobody can show it another one.

    Attributes:
        admin_keys: Ed25519 public keys of the admins, in any order.
        policy_number: Newest policy seen.
        policy_sha256: SHA-256 of that policy's object.
    """

    admin_keys: tuple[bytes, ...]
    policy_number: int
    policy_sha256: bytes


class Trust(Struct, frozen=True, kw_only=True):
    """A vault's description and its newest policy, both verified.

    Attributes:
        vault: What the vault is.
        policy: Who may do what, now.
        policy_sha256: SHA-256 of the policy's object.
    """

    vault: VaultBody
    policy: PolicyBody
    policy_sha256: bytes

    @property
    def vault_id(self) -> bytes:
        """The vault's id, 16 bytes."""
        return self.vault.vault_id

    @property
    def pin(self) -> Pin:
        """What a machine should remember of this state."""
        return Pin(
            admin_keys=self.vault.admin_keys,
            policy_number=self.policy.number,
            policy_sha256=self.policy_sha256,
        )

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Fingerprints of the admin keys, as recovery sheets show them."""
        return tuple(signing.fingerprint(key) for key in self.vault.admin_keys)

    @property
    def recipients(self) -> tuple[RecipientGrant, ...]:
        """Recovery keys to which new bundles are sealed: those not revoked."""
        return tuple(grant for grant in self.policy.recipients if not grant.revoked)

    def host_keys(self, host: str, seq: int) -> list[bytes]:
        """Return the keys that may sign session ``seq`` of a host; empty when none may."""
        return [
            grant.verify_key
            for grant in self.policy.hosts
            if grant.host == host
            and grant.from_seq <= seq
            and (grant.until_seq == 0 or seq <= grant.until_seq)
        ]

    def host_domain(self, host: str) -> str:
        """Return the domain of a host; it never changes.

        Raises:
            KeyringError: The vault does not know the host.
        """
        for grant in self.policy.hosts:
            if grant.host == host:
                return grant.domain
        known = ", ".join(sorted({grant.host for grant in self.policy.hosts})) or "none"
        raise KeyringError(
            f"host {host!r} is not enrolled in this vault; enrolled: {known}",
            hint="Check the host's name, or enrol it.",
        )

    def keeper_keys(self, name: str | None = None) -> list[bytes]:
        """Return the keys that may sign log entries and revocations: of one keeper or of all."""
        return [
            grant.verify_key for grant in self.policy.keepers if name is None or grant.name == name
        ]

    def expect_fingerprint(self, text: str) -> None:
        """Return when ``text`` is the fingerprint of one of the admin keys, spaces and case apart.

        Raises:
            BrokenChainError: It is not: this is another vault, or a forged one.
        """
        wanted = re.sub(r"[\s-]", "", text).lower()
        if wanted not in {shown.replace("-", "") for shown in self.fingerprints}:
            raise BrokenChainError(
                f"vault {self.vault_id.hex()[:8]}: admin key {' or '.join(self.fingerprints)}, "
                f"expected {text.strip()}",
                hint="Check the vault's address; if it is right, do not trust what it holds.",
            )


def load_trust(backend: Backend, *, pin: Pin | None) -> Trust:
    """Read and verify a vault's description and its chain of policies.

    Args:
        backend: Where the vault lies.
        pin: What this machine remembers; policies older than it are then not read again, because
            its hash covers them. ``None`` on first contact: whoever made the vault is believed,
            so the caller must have a person compare `Trust.fingerprints`.

    Raises:
        VaultNotFoundError: There is no ``vault.json``.
        BrokenChainError: Another admin key or an older policy than the pin's, or a gap.
        IntegrityError: An object is damaged or forged.
    """
    vault = read_vault(backend)
    if pin is not None and set(pin.admin_keys) != set(vault.admin_keys):
        raise BrokenChainError(
            f"vault at {backend.location}: made by admin key {_shown(vault.admin_keys)}, "
            f"this machine expects {_shown(pin.admin_keys)}: "
            "the vault was replaced, or this is another one",
            hint="Compare the fingerprint with the recovery sheet before going on.",
        )
    newest = _newest_policy(backend)
    first = 1 if pin is None else pin.policy_number
    if newest < first:
        raise BrokenChainError(
            f"vault at {backend.location}: newest key policy is number {newest}, "
            f"expected {first} or later: the vault was rolled back, or its policies were removed",
            hint="Bring back the objects under keys/admin/ from a copy of the vault.",
        )
    return _follow(backend, vault, newest, pin)


def read_vault(backend: Backend) -> VaultBody:
    """Read a vault's description, which vouches for nothing but its own wholeness.

    Raises:
        VaultNotFoundError: There is no ``vault.json``.
        IntegrityError: It is damaged.
    """
    try:
        data = backend.get(layout.VAULT, length=MAX_VAULT_JSON_BYTES + 1)
    except ObjectNotFoundError as exc:
        raise VaultNotFoundError(
            f"no vault at {backend.location}: it holds no {layout.VAULT}",
            hint="Check the address, or make a vault there with `vaultctl init`.",
        ) from exc
    return open_vault(data)


def open_vault(data: bytes) -> VaultBody:
    """Return what ``vault.json`` says, when one of its own admin keys signed it.

    Raises:
        IntegrityError: It is damaged.
    """
    signed = decode_vault_json(data)
    body, _ = decode_signed(VAULT, signed, what=layout.VAULT)
    vault = decode(VaultBody, body, what=layout.VAULT, limit=VAULT.limit)
    open_object(VAULT, signed, vault.admin_keys, what=layout.VAULT)
    return vault


def sign_object(kind: SignedKind, body: Packed | bytes, signer: signing.Signer) -> bytes:
    """Encode and sign an object.

    Args:
        kind: What it is.
        body: Its body, encoded or not.
        signer: Whose signature it bears.

    Raises:
        MalformedObjectError: It would be longer than its kind allows.
    """
    encoded = body if isinstance(body, bytes) else encode(body)
    signature = Signature(
        key_id=signing.key_id(signer.public), value=signer.sign(kind.label, encoded)
    )
    signed = encode_signed(kind, encoded, (signature,))
    if len(signed) > kind.limit:
        raise MalformedObjectError(
            f"{kind.name}: {len(signed)} bytes to write, at most {kind.limit} allowed"
        )
    return signed


def open_object(kind: SignedKind, data: bytes, keys: Iterable[bytes], *, what: str) -> bytes:
    """Return the body of a signed object when one of its signatures is by one of ``keys``.

    Args:
        kind: What it must be.
        data: The object.
        keys: Ed25519 public keys that are believed for it.
        what: Names the object in messages.

    Raises:
        MalformedObjectError: It cannot be parsed.
        UnsupportedVersionError: It was written by a newer vaultd.
        CorruptObjectError: None of the signatures is right and by one of these keys.
    """
    body, signatures = decode_signed(kind, data, what=what)
    believed = {signing.key_id(key): key for key in keys}
    for signature in signatures:
        key = believed.get(signature.key_id)
        if key is not None and _is_by(key, kind, body, signature):
            return body
    signers = ", ".join(signature.key_id.hex()[:8] for signature in signatures)
    raise CorruptObjectError(f"{what}: no valid signature by a trusted key (signed by {signers})")


def _is_by(key: bytes, kind: SignedKind, body: bytes, signature: Signature) -> bool:
    try:
        signing.verify(key, kind.label, body, signature.value)
    except CorruptObjectError:
        return False
    return True


def _newest_policy(backend: Backend) -> int:
    found = [_POLICY_NAME.fullmatch(entry.name) for entry in backend.list(layout.POLICIES)]
    numbers = [int(match[1]) for match in found if match is not None]
    if numbers != list(range(1, len(numbers) + 1)):
        gap = next(at for at, number in enumerate(numbers, 1) if at != number)
        raise BrokenChainError(
            f"vault at {backend.location}: key policy {gap} of {numbers[-1]} is missing",
            hint="Bring back the objects under keys/admin/ from a copy of the vault.",
        )
    return len(numbers)


def _follow(backend: Backend, vault: VaultBody, newest: int, pin: Pin | None) -> Trust:
    policy, sha256 = _read_policy(backend, vault, 1 if pin is None else pin.policy_number)
    if pin is None:
        _check_link(policy, b"")
    elif sha256 != pin.policy_sha256:
        raise BrokenChainError(
            f"key policy {policy.number}: hash {sha256.hex()[:8]}, "
            f"this machine has seen {pin.policy_sha256.hex()[:8]} under that number",
            hint="Find out who rewrote the vault's key policies before going on.",
        )
    for number in range(policy.number + 1, newest + 1):
        policy, following = _read_policy(backend, vault, number)
        _check_link(policy, sha256)
        sha256 = following
    return Trust(vault=vault, policy=policy, policy_sha256=sha256)


def _check_link(policy: PolicyBody, previous: bytes) -> None:
    if policy.previous != previous:
        raise BrokenChainError(
            f"key policy {policy.number}: follows {policy.previous.hex()[:8] or 'nothing'}, "
            f"expected {previous.hex()[:8] or 'nothing'}"
        )


def _read_policy(backend: Backend, vault: VaultBody, number: int) -> tuple[PolicyBody, bytes]:
    name = layout.policy(number)
    data = backend.get(name, length=POLICY.limit + 1)
    body = open_object(POLICY, data, vault.admin_keys, what=name)
    policy = decode(PolicyBody, body, what=name, limit=POLICY.limit)
    if (policy.vault_id, policy.number) != (vault.vault_id, number):
        raise CorruptObjectError(
            f"{name}: holds policy {policy.number} of vault {policy.vault_id.hex()[:8]}, "
            f"expected {number} of {vault.vault_id.hex()[:8]}"
        )
    return policy, hashing.sha256(data)


def _shown(keys: Iterable[bytes]) -> str:
    return " and ".join(sorted(signing.fingerprint(key) for key in keys))
