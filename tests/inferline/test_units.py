"""Texts with units, and numbers rounded to whole nanoseconds."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.errors import UnitError
from inferline.units import (
    MAX_TIME_NS,
    NANO,
    ceil_ns,
    format_duration,
    format_usd,
    parse_duration_ns,
    parse_price_nano_usd,
    parse_share,
)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("150ms", 150_000_000),
        (" 1.5 s ", 1_500_000_000),
        ("2min", 120 * NANO),
        ("1h", 3600 * NANO),
        ("7us", 7_000),
        ("0ns", 0),
        ("1e3ms", NANO),
        (".5s", 500_000_000),
        ("3.", 3 * NANO),
        ("0.5ns", 0),
        ("1.5ns", 2),
        ("2.5ns", 2),
        (0.07, 70_000_000),
        (3, 3 * NANO),
        (Decimal("0.1"), 100_000_000),
        ("4611686018427387904ns", MAX_TIME_NS),
    ],
)
def test_durations(text, nanoseconds):
    assert parse_duration_ns(text) == nanoseconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fast", "is not a duration"),
        ("", "is not a duration"),
        ("-1s", "is not a duration"),
        ("1 s s", "is not a duration"),
        ("٣s", "is not a duration"),
        ("5 days", "unknown unit 'days'"),
        ("5 S", "unknown unit 'S'"),
        (-1, "is negative"),
        (float("nan"), "not a finite number"),
        (float("inf"), "not a finite number"),
        (True, "is not a number"),
        (None, "is not a number"),
        ([1], "is not a number"),
        ("200000000min", "longer than 146 years"),
        ("4611686018427387905ns", "longer than 146 years"),
        ("9" * 31, "is not a duration"),
    ],
)
def test_what_is_no_duration_is_refused(value, message):
    with pytest.raises(UnitError, match=message):
        parse_duration_ns(value)


@settings(deadline=None)
@given(st.integers(0, MAX_TIME_NS))
def test_whole_nanoseconds_survive_the_text(nanoseconds):
    assert parse_duration_ns(f"{nanoseconds} ns") == nanoseconds
    assert parse_duration_ns(f"{nanoseconds // NANO}.{nanoseconds % NANO:09d}s") == nanoseconds


@pytest.mark.parametrize(
    ("value", "nano_usd"),
    [("$0.526/h", 526_000_000), ("$ 2 / h", 2 * NANO), ("0.0665", 66_500_000), (0, 0), (1e6, 10**15), (0.1, 10**8)],
)
def test_prices(value, nano_usd):
    assert parse_price_nano_usd(value) == nano_usd


@pytest.mark.parametrize("value", ["1 EUR", "$1/min", "-$1", -0.01, 1_000_001, "nan", None])
def test_what_is_no_price_is_refused(value):
    with pytest.raises(UnitError):
        parse_price_nano_usd(value)


def test_shares():
    assert [parse_share(value) for value in ("25%", 0.25, "100%", "1", 1)] == [0.25, 0.25, 1, 1, 1]
    for value in (0, "0%", "101%", 1.5, -0.1, "a quarter", True):
        with pytest.raises(UnitError):
            parse_share(value)


@pytest.mark.parametrize(
    ("seconds", "nanoseconds"),
    [
        (0.07, 70_000_000),
        (0.29, 290_000_000),
        (1.1e-9, 2),
        (0.0, 1),
        (2, 2 * NANO),
        (1e-7, 100),
        (123456.789012345, 123_456_789_012_345),
        (Fraction(1, 3), 333_333_334),
        (Fraction(7, 100), 70_000_000),
    ],
)
def test_seconds_are_rounded_up_as_their_decimal_text(seconds, nanoseconds):
    assert ceil_ns(seconds) == nanoseconds


@settings(deadline=None)
@given(st.integers(1, 10**15))
def test_a_decimal_of_nine_places_is_not_rounded_up(nanoseconds):
    assert ceil_ns(float(f"{nanoseconds}e-9")) == nanoseconds


def test_durations_for_people():
    values = (0, 1, 999, 1_500, 12_345_678, 123_456_789, NANO, 61 * NANO, 12_345 * NANO)
    assert [format_duration(value) for value in values] == [
        "0 s",
        "1 ns",
        "999 ns",
        "1.5 us",
        "12.3 ms",
        "123 ms",
        "1 s",
        "61 s",
        "12345 s",
    ]


def test_prices_for_people():
    assert [format_usd(value) for value in (0, 66_500_000, 5_790_000_000, 1_234_567_890_000)] == [
        "$0.00",
        "$0.0665",
        "$5.79",
        "$1,234.57",
    ]
