"""What is kept of a store: said by the configuration file and by options together."""

from __future__ import annotations

from typing import Any

from vaultd.policy.retention import RetentionPolicy
from vaultd.settings.file import ConfigFile, RetentionTable, StoreTable


def policy_for(
    config: ConfigFile, store: str, asked: RetentionTable | None = None
) -> RetentionPolicy | None:
    """Return what is kept of a store; ``None`` when no place has rules for it.

    Three places are looked at: ``[retention]``, ``[stores.NAME.retention]``, and the options of a
    command. The last of them that has rules (keys that begin with ``keep``) has all of them,
    because rules gathered from several places would keep what nobody meant. Of the other settings
    each comes from the last place that has it.

    Args:
        config: The file.
        store: The store's name.
        asked: What options say.

    Raises:
        ConfigError: A value cannot be used, or the rules keep nothing.
    """
    own = config.stores.get(store, StoreTable()).retention
    tables = (config.retention, own, asked or RetentionTable())
    if not any(table.has_rules for table in tables):
        return None
    chosen: dict[str, Any] = {}
    for table in tables:
        if table.has_rules:
            chosen = {name: value for name, value in chosen.items() if not name.startswith("keep_")}
        chosen |= table.fields()
    return RetentionPolicy(**chosen)


def needed_policy(
    config: ConfigFile, store: str, asked: RetentionTable | None = None
) -> RetentionPolicy:
    """Return what is kept of a store, as `policy_for` does.

    Raises:
        ConfigError: No place has rules for it, or a value cannot be used.
    """
    return policy_for(config, store, asked) or RetentionPolicy()  # which says what is missing


def has_policies(config: ConfigFile) -> bool:
    """Tell whether there are rules for any store."""
    tables = [config.retention, *(store.retention for store in config.stores.values())]
    return any(table.has_rules for table in tables)
