"""Which snapshot a person means."""

from __future__ import annotations

import hashlib

import pytest

from vaultd.core.errors import ConfigError, ObjectNotFoundError
from vaultd.core.snapshot import Counts, Kind, SessionId, Snapshot
from vaultd.vault.select import Filter, chosen, latest_of_each, resolve

_HOUR_NS = 3600 * 10**9


def _snapshot(
    number: int,
    *,
    host: str = "web1",
    store: str = "crm",
    tags: tuple[str, ...] = (),
    roots: tuple[bytes, ...] = (b"/srv",),
    root_sha256: bytes | None = None,
) -> Snapshot:
    return Snapshot(
        session=SessionId(host=host, seq=number),
        root_sha256=root_sha256 or hashlib.sha256(f"{host}{number}".encode()).digest(),
        kind=Kind.FULL,
        chain=1,
        base=0,
        store_id=b"s" * 16,
        epoch=1,
        started_ns=number * _HOUR_NS,
        ended_ns=number * _HOUR_NS + 1,
        store=store,
        tags=tags,
        hostname=f"{host}.example",
        username="root",
        roots=roots,
        counts=Counts(),
        stored=0,
        software="vaultd",
    )


ONE, TWO, THREE, OTHER = (
    _snapshot(1, tags=("a",)),
    _snapshot(2, tags=("a", "b")),
    _snapshot(3, store="files", roots=(b"/srv", b"/etc")),
    _snapshot(4, host="db1", store="crm"),
)
ALL = [ONE, TWO, THREE, OTHER]
NO_FILTER = Filter()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (NO_FILTER, ALL),
        (Filter(hosts=("web1",)), [ONE, TWO, THREE]),
        (Filter(hosts=("db1.example",)), [OTHER]),
        (Filter(hosts=("db1", "web1")), ALL),
        (Filter(stores=("files",)), [THREE]),
        (Filter(paths=(b"/srv",)), ALL),
        (Filter(paths=(b"/srv", b"/etc")), [THREE]),
        (Filter(tags=(("a",),)), [ONE, TWO]),
        (Filter(tags=(("a", "b"),)), [TWO]),
        (Filter(tags=(("b",), ("c",))), [TWO]),
        (Filter(tags=((),)), [THREE, OTHER]),
        (Filter(not_after_ns=2 * _HOUR_NS), [ONE, TWO]),
        (Filter(hosts=("web1",), not_after_ns=0), []),
    ],
)
def test_filters_let_through_what_matches_all_of_them(
    wanted: Filter, expected: list[Snapshot]
) -> None:
    assert expected == chosen(ALL, wanted)


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("latest", NO_FILTER, OTHER),
        ("latest~1", NO_FILTER, THREE),
        ("latest~3", NO_FILTER, ONE),
        ("latest", Filter(hosts=("web1",)), THREE),
        ("latest~1", Filter(stores=("crm",), hosts=("web1",)), ONE),
        ("latest", Filter(not_after_ns=2 * _HOUR_NS + 1), TWO),
        ("latest~1", Filter(not_after_ns=2 * _HOUR_NS), ONE),
        ("web1/2", NO_FILTER, TWO),
        ("web1/0000000002", NO_FILTER, TWO),
        ("db1/4", Filter(hosts=("web1",)), OTHER),
        (TWO.id, NO_FILTER, TWO),
        (TWO.short_id, Filter(stores=("files",)), TWO),
        (TWO.short_id.upper(), NO_FILTER, TWO),
    ],
)
def test_a_reference_names_one_snapshot(text: str, wanted: Filter, expected: Snapshot) -> None:
    assert expected == resolve(text, ALL, wanted).snapshot


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("latest", b""),
        ("latest:", b""),
        ("latest:/", b""),
        ("latest:/etc/", b"etc"),
        ("latest:srv/a:b", b"srv/a:b"),
        ("web1/1:/\udce9t", b"\xe9t"),
    ],
)
def test_a_path_may_follow_after_a_colon(text: str, path: bytes) -> None:
    assert path == resolve(text, ALL, NO_FILTER).path


@pytest.mark.parametrize(
    "text", ["", "yesterday", "latest~", "latest~-1", "g", "web1/", "WEB1/1", "12 34", "0x12"]
)
def test_what_is_no_reference_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(text, ALL, NO_FILTER)

    assert "latest~2" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["latest~4", "web1/9", "db1/1", "ffffffff"])
def test_what_does_not_exist_is_not_found(text: str) -> None:
    with pytest.raises(ObjectNotFoundError):
        resolve(text, ALL, NO_FILTER)


def test_latest_says_which_filter_leaves_nothing() -> None:
    wanted = Filter(hosts=("mail",), stores=("s",), paths=(b"/x",), tags=((), ("t",)))

    with pytest.raises(ObjectNotFoundError) as caught:
        resolve("latest", ALL, wanted)

    assert "of host mail, of store s, of /x, tagged nothing or t" in caught.value.message


def test_latest_of_nothing_says_so() -> None:
    with pytest.raises(ObjectNotFoundError) as caught:
        resolve("latest", [], NO_FILTER)

    assert "of 0 in the vault, none can be seen" in caught.value.message


def test_an_ambiguous_id_names_the_candidates() -> None:
    twins = [_snapshot(at, root_sha256=bytes.fromhex("ab12" + f"{at:060x}")) for at in range(1, 12)]

    with pytest.raises(ConfigError) as caught:
        resolve("ab1", twins, NO_FILTER)

    message = caught.value.message
    assert message.startswith("11 snapshots begin with 'ab1': ab120000 (1970-01-01T01:00:00Z)")
    assert message.endswith("and 3 more")


def test_an_instant_beside_an_id_is_a_contradiction() -> None:
    with pytest.raises(ConfigError):
        resolve(ONE.short_id, ALL, Filter(not_after_ns=0))


def test_the_latest_of_each_group_are_kept_in_order() -> None:
    kept = latest_of_each(ALL, 1, lambda snapshot: snapshot.session.host)

    assert [THREE, OTHER] == kept
