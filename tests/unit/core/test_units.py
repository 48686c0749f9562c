"""Sizes and durations, as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core.errors import ConfigError
from vaultd.core.units import (
    GIB,
    KIB,
    MIB,
    TIB,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("512", 512),
        ("10K", 10 * KIB),
        ("10 KiB", 10 * KIB),
        ("10kb", 10 * KIB),
        ("1.5GiB", 3 * GIB // 2),
        (" 2t ", 2 * TIB),
        ("7b", 7),
        ("0.5M", MIB // 2),
    ],
)
def test_sizes_are_read_in_powers_of_1024(text: str, expected: int) -> None:
    assert expected == parse_size(text)


@pytest.mark.parametrize("text", ["", "K", "-1", "1e3", "1,5G", "10 KK", "10P", "ten", "1.K"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="as a size") as caught:
        parse_size(text)

    assert "1.5G" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1.5h", 5400),
        (" 30d ", 30 * 86400),
        ("4w", 28 * 86400),
    ],
)
def test_durations_are_read_with_their_unit(text: str, expected: float) -> None:
    assert expected == parse_duration(text)


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1 month", "ten d"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="as a duration") as caught:
        parse_duration(text)

    assert "30d" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (312, "312 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4096, "4.0 KiB"),
        (1.25 * GIB, "1.2 GiB"),
        (1023.9 * GIB, "1023.9 GiB"),
        (5.5 * TIB, "5.50 TiB"),
        (2000 * TIB, "2000.00 TiB"),
    ],
)
def test_sizes_are_shown_in_the_unit_that_fits(count: float, expected: str) -> None:
    assert expected == format_size(count)


@given(st.integers(0, 1 << 50))
def test_a_size_that_is_shown_reads_nearly_the_same(count: int) -> None:
    assert parse_size(format_size(count)) == pytest.approx(count, rel=0.06, abs=1)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.9, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations_are_shown_as_a_person_would_say_them(seconds: float, expected: str) -> None:
    assert expected == format_duration(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("12h", 43_200),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("1.5h", 5400),
    ],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert seconds == parse_duration(text)


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "one day"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration(text)
