"""Nearest ranks in integers, against their definition in exact fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import Slo
from inferline.domain.slo import nearest_rank

percentiles = st.decimals(min_value="0.001", max_value="100", places=3)


@settings(deadline=None)
@given(percentiles, st.integers(1, 300))
def test_the_nearest_rank_is_the_least_that_covers_the_share(percentile, count):
    share = Fraction(percentile) / 100
    assert nearest_rank(percentile, count) == next(k for k in range(1, count + 1) if Fraction(k, count) >= share)


@pytest.mark.parametrize(
    ("percentile", "count", "late"),
    [
        ("99", 1_000, 10),
        ("99.9", 1_000, 1),
        ("99.9", 999, 0),
        ("100", 50, 0),
        ("50", 5, 2),
        ("99", 10**15 + 1, 10**13),
    ],
)
def test_the_allowance_is_what_is_above_the_rank(percentile, count, late):
    assert Slo(latency_ns=1, percentile=Decimal(percentile)).allowance(count) == late


@pytest.mark.parametrize("percentile", ["0", "-1", "100.0001"])
def test_percentiles_outside_the_range_are_refused(percentile):
    with pytest.raises(ValueError, match=r"outside \(0, 100\]"):
        Slo(latency_ns=1, percentile=Decimal(percentile))


@pytest.mark.parametrize("latency_ns", [0, -5, 2**62 + 1])
def test_latencies_outside_the_range_are_refused(latency_ns):
    with pytest.raises(ValueError, match="latency_ns"):
        Slo(latency_ns=latency_ns, percentile=Decimal(99))


def test_a_percentile_that_is_no_decimal_counts_as_its_text():
    # The double nearest to 99.9 lies above it: as a fraction it would ask for all of 1,000.
    slo = Slo(latency_ns=1, percentile=99.9)
    assert (slo.percentile, slo.allowance(1_000)) == (Decimal("99.9"), 1)
    assert Slo(latency_ns=1, percentile=99) == Slo(latency_ns=1, percentile=Decimal(99))


def test_a_percentile_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"outside \(0, 100\]"):
        Slo(latency_ns=1, percentile=Decimal("nan"))
