"""Whom a vault's policy names, as a list for people."""

from __future__ import annotations

from msgspec import Struct

from vaultd.crypto import signing
from vaultd.vault.enrolment import HOST, KEEPER
from vaultd.vault.trust import Trust


class Machine(Struct, frozen=True, kw_only=True):
    """One machine and one of its keys.

    Attributes:
        role: ``host`` or ``keeper``.
        name: Its name in the vault.
        domain: Of a host; empty for a keeper.
        fingerprint: Of its signing key.
        from_seq: First session of a host that the key may sign.
        until_seq: Last session that it may sign; 0 for no end.
    """

    role: str
    name: str
    domain: str
    fingerprint: str
    from_seq: int
    until_seq: int


def roster(trust: Trust) -> tuple[Machine, ...]:
    """Return all hosts by name, one line for each of their keys, then all keepers."""
    hosts = [
        Machine(
            role=HOST,
            name=grant.host,
            domain=grant.domain,
            fingerprint=signing.fingerprint(grant.verify_key),
            from_seq=grant.from_seq,
            until_seq=grant.until_seq,
        )
        for grant in sorted(trust.policy.hosts, key=lambda grant: (grant.host, grant.from_seq))
    ]
    keepers = [
        Machine(
            role=KEEPER,
            name=grant.name,
            domain="",
            fingerprint=signing.fingerprint(grant.verify_key),
            from_seq=0,
            until_seq=0,
        )
        for grant in sorted(trust.policy.keepers, key=lambda grant: grant.name)
    ]
    return (*hosts, *keepers)
