"""Vaults for tests: made as users make them, with seeded randomness and a clock that is told."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from vaultd.backends.base import Backend
from vaultd.backends.memory import MemoryBackend
from vaultd.crypto import signing
from vaultd.crypto.recovery import KeyType
from vaultd.format.keys import PolicyBody
from vaultd.format.signed import POLICY
from vaultd.vault import layout
from vaultd.vault.ceremony import Created, RecoveryPlan, VaultPlan, create_vault
from vaultd.vault.changes import Admin
from vaultd.vault.keyring import ReadKeys, unlock
from vaultd.vault.trust import Trust, load_trust, sign_object

PAPER = (RecoveryPlan(label="paper 1", form="words"), RecoveryPlan(label="paper 2", form="words"))
PLAN = VaultPlan(label="tests", host="web1", recovery=PAPER)


class ToldClock:
    """A clock that moves only when it is told to."""

    def __init__(self, now_ns: int = 1_700_000_000 * 10**9) -> None:
        self.ns = now_ns

    def now_ns(self) -> int:
        return self.ns

    def monotonic_s(self) -> float:
        return self.ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


def seeded(seed: int = 1) -> Callable[[int], bytes]:
    """Return a source of bytes that gives the same ones in every run."""
    return random.Random(seed).randbytes


@dataclass(frozen=True)
class Made:
    """A vault, its keys, and an admin at work on it."""

    backend: Backend
    created: Created
    random: Callable[[int], bytes]
    clock: ToldClock = field(default_factory=ToldClock)

    @property
    def trust(self) -> Trust:
        return load_trust(self.backend, pin=None)

    @property
    def admin(self) -> Admin:
        return Admin(
            backend=self.backend,
            trust=self.trust,
            signer=self.signer,
            random=self.random,
            clock=self.clock,
        )

    @property
    def signer(self) -> signing.Signer:
        key = next(key for key in self.created.keys if key.type is KeyType.ADMIN)
        return signing.Signer(key.seed.reveal())

    def seed(self, at: int = 0) -> bytes:
        """Return a recovery key."""
        return self.created.keys[at].seed.reveal()

    def unlocked(self, at: int = 0) -> ReadKeys:
        return unlock(self.backend, self.trust, self.seed(at))

    def replace(self, name: str, raw: bytes) -> None:
        """Change an object as only a thief of the backend can."""
        self.backend.delete(name)
        self.backend.put(name, raw)

    def policy(self, body: PolicyBody, signer: signing.Signer | None = None) -> bytes:
        """Put a policy of one's own choice; return its bytes."""
        raw = sign_object(POLICY, body, signer or self.signer)
        self.backend.put(layout.policy(body.number), raw)
        return raw


def make(plan: VaultPlan = PLAN, *, backend: Backend | None = None, seed: int = 1) -> Made:
    """Make a vault."""
    place = MemoryBackend(clock=ToldClock()) if backend is None else backend
    source = seeded(seed)
    clock = ToldClock()
    created = create_vault(place, plan, random=source, clock=clock)
    return Made(backend=place, created=created, random=source, clock=clock)
