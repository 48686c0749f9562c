"""How long which objects of a vault are locked, where the bucket can."""

from __future__ import annotations

from msgspec import Struct

from vaultd.backends.base import Backend
from vaultd.backends.versions import LockMode, LockRule
from vaultd.core.errors import ConfigError
from vaultd.vault import layout

__all__ = ["PROBES", "LockMode", "LockOptions", "promised_until_ns"]

PROBES = "doctor/locks/"
"""Objects below it are put by the doctor, and locked for a minute."""

DAY_S = 86400.0
_YEAR_S = 365 * DAY_S
_PROBE_S = 60.0


class LockOptions(Struct, frozen=True, kw_only=True):
    """What a person asks of locks.

    Attributes:
        mode: Who may take a lock away.
        retain_s: How long a snapshot cannot be destroyed, from its commit on.
        generation_s: How much longer its objects are locked, because later snapshots of its chain
            need them too; as long as a chain lasts, nothing is ever extended.

    Raises:
        ConfigError: They cannot be right.
    """

    mode: LockMode
    retain_s: float
    generation_s: float = 30 * DAY_S

    def __post_init__(self) -> None:
        """Refuse what protects nothing."""
        if self.retain_s <= 0 or self.generation_s <= 0:
            raise ConfigError(
                "an object lock of no time protects nothing",
                hint="Give times such as 30d, or leave [vault.lock] out.",
            )

    @property
    def rule(self) -> LockRule:
        """What is asked, object by object.

        A pack, its index part and the root that names them are locked for the same time. Few and
        needed by every snapshot, and never put again, are the log and the keys: they get a year
        more. An intent only says that a session began.
        """
        chain_s = self.retain_s + self.generation_s
        lasting_s = self.retain_s + max(self.generation_s, _YEAR_S)
        return LockRule(
            mode=self.mode,
            promise_s=self.retain_s,
            generation_s=self.generation_s,
            periods=(
                (PROBES, _PROBE_S),
                (layout.PACKS, chain_s),
                (layout.PARTS, chain_s),
                (layout.OUTCOMES, chain_s),
                (layout.SESSIONS, self.retain_s),
                (layout.LOG, lasting_s),
                (layout.POLICIES, lasting_s),
                (layout.BUNDLES, lasting_s),
                (layout.VAULT, lasting_s),
            ),
        )


def promised_until_ns(backend: Backend) -> int:
    """Return until when a snapshot that is committed now is promised to be kept; 0: no promise."""
    versions = backend.versions
    if versions is None or versions.rule is None:
        return 0
    return versions.now_ns() + int(versions.rule.promise_s * 1e9)
