from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from vaultd.core.errors import ConfigError
from vaultd.policy.copies import Media
from vaultd.policy.scrubbing import ScrubRule
from vaultd.settings.file import (
    ConfigFile,
    LockTable,
    ReplicaTable,
    ScrubTable,
    VaultTable,
    read_config,
)
from vaultd.vault.lock_options import LockMode

EXAMPLE = Path("config/vaultd.toml")


def read(folder: Path, text: str) -> ConfigFile:
    file = folder / "vaultd.toml"
    file.write_text(text)
    return read_config(file)


def test_an_empty_file_means_defaults(tmp_path: Path) -> None:
    assert ConfigFile() == read(tmp_path, "")


def test_the_vault_is_named(tmp_path: Path) -> None:
    config = read(tmp_path, '[vault]\nlocation = "/srv/vault"\n')
    assert ConfigFile(vault=VaultTable(location="/srv/vault")) == config


def test_replicas_are_named_with_how_to_reach_them(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [vault]
        location = "/srv/vault"
        [[vault.replicas]]
        name = "offsite"
        location = "s3://bucket/crm"
        media = "object-storage"
        offsite = true
        limit_upload = "10M/s"
        profile = "offsite"
        """,
    )
    replica = ReplicaTable(
        name="offsite",
        location="s3://bucket/crm",
        media=Media.OBJECT_STORAGE,
        offsite=True,
        limit_upload="10M/s",
        profile="offsite",
    )
    assert (replica,) == config.vault.replicas
    assert (10 << 20, None) == (replica.limit_upload_bytes_s, replica.limit_download_bytes_s)


def replicas(*names_and_places: tuple[str, str], more: str = "") -> str:
    tables = [
        f"[[vault.replicas]]\nname = '{name}'\nlocation = '{place}'\n{more}\n"
        for name, place in names_and_places
    ]
    return "[vault]\nlocation = '/srv/vault'\n" + "".join(tables)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (replicas(("a", "/x"), ("a", "/y")), "vault: two copies of one name: a"),
        (replicas(("a", "/x"), ("b", "/x")), "vault: two copies of one location: /x"),
        (replicas(("a", "/srv/vault")), "two copies of one location: /srv/vault"),
        (replicas(("A b", "/x")), "'A b': expected a name"),
        (replicas(("a", "/x"), more="limit_upload = '0'"), "lets nothing through"),
        (replicas(("a", "/x"), more="limit_upload = 'fast'"), "cannot read 'fast' as a size"),
        (replicas(("a", "/x"), more="keep_deleted = 'long'"), "cannot read 'long' as a duration"),
        (replicas(("a", "/x"), more="media = 'paper'"), "invalid enum value 'paper'"),
    ],
)
def test_replicas_that_cannot_be_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_locks_are_asked_for_in_words(tmp_path: Path) -> None:
    lock = read(tmp_path, '[vault.lock]\nmode = "compliance"\nretain = "12h"\n').vault.lock
    assert LockTable(mode=LockMode.COMPLIANCE, retain="12h") == lock
    assert lock is not None
    options = lock.options()
    assert (12 * 3600, 30 * 86400) == (options.retain_s, options.generation_s)


def test_what_a_scrub_may_cost_is_read_as_sizes_and_durations(tmp_path: Path) -> None:
    text = '[scrub]\nwindow = "2w"\nbytes_per_day = "1.5G"\nrequests_per_day = 7\n'
    expected = ScrubRule(window_s=14 * 86_400, bytes_per_day=3 << 29, requests_per_day=7)
    assert expected == read(tmp_path, text).scrub.rule()
    assert ScrubRule() == ScrubTable().rule()


def test_a_duration_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scrub: cannot read 'a month' as a duration"):
        read(tmp_path, '[scrub]\nwindow = "a month"\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[vault]\nlocaton = 1\n", "vault: there is no key 'locaton' here"),
        ("[valt]\n", "top level: there is no key 'valt' here"),
        ("[vault]\nlocation = 1\n", "vault.location: expected str | null, got int"),
        ("[keeper]\nwait = '3 moons'\n", "keeper: cannot read '3 moons' as a duration"),
        ("[keeper]\nmax_share = 2\n", "keeper.max_share: expected float <= 1.0"),
        ("[retention]\nkeep_dayly = 1\n", "retention: there is no key 'keep_dayly' here"),
        ("[retention]\nkeep_daily = -1\n", "retention.keep_daily: expected int >= 0"),
        ("[retention]\nkeep_within = '7w'\n", "retention.keep_within: cannot read '7w' as a span"),
        ("[retention]\nmin_age = '2m'\n", "retention.min_age: cannot count '2m' in seconds"),
        ("[stores.a.retention]\ntimezone = 'X'\n", "stores.a.retention.timezone: time zone 'X'"),
        ("[stores.a]\nretain = 1\n", r"stores\[...\]: there is no key 'retain' here"),
        ('[vault.lock]\nmode = "none"\nretain = "1d"\n', "vault.lock.mode: invalid enum value"),
        ('[vault.lock]\nmode = "governance"\n', "vault.lock: object missing required field"),
        (
            '[vault.lock]\nmode = "governance"\nretain = "long"\n',
            "vault.lock: cannot read 'long' as a duration",
        ),
        (
            '[vault.lock]\nmode = "governance"\nretain = "0d"\n',
            "vault.lock: an object lock of no time protects nothing",
        ),
        ("[vault\n", "is not TOML: .*line 1, column 7"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("|", r"\|")) as caught:
        read(tmp_path, text)
    assert str(tmp_path) in caught.value.message


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    file = tmp_path / "vaultd.toml"
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(file)


def test_the_example_is_right_as_it_stands_and_with_every_line_switched_on(tmp_path: Path) -> None:
    assert ConfigFile() == read_config(EXAMPLE)
    lines = EXAMPLE.read_text().splitlines()
    # A commented line that is TOML is a setting; the others are explanations.
    read(tmp_path, "\n".join(map(switched_on, lines)))


def switched_on(line: str) -> str:
    bare = line.removeprefix("# ")
    try:
        tomllib.loads(bare)
    except tomllib.TOMLDecodeError:
        return line
    return bare
