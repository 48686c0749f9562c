"""What the model can do beyond being a backend."""

from __future__ import annotations

import hashlib

import pytest

from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import CorruptObjectError


def test_a_copy_goes_its_own_way() -> None:
    backend = MemoryBackend()
    backend.put("a", b"1")
    copy = backend.copy()
    backend.put("b", b"2")
    copy.delete("a")
    assert ["a", "b"] == [info.name for info in backend.list("")]
    assert [] == [info.name for info in copy.list("")]
    assert b"1" == backend.get("a")


def test_a_sha256_is_checked() -> None:
    backend = MemoryBackend()
    backend.put("right", b"x", sha256=hashlib.sha256(b"x").digest())
    with pytest.raises(CorruptObjectError):
        backend.put("wrong", b"y", sha256=hashlib.sha256(b"x").digest())
    assert ["right"] == [info.name for info in backend.list("")]
    assert "memory" == backend.location
