"""A keeper at work on the vault of a `Scene`, with a clock of the server that can be told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.vaults import Desk, Scene
from vaultd.core.clock import SystemClock
from vaultd.maintenance.keeping import KeeperContext
from vaultd.maintenance.prune import PruneReport, PruneRules, execute_prune, plan_prune
from vaultd.vault.keyring import IndexKey
from vaultd.vault.log import Keeper

from tests.support.vaults import epoch_of  # isort: skip

AT_ONCE = PruneRules(recall_s=0, wait_s=0, max_share=1.0)
"""Nothing is waited for but sessions."""
