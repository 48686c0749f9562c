"""Names of all objects of a vault (FORMAT.md 1), made and read in one place."""

from __future__ import annotations

import re

from vaultd.core.errors import MalformedObjectError
from vaultd.core.snapshot import SessionId

VAULT = "vault.json"
POLICIES = "keys/admin/"
BUNDLES = "keys/dom/"
SESSIONS = "sess/"
PACKS = "packs/"
PARTS = "index/"
OUTCOMES = "snap/"
LOG = "log/"

HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_BUNDLE = re.compile(r"keys/dom/([a-z0-9][a-z0-9-]{0,39})/([0-9]{6})(?:\.([0-9]{3}))?")
_SESSION = re.compile(r"(?:sess|snap)/([a-z0-9-]{1,40})/([0-9]{10})")
_POLICY = re.compile(r"keys/admin/([0-9]{6})")
_LOG_ENTRY = re.compile(r"log/(\d{10})")
_HASHED = re.compile(r"(?:packs|index)/([a-z0-9-]{1,40})/([0-9]{10})/([0-9a-f]{64})")


def policy(number: int) -> str:
    """Return the name of a key policy."""
    return f"{POLICIES}{number:06d}"


def bundle(domain: str, epoch: int, copy: int = 0) -> str:
    """Return the name of a domain bundle.

    Copies hold the same secrets, sealed to the recovery keys of their time; the highest counts.
    """
    return f"{BUNDLES}{domain}/{epoch:06d}" + (f".{copy:03d}" if copy else "")


def intent(session: SessionId) -> str:
    """Return the name of a session's intent."""
    return f"{SESSIONS}{session}"


def outcome(session: SessionId) -> str:
    """Return the name of a session's outcome: the commit, a supersession or a revocation."""
    return f"{OUTCOMES}{session}"


def packs_of(session: SessionId) -> str:
    """Return what the names of a session's packs begin with; the SHA-256 in hex follows."""
    return f"{PACKS}{session}/"


def pack(session: SessionId, sha256: bytes) -> str:
    """Return the name of a pack."""
    return packs_of(session) + sha256.hex()


def part(session: SessionId, sha256: bytes) -> str:
    """Return the name of an index part."""
    return f"{PARTS}{session}/{sha256.hex()}"


def log_entry(number: int) -> str:
    """Return the name of a log entry."""
    return f"{LOG}{number:010d}"


def log_number(name: str) -> int | None:
    """Return the number of the log entry that a name stands for; ``None`` if for none."""
    match = _LOG_ENTRY.fullmatch(name)
    return None if match is None else int(match[1])


def policy_of(name: str) -> int:
    """Return the number that a key policy's name stands for.

    Raises:
        MalformedObjectError: It is no such name.
    """
    match = _POLICY.fullmatch(name)
    if match is None:
        raise MalformedObjectError(f"object {name!r}: not the name of a key policy")
    return int(match[1])


def bundle_of(name: str) -> tuple[str, int, int]:
    """Return domain, epoch and copy that a bundle's name stands for.

    Raises:
        MalformedObjectError: It is no such name.
    """
    match = _BUNDLE.fullmatch(name)
    if match is None:
        raise MalformedObjectError(f"object {name!r}: not the name of a domain bundle")
    return match[1], int(match[2]), int(match[3] or 0)


def session_of(name: str) -> SessionId:
    """Return the session that an intent's or outcome's name stands for.

    Raises:
        MalformedObjectError: It is no such name.
    """
    match = _SESSION.fullmatch(name)
    if match is None:
        raise MalformedObjectError(f"object {name!r}: not the name of a session")
    return SessionId(host=match[1], seq=int(match[2]))


def hashed_of(name: str) -> tuple[SessionId, bytes]:
    """Return session and SHA-256 that a pack's or index part's name stands for.

    Raises:
        MalformedObjectError: It is no such name.
    """
    match = _HASHED.fullmatch(name)
    if match is None:
        raise MalformedObjectError(f"object {name!r}: not the name of a pack or an index part")
    return SessionId(host=match[1], seq=int(match[2])), bytes.fromhex(match[3])
