"""Which of the three places that may say so decides what is kept of a store."""

from __future__ import annotations

import pytest

from vaultd.core.errors import ConfigError
from vaultd.policy.calendar import Span
from vaultd.policy.retention import MIN_AGE_S, RetentionPolicy
from vaultd.settings.file import ConfigFile, RetentionTable, StoreTable
from vaultd.settings.retention import has_policies, needed_policy, policy_for

DAY_S = 86_400
GENERAL = RetentionTable(keep_daily=7, keep_within="1y2d", min_age="20d", timezone="Europe/Berlin")
CONFIG = ConfigFile(
    retention=GENERAL,
    stores={
        "ledger": StoreTable(retention=RetentionTable(keep_yearly=10, keep_tags=("audit",))),
        "scratch": StoreTable(retention=RetentionTable(min_age="1d12h")),
    },
)


@pytest.mark.parametrize(
    ("store", "asked", "expected"),
    [
        (
            "crm",
            None,
            RetentionPolicy(
                keep_daily=7,
                keep_within=Span(years=1, days=2),
                min_age_s=20 * DAY_S,
                timezone="Europe/Berlin",
            ),
        ),
        (
            "ledger",
            None,
            RetentionPolicy(
                keep_yearly=10, keep_tags=("audit",), min_age_s=20 * DAY_S, timezone="Europe/Berlin"
            ),
        ),
        (
            "scratch",
            None,
            RetentionPolicy(
                keep_daily=7,
                keep_within=Span(years=1, days=2),
                min_age_s=129_600,
                timezone="Europe/Berlin",
            ),
        ),
        (
            "ledger",
            RetentionTable(keep_last=2, timezone="UTC"),
            RetentionPolicy(keep_last=2, min_age_s=20 * DAY_S),
        ),
        (
            "ledger",
            RetentionTable(min_age="30d"),
            RetentionPolicy(
                keep_yearly=10, keep_tags=("audit",), min_age_s=30 * DAY_S, timezone="Europe/Berlin"
            ),
        ),
    ],
)
def test_the_last_place_that_has_rules_has_all_of_them(
    store: str, asked: RetentionTable | None, expected: RetentionPolicy
) -> None:
    assert expected == policy_for(CONFIG, store, asked)


def test_options_alone_are_enough() -> None:
    policy = policy_for(ConfigFile(), "crm", RetentionTable(keep_weekly=3))

    assert RetentionPolicy(keep_weekly=3, min_age_s=MIN_AGE_S) == policy


def test_a_store_may_have_no_rules_at_all() -> None:
    config = ConfigFile(
        retention=RetentionTable(min_age="1d"),
        stores={"crm": StoreTable(retention=RetentionTable(keep_last=1))},
    )

    assert policy_for(config, "etc") is None
    assert policy_for(config, "crm") is not None
    assert has_policies(config)
    assert not has_policies(ConfigFile(stores={"crm": StoreTable()}))
    with pytest.raises(ConfigError, match="keeps nothing"):
        needed_policy(config, "etc")


def test_a_span_of_nothing_is_no_rule() -> None:
    with pytest.raises(ConfigError, match="keeps nothing"):
        policy_for(ConfigFile(), "crm", RetentionTable(keep_within="0d"))
