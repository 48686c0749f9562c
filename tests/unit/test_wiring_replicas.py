"""From the configuration to replicas: reached in their own way, and only those of this vault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.s3 import credentials
from tests.support.seaweed import Seaweed
from tests.support.vaults import Vault
from vaultd.backends.local import LocalBackend
from vaultd.backends.wrappers.fallback import Fallback
from vaultd.backends.wrappers.throttled import Throttled
from vaultd.core.errors import ConfigError, VaultNotFoundError
from vaultd.core.events import Event, Note
from vaultd.policy.copies import Media
from vaultd.settings.asked import Settings, load_settings
from vaultd.settings.file import ReplicaTable
from vaultd.vault.trust import load_trust
from vaultd.wiring.replicas import media_of, open_replica, open_targets, replica_named


def settings(folder: Path, *replicas: str, location: str = "") -> Settings:
    tables = [
        f'[[vault.replicas]]\nname = "r{number}"\nlocation = "{place}"\n'
        for number, place in enumerate(replicas, 1)
    ]
    home = f'[vault]\nlocation = "{location}"\n' if location else ""
    (folder / "vaultd.toml").write_text(home + "".join(tables))
    return load_settings({"HOME": str(folder), "VAULTD_CONFIG": str(folder / "vaultd.toml")})


def founded(place: Path) -> LocalBackend:
    backend = LocalBackend(place, create=True)
    Vault().found(backend)
    return backend


def said(notes: list[Event]) -> str:
    return "; ".join(note.text for note in notes if isinstance(note, Note))


def test_replicas_are_chosen_by_name_and_all_by_none(tmp_path: Path) -> None:
    asked = settings(tmp_path, "/a", "/b")
    assert ["r1", "r2"] == [one.name for one in replica_named(asked, None)]
    assert ["r2"] == [one.name for one in replica_named(asked, "r2")]
    with pytest.raises(ConfigError, match="no replica 'r3'"):
        replica_named(asked, "r3")
    with pytest.raises(ConfigError, match="names no replica"):
        replica_named(settings(tmp_path), None)


def test_a_replica_has_limits_of_its_own_and_is_made_only_when_asked(tmp_path: Path) -> None:
    table = ReplicaTable(name="r", location=str(tmp_path / "r"), limit_upload="1G")
    with pytest.raises(VaultNotFoundError), open_replica(table, settings(tmp_path)):
        pass
    with open_replica(table, settings(tmp_path), create=True) as backend:
        assert isinstance(backend, Throttled)


def test_a_bucket_is_reached_as_its_table_says(seaweed: Seaweed, tmp_path: Path) -> None:
    table = ReplicaTable(
        name="r",
        location=f"s3://{seaweed.bucket}/{seaweed.prefix()}",
        endpoint=seaweed.endpoint,
        region="us-east-1",
    )
    with (
        credentials(seaweed.access_key, seaweed.secret_key),
        open_replica(table, settings(tmp_path)) as backend,
    ):
        backend.put("log/0000000001", b"x")
        assert b"x" == backend.get("log/0000000001")
        assert backend.location.startswith(f"s3:{seaweed.endpoint}/{seaweed.bucket}/")


def test_without_replicas_the_vault_is_read_as_it_is(tmp_path: Path) -> None:
    trust = load_trust(founded(tmp_path / "vault"), pin=None)
    with open_targets(str(tmp_path / "vault"), settings(tmp_path)) as targets:
        assert isinstance(targets.together(trust).backend, LocalBackend)
        assert 1 == len(list(targets.candidates()))
    with (
        pytest.raises(VaultNotFoundError),
        open_targets(str(tmp_path / "no"), settings(tmp_path)),
    ):
        pass


def test_replicas_belong_to_the_vault_of_the_configuration_and_to_no_other(tmp_path: Path) -> None:
    founded(tmp_path / "vault")
    founded(tmp_path / "r")
    home = settings(tmp_path, str(tmp_path / "r"), location=str(tmp_path / "vault"))
    for place, expected in (("vault", 1), ("r", 0)):
        with open_targets(str(tmp_path / place), home) as targets:
            assert expected == len(targets.replicas)


def test_replicas_that_hold_nothing_or_are_missing_are_left_out(tmp_path: Path) -> None:
    trust = load_trust(founded(tmp_path / "vault"), pin=None)
    (tmp_path / "empty").mkdir()
    founded(tmp_path / "good")
    notes: list[Event] = []
    places = [str(tmp_path / name) for name in ("empty", "missing", "good")]
    asked = settings(tmp_path, *places, location=str(tmp_path / "vault"))

    with open_targets(str(tmp_path / "vault"), asked, notes.append) as targets:
        kept = targets.of_vault(trust)

    assert ["r3"] == [one.table.name for one in kept.replicas]
    assert "replica r2: folder" in said(notes)
    assert "replica r1: no vault at" in said(notes)


def test_a_replica_that_lost_its_description_is_still_read_from(tmp_path: Path) -> None:
    trust = load_trust(founded(tmp_path / "vault"), pin=None)
    replica = founded(tmp_path / "r")
    replica.delete("vault.json")
    asked = settings(tmp_path, str(tmp_path / "r"), location=str(tmp_path / "vault"))
    with open_targets(str(tmp_path / "vault"), asked) as targets:
        together = targets.of_vault(trust).together(trust)
        assert isinstance(together.backend, Fallback)
        assert 1 == len(together.others)


def test_with_nothing_left_that_is_said(tmp_path: Path) -> None:
    trust = load_trust(founded(tmp_path / "vault"), pin=None)
    (tmp_path / "empty").mkdir()
    asked = settings(tmp_path, str(tmp_path / "empty"), location=str(tmp_path / "gone"))
    with open_targets(str(tmp_path / "gone"), asked) as targets:
        assert targets.first is None
        with pytest.raises(VaultNotFoundError, match="no target"):
            targets.of_vault(trust).together(trust)
    nowhere = settings(tmp_path, str(tmp_path / "no"), location=str(tmp_path / "gone"))
    with pytest.raises(VaultNotFoundError), open_targets(str(tmp_path / "gone"), nowhere):
        pass


def test_what_a_target_lies_on_is_what_is_said_or_what_its_location_says(tmp_path: Path) -> None:
    asked = settings(tmp_path)
    assert Media.DISK == media_of("/srv/vault", asked)
    assert Media.OBJECT_STORAGE == media_of("s3://bucket/x", asked)
    assert Media.TAPE == media_of("/mnt/tape", asked, Media.TAPE)
