"""Harm done to the objects of a vault, as disks, providers and thieves do it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from vaultd.backends.base import Backend


def flip(backend: Backend, name: str, at: int | None = None) -> None:
    """Turn one bit over, in the middle by default."""
    data = bytearray(backend.get(name))
    data[len(data) // 2 if at is None else at] ^= 0x10
    put_instead(backend, name, bytes(data))


def truncate(backend: Backend, name: str) -> None:
    """Cut the second half off."""
    data = backend.get(name)
    put_instead(backend, name, data[: len(data) // 2])


def lose(backend: Backend, name: str) -> None:
    """Delete."""
    backend.delete(name)


def spoil_header(backend: Backend, name: str) -> None:
    """Turn a bit over near the beginning, where a pack's header is."""
    flip(backend, name, at=40)


def put_instead(backend: Backend, name: str, data: bytes) -> None:
    """Put other bytes under a name."""
    backend.delete(name)
    backend.put(name, data)


HARMS: Sequence[Callable[[Backend, str], None]] = (flip, truncate, lose, spoil_header)


def names_of(backend: Backend, prefix: str = "") -> list[str]:
    """Return the names of all objects."""
    return [info.name for info in backend.list(prefix)]


def harm_some(backend: Backend, share: float, *, seed: int, prefix: str = "packs/") -> list[str]:
    """Harm a share of the objects under a prefix, at least three, each in another way."""
    names = names_of(backend, prefix)
    chosen = random.Random(seed).sample(names, max(3, round(share * len(names))))
    for number, name in enumerate(chosen):
        HARMS[number % len(HARMS)](backend, name)
    return sorted(chosen)
