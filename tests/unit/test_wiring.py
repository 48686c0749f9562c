from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.s3 import credentials
from tests.support.seaweed import Seaweed
from tests.unit.vault.making import make
from vaultd.backends.local import LocalBackend
from vaultd.backends.s3.options import Addressing, S3Options
from vaultd.backends.wrappers.retrying import Retrying
from vaultd.backends.wrappers.throttled import Throttled
from vaultd.core.errors import ConfigError, ObjectExistsError, VaultNotFoundError
from vaultd.settings.asked import S3Settings, Settings, load_settings
from vaultd.vault.ceremony import keep_created
from vaultd.wiring.hosts import open_host
from vaultd.wiring.storage import open_backend, parse_location
from vaultd.wiring.system import system_clock, system_random

S3 = S3Settings()


def settings(**environment: str) -> Settings:
    return load_settings({"HOME": "/home/ada", **environment})


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/srv/vault", "/srv/vault"),
        (" /srv/vault\n", "/srv/vault"),
        ("file:/srv/vault", "/srv/vault"),
        ("file:///srv/vault", "/srv/vault"),
        ("FILE:/srv/vault", "/srv/vault"),
        ("./2024:may", "2024:may"),
        ("/srv/a@b:c", "/srv/a@b:c"),
        ("vault", "vault"),
        ("file:vault", "vault"),
    ],
)
def test_paths_are_folders(location: str, expected: str) -> None:
    assert Path(expected).absolute() == parse_location(location, S3)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3://bucket", S3Options(bucket="bucket")),
        ("s3://bucket/", S3Options(bucket="bucket")),
        ("s3://bucket/a/b/", S3Options(bucket="bucket", prefix="a/b")),
        ("s3:s3.amazonaws.com/bucket", S3Options(bucket="bucket")),
        (
            "s3:s3.eu-central-1.amazonaws.com/bucket/a",
            S3Options(bucket="bucket", prefix="a", region="eu-central-1"),
        ),
        (
            "s3:https://s3-us-west-2.amazonaws.com/bucket",
            S3Options(bucket="bucket", region="us-west-2"),
        ),
        (
            "s3:s3.cn-north-1.amazonaws.com.cn/bucket",
            S3Options(bucket="bucket", region="cn-north-1"),
        ),
        (
            "s3:https://s3.example:9000/bucket/a",
            S3Options(bucket="bucket", prefix="a", endpoint="https://s3.example:9000"),
        ),
        ("s3:s3.example/bucket", S3Options(bucket="bucket", endpoint="https://s3.example")),
        (
            "s3:s3.example:9000/bucket",
            S3Options(bucket="bucket", endpoint="https://s3.example:9000"),
        ),
        (
            "s3:http://127.0.0.1:8333/bucket",
            S3Options(bucket="bucket", endpoint="http://127.0.0.1:8333"),
        ),
        (
            "s3:http://[::1]:8333/bucket",
            S3Options(bucket="bucket", endpoint="http://[::1]:8333"),
        ),
    ],
)
def test_buckets_are_found_in_locations(location: str, expected: S3Options) -> None:
    assert expected == parse_location(location, S3)


