from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from vaultd.core.errors import KeyringError
from vaultd.crypto.kdf import MEM_KIB_MAX, MEM_KIB_MIN, PASSES_MAX, check_cost, derive, stretch

SALT = b"sixteen bytes of"


def test_hkdf_gives_the_answer_of_rfc_5869_without_salt() -> None:
    expected = (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )

    assert bytes.fromhex(expected) == derive(b"\x0b" * 22, b"", 42)


def test_keys_of_different_labels_have_nothing_in_common() -> None:
    first, second = derive(b"k" * 32, b"one"), derive(b"k" * 32, b"two")

    assert 32 == len(first)
    assert first != second


def test_a_shorter_derived_key_is_the_beginning_of_a_longer_one() -> None:
    assert derive(b"k" * 32, b"label", 64)[:16] == derive(b"k" * 32, b"label", 16)


def test_the_reference_for_argon2id_gives_the_answer_of_rfc_9106() -> None:
    reference = Argon2id(
        salt=b"\x02" * 16,
        length=32,
        iterations=3,
        lanes=4,
        memory_cost=32,
        ad=b"\x04" * 12,
        secret=b"\x03" * 8,
    )
    expected = "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"

    assert bytes.fromhex(expected) == reference.derive(b"\x01" * 32)


@pytest.mark.parametrize(("mem_kib", "passes"), [(MEM_KIB_MIN, 1), (MEM_KIB_MIN + 12, 3)])
@pytest.mark.parametrize("passphrase", [b"", b"correct horse", "пароль".encode(), b"x" * 200])
def test_stretching_agrees_with_a_second_implementation(
    passphrase: bytes, mem_kib: int, passes: int
) -> None:
    # libsodium can take neither secret nor associated data nor four lanes, as RFC 9106's vector
    # does; so the other library is held against the RFC above, and ours against it here.
    reference = Argon2id(salt=SALT, length=32, iterations=passes, lanes=1, memory_cost=mem_kib)

    assert reference.derive(passphrase) == stretch(passphrase, SALT, mem_kib=mem_kib, passes=passes)


@pytest.mark.parametrize(
    ("mem_kib", "passes"),
    [(MEM_KIB_MIN - 1, 1), (MEM_KIB_MAX + 1, 1), (MEM_KIB_MIN, 0), (MEM_KIB_MIN, PASSES_MAX + 1)],
)
def test_costs_out_of_their_limits_are_refused(mem_kib: int, passes: int) -> None:
    with pytest.raises(KeyringError):
        stretch(b"passphrase", SALT, mem_kib=mem_kib, passes=passes)


def test_the_highest_costs_are_allowed() -> None:
    check_cost(mem_kib=MEM_KIB_MAX, passes=PASSES_MAX)


@pytest.mark.parametrize("salt", [b"", SALT[:-1], SALT + b"x"])
def test_a_salt_of_another_length_is_refused(salt: bytes) -> None:
    with pytest.raises(KeyringError):
        stretch(b"passphrase", salt, mem_kib=MEM_KIB_MIN, passes=1)


def test_too_little_memory_is_an_error_that_names_the_memory_needed() -> None:
    limit = resource.getrlimit(resource.RLIMIT_AS)
    # Everything is loaded before memory becomes scarce.
    stretch(b"passphrase", SALT, mem_kib=MEM_KIB_MIN, passes=1)
    size = _address_space_bytes()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (size + (256 << 20), limit[1]))
        with pytest.raises(KeyringError, match="1024 MiB") as caught:
            stretch(b"passphrase", SALT, mem_kib=1 << 20, passes=1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)

    assert "1024 MiB" in str(caught.value.hint)


def _address_space_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


def test_deriving_does_not_load_libsodium() -> None:
    code = (
        "import sys, vaultd.crypto.kdf as k; k.derive(b'k', b'l'); sys.exit('nacl' in sys.modules)"
    )

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
