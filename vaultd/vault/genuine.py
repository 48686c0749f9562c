"""Is an object what its name says: judged from its own bytes, whoever hands them over.

Packs and index parts are named by their hash; everything else is signed, and says inside which
object it is. So a copy of a vault needs no trust: what passes here may be put in place of what is
lost, and what does not pass is not copied anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from vaultd.core.errors import CorruptObjectError, IntegrityError, MalformedObjectError
from vaultd.crypto import hashing
from vaultd.format.codec import decode
from vaultd.format.keys import PolicyBody, VaultBody, decode_vault_json
from vaultd.format.log import LogBody
from vaultd.format.session import IntentBody
from vaultd.format.signed import INTENT, LOG, POLICY, VAULT
from vaultd.vault import layout, roots
from vaultd.vault.bundles import verify_bundle
from vaultd.vault.trust import Trust, open_object


def is_object(name: str) -> bool:
    """Tell whether a name is that of an object of a vault; others under its prefix are not ours."""
    return _judge_of(name) is not None


def verify_object(name: str, data: bytes, trust: Trust) -> None:
    """Return when bytes may stand under a name.

    Args:
        name: Of the object.
        data: All its bytes.
        trust: Whom to believe.

    Raises:
        IntegrityError: They may not: another hash, no valid signature, or another object's.
    """
    judge = _judge_of(name)
    if judge is None:
        raise MalformedObjectError(f"object {name}: not the name of an object of a vault")
    judge(name, data, trust)


def is_genuine(name: str, data: bytes, trust: Trust) -> bool:
    """Tell whether bytes may stand under a name; see `verify_object`."""
    try:
        verify_object(name, data, trust)
    except IntegrityError:
        return False
    return True


_Judge = Callable[[str, bytes, Trust], None]


def _judge_of(name: str) -> _Judge | None:
    if name == layout.VAULT:
        return _vault
    for prefix, reads, judge in _KINDS:
        if name.startswith(prefix):
            try:
                reads(name)
            except MalformedObjectError:
                return None
            return judge
    return None


def _hashed(name: str, data: bytes, _: Trust) -> None:
    found, (_session, expected) = hashing.sha256(data), layout.hashed_of(name)
    if found != expected:
        raise CorruptObjectError(
            f"its bytes have hash {found.hex()[:8]}, expected {expected.hex()[:8]}"
        )


def _vault(name: str, data: bytes, trust: Trust) -> None:
    encoded = open_object(VAULT, decode_vault_json(data), trust.vault.admin_keys, what=name)
    if decode(VaultBody, encoded, what=name, limit=VAULT.limit).vault_id != trust.vault_id:
        raise CorruptObjectError(f"{name}: describes another vault")


def _policy(name: str, data: bytes, trust: Trust) -> None:
    encoded = open_object(POLICY, data, trust.vault.admin_keys, what=name)
    body = decode(PolicyBody, encoded, what=name, limit=POLICY.limit)
    if (body.vault_id, body.number) != (trust.vault_id, layout.policy_of(name)):
        raise CorruptObjectError(f"{name}: holds policy {body.number}")


def _bundle(name: str, data: bytes, trust: Trust) -> None:
    body = verify_bundle(trust, data, what=name)
    domain, epoch, _ = layout.bundle_of(name)
    if (body.domain, body.epoch) != (domain, epoch):
        raise CorruptObjectError(f"{name}: holds domain {body.domain} epoch {body.epoch}")


def _intent(name: str, data: bytes, trust: Trust) -> None:
    session = layout.session_of(name)
    keys = trust.host_keys(session.host, session.seq)
    encoded = open_object(INTENT, data, keys, what=name)
    body = decode(IntentBody, encoded, what=name, limit=INTENT.limit)
    if (body.vault_id, body.host, body.seq) != (trust.vault_id, session.host, session.seq):
        raise CorruptObjectError(f"{name}: says that it is {body.host}/{body.seq:010d}")


def _outcome(name: str, data: bytes, trust: Trust) -> None:
    roots.open_outcome(data, layout.session_of(name), trust)


def _log_entry(name: str, data: bytes, trust: Trust) -> None:
    encoded = open_object(LOG, data, trust.keeper_keys(), what=name)
    body = decode(LogBody, encoded, what=name, limit=LOG.limit)
    if (body.vault_id, body.number) != (trust.vault_id, _log_number(name)):
        raise CorruptObjectError(f"{name}: says that it is entry {body.number}")


def _log_number(name: str) -> int:
    number = layout.log_number(name)
    if number is None:
        raise MalformedObjectError(f"object {name!r}: not the name of a log entry")
    return number


_KINDS: tuple[tuple[str, Callable[[str], object], _Judge], ...] = (
    (layout.PACKS, layout.hashed_of, _hashed),
    (layout.PARTS, layout.hashed_of, _hashed),
    (layout.SESSIONS, layout.session_of, _intent),
    (layout.OUTCOMES, layout.session_of, _outcome),
    (layout.LOG, _log_number, _log_entry),
    (layout.POLICIES, layout.policy_of, _policy),
    (layout.BUNDLES, layout.bundle_of, _bundle),
)
