"""The small values that everything speaks in: times, entries, listings, sessions, errors."""

from __future__ import annotations

import inspect
import stat
from array import array
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core import errors
from vaultd.core.clock import SystemClock, rfc3339, utc
from vaultd.core.entry import Entry
from vaultd.core.errors import StorageUnavailableError, VaultdError
from vaultd.core.events import Advanced, ignore
from vaultd.core.snapshot import Counts, Kind, SessionId, Snapshot
from vaultd.core.tree import (
    COLUMNS,
    MODE,
    PART_MAX,
    PART_MIN,
    SIZE,
    Extra,
    Listing,
    columns_of,
    is_directory,
    is_regular,
    join,
    part_ends,
    path_key,
)


def test_the_system_s_clock_goes_forward() -> None:
    clock = SystemClock()
    before = clock.now_ns(), clock.monotonic_s()

    clock.sleep(0.001)

    assert clock.now_ns() > before[0]
    assert clock.monotonic_s() >= before[1] + 0.001


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_700_000_000_123_456_789, datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_times_are_utc_to_the_microsecond(ns: int, expected: datetime) -> None:
    assert expected == utc(ns)


def test_times_are_written_as_rfc_3339() -> None:
    assert "2023-11-14T22:13:20Z" == rfc3339(1_700_000_000_999_999_999)


def test_the_path_of_an_entry_is_that_of_its_directory_and_its_name() -> None:
    top = Entry(b"", b"etc", stat.S_IFDIR, 0, 0, 0, 0)
    below = Entry(b"etc/ssl", b"key", stat.S_IFREG, 0, 0, 0, 0)

    assert (b"etc", b"etc/ssl/key") == (top.full_path, below.full_path)
    assert top.extra.is_empty()


def test_extras_of_nothing_are_empty_and_others_are_not() -> None:
    assert Extra().is_empty()
    assert not Extra(segments=()).is_empty()
    assert not Extra(changed=True).is_empty()


def test_rows_become_columns_and_are_read_and_set_by_position() -> None:
    width = len(COLUMNS)
    listing = Listing(b"", [b"a", b"b"], columns_of(array("q", range(2 * width))))

    assert [0, width] == listing.column(MODE).tolist()
    assert [SIZE, SIZE + width] == listing.column(SIZE).tolist()
    assert SIZE + width == listing.get(SIZE, 1)
    listing.set(SIZE, 1, 99)
    assert [SIZE, 99] == listing.column(SIZE).tolist()


@given(st.lists(st.lists(st.sampled_from((b"a", b"a-b", b"\1", b"\xff")), max_size=4), max_size=9))
def test_walking_order_is_that_of_the_components(drawn: list[list[bytes]]) -> None:
    paths = [b"/".join(parts) for parts in sorted(drawn)]

    assert paths == sorted(paths, key=path_key)


def test_walking_order_is_not_that_of_the_bytes() -> None:
    paths = [b"", b"a", b"a/b", b"a-b", b"a-b/c", b"b"]

    assert paths == sorted(set(paths), key=path_key)
    assert paths != sorted(paths)


def test_names_are_joined_with_a_slash_except_at_the_top() -> None:
    assert (b"name", b"path/name") == (join(b"", b"name"), join(b"path", b"name"))


@given(st.integers(0, 20_000), st.integers(0, 3))
def test_parts_of_a_directory_are_neither_tiny_nor_huge_and_leave_nothing_out(
    count: int, salt: int
) -> None:
    names = [b"%d-%08d" % (salt, number) for number in range(count)]

    ends = list(part_ends(names))

    starts = [0, *ends[:-1]]
    sizes = [end - start for start, end in zip(starts, ends, strict=True)]
    assert count == ends[-1] == sum(sizes)
    assert all(PART_MIN <= size <= PART_MAX for size in sizes[:-1])
    assert sizes[-1] <= PART_MAX


def test_a_new_name_moves_only_the_cuts_near_it() -> None:
    names = [b"%08d" % number for number in range(100_000)]
    before = {names[end - 1] for end in part_ends(names)}
    more = sorted([*names, b"00050000a"])
    after = {more[end - 1] for end in part_ends(more)}

    assert len(before - after) <= 3


def test_kinds_of_entries_are_told_apart() -> None:
    assert (True, False) == (is_regular(stat.S_IFREG | 0o644), is_directory(stat.S_IFREG))
    assert (False, True) == (is_regular(stat.S_IFDIR), is_directory(stat.S_IFDIR | 0o1777))
    assert (False, False) == (is_regular(stat.S_IFLNK), is_directory(stat.S_IFLNK))


def test_sessions_are_ordered_and_written_as_in_object_names() -> None:
    sessions = [SessionId(host="web1", seq=10), SessionId(host="db1", seq=2)]

    assert ["db1/0000000002", "web1/0000000010"] == [str(one) for one in sorted(sessions)]


def test_people_name_a_snapshot_by_the_first_digits_of_its_root() -> None:
    snapshot = Snapshot(
        session=SessionId(host="web1", seq=1),
        root_sha256=bytes(range(32)),
        kind=Kind.FULL,
        chain=1,
        base=0,
        store_id=bytes(16),
        epoch=1,
        started_ns=0,
        ended_ns=0,
        store="",
        tags=(),
        hostname="",
        username="",
        roots=(),
        counts=Counts(),
        stored=0,
        software="",
    )

    assert snapshot.id.startswith("000102030405")
    assert "00010203" == snapshot.short_id


def test_nobody_has_to_watch() -> None:
    ignore(Advanced(files=0, data=0, stored=0))


def all_errors() -> list[type[VaultdError]]:
    found = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
    return [one for one in found if issubclass(one, VaultdError)]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_carries_its_message_and_a_hint(kind: type[VaultdError]) -> None:
    error = kind("what failed", hint="Do this.")

    assert ("what failed", "Do this.") == (error.message, error.hint)
    assert "what failed" == str(error)
    assert kind("alone").hint is None
    assert (kind is StorageUnavailableError) == error.retryable


def test_the_picture_of_the_errors_shows_every_one() -> None:
    assert {one.__name__ for one in all_errors()} <= set((errors.__doc__ or "").split())


def test_a_server_that_asks_for_fewer_requests_is_told_apart() -> None:
    assert StorageUnavailableError("busy", throttled=True).throttled
    assert not StorageUnavailableError("gone").throttled
