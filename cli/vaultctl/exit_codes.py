"""What the exit code of `vaultctl` says: one table, for people who write scripts.

=====  =============================================================
code   meaning
=====  =============================================================
0      done
1      failed; for a backup: there is no new snapshot
2      wrong usage: an argument, an option or a setting
3      done, but not everything: a snapshot or restore is incomplete
10     there is no vault at that place
11     another process is at work there
12     wrong or missing key or passphrase
20     damage was found
130    interrupted
=====  =============================================================

A code that a script does not know is a failure.
"""

from __future__ import annotations

from typing import Final

from vaultd.core import errors

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INCOMPLETE: Final = 3
NO_VAULT: Final = 10
LOCKED: Final = 11
WRONG_KEY: Final = 12
DAMAGE: Final = 20
INTERRUPTED: Final = 130

CODES: Final[dict[type[errors.VaultdError], int]] = {
    errors.VaultdError: FAILED,
    errors.ConfigError: USAGE,
    errors.LockedError: LOCKED,
    errors.StorageError: FAILED,
    errors.ObjectNotFoundError: FAILED,
    errors.ObjectExistsError: FAILED,
    errors.AccessDeniedError: FAILED,
    errors.NoSpaceError: FAILED,
    errors.StorageUnavailableError: FAILED,
    errors.VaultNotFoundError: NO_VAULT,
    errors.IntegrityError: DAMAGE,
    errors.MalformedObjectError: DAMAGE,
    errors.UnsupportedVersionError: FAILED,
    errors.CorruptObjectError: DAMAGE,
    errors.BrokenChainError: DAMAGE,
    errors.LostPacksError: DAMAGE,
    errors.KeyringError: WRONG_KEY,
    errors.NoMatchingKeyError: WRONG_KEY,
    errors.CautionError: FAILED,
    errors.SessionRevokedError: FAILED,
    errors.SourceError: FAILED,
    errors.SourceUnreadableError: FAILED,
    errors.TargetError: FAILED,
    errors.TargetNotEmptyError: FAILED,
}
"""Every class of errors and its code; a test keeps it complete."""


def code_of(error: errors.VaultdError) -> int:
    """Return the exit code for an error: that of its nearest class in the table."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), FAILED)
