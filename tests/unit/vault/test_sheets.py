from __future__ import annotations

import pytest

from tests.unit.vault.making import make, seeded
from vaultd.core.errors import KeyringError, NoMatchingKeyError
from vaultd.crypto import recovery
from vaultd.crypto.recovery import KeyType
from vaultd.crypto.secret import Secret
from vaultd.vault.sheets import (
    PersonalKey,
    admin_signer,
    draw_key,
    key_file_of,
    needs_passphrase,
    recovery_seed,
)

MADE = make()
VAULT = MADE.trust.vault
PHRASE = Secret("café".encode())
RECOVERY, _, ADMIN = MADE.created.keys


def file_of(key: PersonalKey, phrase: str | None = "café") -> str:
    """Return a key file that opens fast."""
    facts = recovery.KeyFacts(type=key.type, vault=VAULT.vault_id.hex(), label=key.label)
    typed = None if phrase is None else recovery.passphrase_bytes(phrase)
    return recovery.write_key_file(
        key.seed.reveal(), typed, facts, random=seeded(), mem_kib=8 << 10, passes=1
    )


def test_words_give_the_key_back() -> None:
    words = " ".join(MADE.created.sheets[0].words)
    assert RECOVERY.seed.reveal() == recovery_seed(words, None, VAULT.vault_id)
    assert not needs_passphrase(words)


def test_a_key_file_gives_the_key_back_however_the_passphrase_is_typed() -> None:
    text = file_of(RECOVERY)
    assert needs_passphrase(text)
    decomposed = Secret("cafe\u0301".encode())
    for phrase in (PHRASE, decomposed):
        assert RECOVERY.seed.reveal() == recovery_seed(text, phrase, VAULT.vault_id)


def test_a_new_key_file_costs_what_it_should() -> None:
    text = key_file_of(RECOVERY, VAULT, PHRASE, seeded())
    assert '"mem_kib": 262144' in text
    assert RECOVERY.seed.reveal() == recovery_seed(text, PHRASE, VAULT.vault_id)


def test_a_key_file_without_passphrase_asks_for_none() -> None:
    text = file_of(RECOVERY, None)
    assert not needs_passphrase(text)
    assert RECOVERY.seed.reveal() == recovery_seed(text, None, VAULT.vault_id)


def test_a_wrong_passphrase_is_told() -> None:
    with pytest.raises(NoMatchingKeyError):
        recovery_seed(file_of(RECOVERY), Secret(b"tea"), VAULT.vault_id)


def test_a_passphrase_that_is_no_text_is_told_and_not_shown() -> None:
    with pytest.raises(KeyringError, match="not UTF-8") as caught:
        recovery_seed(file_of(RECOVERY), Secret(b"tea\xff"), VAULT.vault_id)
    assert caught.value.__cause__ is None
    assert "tea" not in str(caught.value)


def test_a_file_of_another_vault_is_told() -> None:
    with pytest.raises(NoMatchingKeyError, match="belongs to vault"):
        recovery_seed(file_of(RECOVERY), PHRASE, b"o" * 16)


def test_a_file_of_another_type_is_told() -> None:
    with pytest.raises(KeyringError, match="expected recovery"):
        recovery_seed(file_of(ADMIN), PHRASE, VAULT.vault_id)
    with pytest.raises(KeyringError, match="expected admin"):
        admin_signer(file_of(RECOVERY), PHRASE, MADE.trust)


def test_an_admin_key_signs() -> None:
    words = " ".join(MADE.created.sheets[2].words)
    assert ADMIN.public == admin_signer(words, None, MADE.trust).public


def test_words_of_a_recovery_key_are_no_admin_key() -> None:
    words = " ".join(MADE.created.sheets[0].words)
    with pytest.raises(NoMatchingKeyError, match="not an admin key"):
        admin_signer(words, None, MADE.trust)


def test_public_halves_differ_by_type() -> None:
    key = draw_key(KeyType.RECOVERY, "x", "file", seeded())
    assert (1216, 32) == (len(key.public), len(ADMIN.public))
