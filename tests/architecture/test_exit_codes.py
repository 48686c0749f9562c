"""Every error that vaultd raises on purpose has its exit code, chosen and not inherited."""

from __future__ import annotations

import inspect

from vaultctl import exit_codes

from vaultd.core import errors


def _classes() -> set[type[errors.VaultdError]]:
    return {
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, errors.VaultdError)
    }


def test_every_error_class_has_an_exit_code() -> None:
    assert _classes() == set(exit_codes.CODES)


def test_every_exit_code_is_one_of_those_that_scripts_know() -> None:
    known = {1, 2, 3, 10, 11, 12, 20, 130}

    assert set(exit_codes.CODES.values()) <= known


def test_an_error_has_the_code_of_its_nearest_class() -> None:
    class WornOutError(errors.CorruptObjectError):
        """A class that the table does not know."""

    assert exit_codes.DAMAGE == exit_codes.code_of(WornOutError("worn out"))


def test_the_codes_that_scripts_rely_on_do_not_change() -> None:
    expected = {
        errors.ConfigError: 2,
        errors.VaultNotFoundError: 10,
        errors.LockedError: 11,
        errors.NoMatchingKeyError: 12,
        errors.CorruptObjectError: 20,
        errors.StorageUnavailableError: 1,
    }

    assert expected == {kind: exit_codes.code_of(kind("it failed")) for kind in expected}
