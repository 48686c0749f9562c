from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable

import pytest

from vaultd.core.errors import KeyringError
from vaultd.crypto.secret import Secret

VALUE = b"correct horse battery staple"


def test_a_secret_gives_its_value_only_when_asked() -> None:
    assert VALUE == Secret(VALUE).reveal()
    assert len(VALUE) == len(Secret(VALUE))


@pytest.mark.parametrize("show", [repr, str, format])
def test_a_secret_never_shows_itself(show: Callable[[object], str]) -> None:
    assert "***" == show(Secret(VALUE))
    assert "[***]" == str([Secret(VALUE)])


def test_a_traceback_with_locals_does_not_show_a_secret() -> None:
    def fail() -> None:
        secret = Secret(VALUE)
        raise KeyringError(f"cannot use {secret}")

    with pytest.raises(KeyringError) as caught:
        fail()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)

    assert VALUE.decode() not in "".join(shown.format())


def test_equal_secrets_are_equal_and_others_are_not() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE[:-1])
    assert Secret(VALUE) != VALUE


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_cannot_be_copied_out(leak: Callable[[object], object]) -> None:
    with pytest.raises(KeyringError):
        leak(Secret(VALUE))


def test_a_secret_cannot_be_hashed() -> None:
    with pytest.raises(TypeError):
        hash(Secret(VALUE))