def test_settings_say_what_a_location_leaves_open() -> None:
    s3 = S3Settings(
        endpoint="https://s3.example", region="here-1", addressing=Addressing.PATH, profile="p"
    )
    expected = S3Options(
        bucket="bucket",
        endpoint="https://s3.example",
        region="here-1",
        addressing=Addressing.PATH,
        profile="p",
    )
    assert expected == parse_location("s3://bucket", s3)
    other = parse_location("s3:https://other.example/bucket", s3)
    assert isinstance(other, S3Options)
    assert ("https://other.example", "here-1") == (other.endpoint, other.region)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "file:",
        "file://nas/vault",
        "/srv/\0",
        "https://s3.example/bucket",
        "sftp:backup@nas:/vault",
        "backup@nas:/vault",
        "b2:bucket",
        "s3:",
        "s3://",
        "s3:///prefix",
        "s3:s3.example",
        "s3:https://",
        "s3:https:///bucket",
        "s3:ftp://s3.example/bucket",
        "s3:https://s3.example:port/bucket",
        "s3:https://s3.example:0/bucket",
        "s3:https://[::1/bucket",
        "s3:https://s3.example/bucket?x=1",
        "s3:https://s3.example/bucket#x",
        "s3:http://s3.example/bucket",
        "s3://bucket/a//b",
    ],
)
def test_locations_that_cannot_be_are_refused_with_a_hint(location: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_location(location, S3)
    assert caught.value.hint


@pytest.mark.parametrize(
    "location",
    [
        "s3:https://AKIAKEY:hunter2@s3.example/bucket",
        "s3:AKIAKEY:hunter2@s3.example/bucket",
        "s3://AKIAKEY:hunter2@bucket/prefix",
        "https://AKIAKEY:hunter2@s3.example/bucket",
        "sftp://AKIAKEY:hunter2@nas/vault",
        "s3:https://AKIAKEY:hunter2@s3.example:port/bucket",
    ],
)
def test_credentials_in_a_location_are_refused_and_not_repeated(location: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_location(location, S3)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_two_regions_are_refused() -> None:
    with pytest.raises(ConfigError, match="region"):
        parse_location("s3:s3.eu-west-1.amazonaws.com/bucket", S3Settings(region="us-east-1"))


def test_a_folder_is_opened_as_it_is(tmp_path: Path) -> None:
    with open_backend(str(tmp_path), settings()) as backend:
        assert isinstance(backend, LocalBackend)
        backend.put("log/1", b"x")
        assert b"x" == backend.get("log/1")


def test_a_missing_folder_is_made_only_when_asked(tmp_path: Path) -> None:
    place = str(tmp_path / "new")
    with pytest.raises(VaultNotFoundError), open_backend(place, settings()):
        pass
    with open_backend(place, settings(), create=True) as backend:
        assert place == backend.location


def test_limits_hold_for_folders_too(tmp_path: Path) -> None:
    asked = settings(VAULTD_LIMIT_UPLOAD="1G")
    with open_backend(str(tmp_path), asked) as backend:
        assert isinstance(backend, Throttled)
        backend.put("log/1", b"x")
        assert ["log/1"] == [entry.name for entry in backend.list("log/")]


def test_a_bucket_is_opened_behind_retries(seaweed: Seaweed) -> None:
    location = f"s3:{seaweed.endpoint}/{seaweed.bucket}/{seaweed.prefix()}"
    with (
        credentials(seaweed.access_key, seaweed.secret_key),
        open_backend(location, settings(VAULTD_LIMIT_DOWNLOAD="1G")) as backend,
    ):
        assert isinstance(backend, Retrying)
        assert location.rstrip("/") == backend.location
        backend.put("log/1", b"x")
        with pytest.raises(ObjectExistsError):
            backend.put("log/1", b"y")
        assert b"x" == backend.get("log/1")


def test_a_host_is_opened_with_what_its_machine_keeps(tmp_path: Path) -> None:
    place = str(tmp_path / "vault")
    with open_backend(place, settings(), create=True) as backend:
        made = make(backend=backend)
        identity = keep_created(made.created, tmp_path / "state")
        with open_host(backend, made.trust, identity) as host:
            assert "web1" == host.keys.host
            assert backend.spool == host.spool
            assert [] == host.index.sessions()
        assert {"index-web1.sqlite", "catalog.sqlite"} <= {
            path.name for path in identity.folder.iterdir()
        }


def test_a_backend_without_a_folder_spools_beside_the_identity(tmp_path: Path) -> None:
    made = make()
    identity = keep_created(made.created, tmp_path)
    with open_host(made.backend, made.trust, identity) as host:
        assert identity.folder == host.spool


def test_what_a_backup_to_a_folder_needs_does_not_load_the_rest() -> None:
    code = (
        "import sys, vaultd.wiring.hosts, vaultd.wiring.sources, vaultd.wiring.storage; "
        "print({'boto3', 'botocore', 'mnemonic', 'vaultd.stores.files.target'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "set()" == done.stdout.strip()


def test_randomness_and_time_are_the_systems() -> None:
    assert 32 == len(system_random(32))
    assert system_random(32) != system_random(32)
    assert system_clock().now_ns() > 1_700_000_000 * 10**9
