"""Keys from keys (HKDF-SHA256) and keys from passphrases (Argon2id).

Every derived key has a label of its own (``info``), listed in FORMAT.md 2.6, so that no two uses
share a key.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vaultd.core.errors import KeyringError

KEY_BYTES = 32
"""Length of a symmetric key."""

SALT_BYTES = 16
"""Length of the salt of a stretched passphrase."""

MEM_KIB_MIN, MEM_KIB_MAX = 8 << 10, 4 << 20
"""Memory that Argon2id may be asked to use: 8 MiB to 4 GiB."""

PASSES_MIN, PASSES_MAX = 1, 16
"""Passes that Argon2id may be asked to make."""


def derive(key: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """Return ``length`` bytes derived from a uniformly random key.

    Args:
        key: The key to derive from; not a passphrase.
        info: Label and context: what the result is for.
        length: Bytes wanted, at most 8160.

    Source: RFC 5869, with an empty salt.
    """
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key)


def stretch(passphrase: bytes, salt: bytes, *, mem_kib: int, passes: int) -> bytes:
    """Return the 32-byte key that a passphrase stands for; slow and hungry on purpose.

    Args:
        passphrase: As typed, UTF-8.
        salt: 16 random bytes.
        mem_kib: Memory to use, KiB: 8 MiB to 4 GiB.
        passes: Passes over that memory, 1 to 16.

    Raises:
        KeyringError: A parameter is out of its limits, or there is not enough memory.

    Source: RFC 9106, Argon2id version 0x13, one lane.
    """
    check_cost(mem_kib=mem_kib, passes=passes)
    if len(salt) != SALT_BYTES:
        raise KeyringError(f"salt is {len(salt)} bytes, expected {SALT_BYTES}")
    # A backup never stretches a passphrase, so it need not load libsodium.
    from nacl import bindings  # noqa: PLC0415 - see above
    from nacl.exceptions import RuntimeError as SodiumError  # noqa: PLC0415 - see above

    try:
        return bindings.crypto_pwhash_alg(
            KEY_BYTES,
            passphrase,
            salt,
            passes,
            mem_kib << 10,
            bindings.crypto_pwhash_ALG_ARGON2ID13,
        )
    except (SodiumError, MemoryError) as exc:
        need = f"{mem_kib >> 10} MiB"
        raise KeyringError(
            f"cannot stretch the passphrase: this needs {need} of free memory",
            hint=f"Free {need} of memory or run this on a machine that has it.",
        ) from exc


def check_cost(*, mem_kib: int, passes: int) -> None:
    """Refuse Argon2id parameters that are too weak or meant to exhaust the machine.

    Raises:
        KeyringError: A parameter is out of its limits.
    """
    if not MEM_KIB_MIN <= mem_kib <= MEM_KIB_MAX:
        raise KeyringError(
            f"argon2id memory is {mem_kib} KiB, expected {MEM_KIB_MIN} to {MEM_KIB_MAX}"
        )
    if not PASSES_MIN <= passes <= PASSES_MAX:
        raise KeyringError(f"argon2id passes are {passes}, expected {PASSES_MIN} to {PASSES_MAX}")
