"""Every error that vaultd raises on purpose.

::

    VaultdError
    ├─ ConfigError                 settings or arguments cannot be used
    ├─ LockedError                 another process holds the lock that this one needs
    ├─ StorageError                a backend could not do what it was asked
    │  ├─ ObjectNotFoundError      no object has that name
    │  ├─ ObjectExistsError        create-if-absent lost: the name is taken
    │  ├─ AccessDeniedError        the backend refused the credentials or the right
    │  ├─ NoSpaceError             the backend, the spool or the target is full
    │  └─ StorageUnavailableError  transient; retryable
    ├─ VaultNotFoundError          there is no vault at that place
    ├─ IntegrityError              bytes are not what was signed, sealed or hashed
    │  ├─ MalformedObjectError     cannot be parsed, or breaks a limit of FORMAT.md
    │  ├─ UnsupportedVersionError  written by a newer vaultd
    │  ├─ CorruptObjectError       parsed, but hash, tag, commitment or signature is wrong
    │  └─ BrokenChainError         a log, policy or snapshot chain has a gap or a rollback
    │     └─ LostPacksError        packs that a run relied on are gone; a new one does without
    ├─ KeyringError                keys cannot be used
    │  └─ NoMatchingKeyError       wrong key or passphrase
    ├─ CautionError                a rule of caution forbids what was asked; a person must decide
    ├─ SessionRevokedError         a keeper closed this session; a new one must be started
    ├─ SourceError                 a store cannot be read
    │  └─ SourceUnreadableError    the root of a store is missing or unreadable
    └─ TargetError                 a restore target cannot be used
       └─ TargetNotEmptyError      it holds files and nothing says what to do with them

A message is lower case and has no final stop; it says what failed, on which object, what was
expected and what was found. A hint is one imperative sentence: the next step to take.
"""

from __future__ import annotations


class VaultdError(Exception):
    """Base of every error that a caller is expected to handle.

    Args:
        message: What failed, on which object, expected and found. Never a secret.
        hint: One imperative sentence: what the reader should do next.
    """

    retryable = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(VaultdError):
    """Settings or arguments cannot be used."""


class LockedError(VaultdError):
    """Another process holds the lock that this one needs."""


class StorageError(VaultdError):
    """A backend could not do what it was asked."""


class ObjectNotFoundError(StorageError):
    """No object has that name."""


class ObjectExistsError(StorageError):
    """Create-if-absent lost: the name is taken."""


class AccessDeniedError(StorageError):
    """The backend refused the credentials, or they lack a right."""


class NoSpaceError(StorageError):
    """The backend, the spool or the restore target is full."""


class StorageUnavailableError(StorageError):
    """The backend did not answer, or asked to slow down; trying again may help.

    Args:
        message: As in `VaultdError`.
        hint: As in `VaultdError`.
        throttled: The backend asked for fewer requests (S3 ``SlowDown``).
    """

    retryable = True

    def __init__(self, message: str, *, hint: str | None = None, throttled: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.throttled = throttled


class VaultNotFoundError(VaultdError):
    """There is no vault at that place."""


class IntegrityError(VaultdError):
    """Bytes are not what was signed, sealed or hashed."""


class MalformedObjectError(IntegrityError):
    """An object cannot be parsed, or breaks a limit of FORMAT.md."""


class UnsupportedVersionError(IntegrityError):
    """An object was written by a newer vaultd."""


class CorruptObjectError(IntegrityError):
    """An object parsed, but its hash, tag, commitment or signature is wrong."""


class BrokenChainError(IntegrityError):
    """A log, policy or snapshot chain has a gap, or was rolled back."""


class LostPacksError(BrokenChainError):
    """Packs that a snapshot would have relied on are gone; a new session does without them."""


class KeyringError(VaultdError):
    """Keys cannot be used: missing, unreadable, or not allowed here."""


class NoMatchingKeyError(KeyringError):
    """The key or passphrase given does not open this vault."""


class CautionError(VaultdError):
    """A rule of caution forbids what was asked for; a person must look and decide."""


class SessionRevokedError(VaultdError):
    """A keeper closed this session; a new session must adopt its packs."""


class SourceError(VaultdError):
    """A store cannot be read."""


class SourceUnreadableError(SourceError):
    """The root of a store is missing or unreadable."""


class TargetError(VaultdError):
    """A restore target cannot be used."""


class TargetNotEmptyError(TargetError):
    """The target holds files, and nothing was said about what to do with them."""
