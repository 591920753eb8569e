"""Traffic by the second: exact counts, wherever in the second the requests fall."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inferline.domain import SPREADS, PerSecondCounts
from inferline.units import NANO

some_counts = st.lists(st.integers(0, 30), min_size=1, max_size=20).filter(any)


def spread_over(count: int, seconds: int, how: str, cv2: float = 4.0) -> np.ndarray:
    """Return the places of the arrivals in their seconds, in [0, 1); float64 (seconds, count)."""
    trace = PerSecondCounts(np.full(seconds, count)).spread(how, seed=1, cv2=cv2)
    return (trace.arrival_ns % NANO / NANO).reshape(seconds, count)


@pytest.mark.parametrize("how", SPREADS)
@settings(deadline=None)
@given(requests=some_counts, seed=st.integers(-5, 2**64), cv2=st.sampled_from([1e-9, 0.3, 4, 50, 1e9]))
def test_every_second_keeps_its_count(how, requests, seed, cv2):
    trace = PerSecondCounts(np.array(requests)).spread(how, seed=seed, cv2=cv2)
    assert np.bincount(trace.arrival_ns // NANO, minlength=len(requests)).tolist() == requests
    assert trace.duration_ns == len(requests) * NANO


@pytest.mark.parametrize("how", SPREADS)
def test_a_second_depends_on_its_own_count_alone(how):
    ours = PerSecondCounts(np.array([5, 0, 80, 3])).spread(how, seed=9).arrival_ns
    theirs = PerSecondCounts(np.array([7, 2, 80, 3, 4, 4])).spread(how, seed=9).arrival_ns
    assert ours[ours >= 2 * NANO].tolist() == theirs[(theirs >= 2 * NANO) & (theirs < 4 * NANO)].tolist()


def test_equal_seconds_are_not_filled_alike():
    places = spread_over(4, 100, "poisson")
    assert len(np.unique(places, axis=0)) == 100


def test_poisson_places_are_uniform_and_their_sums_are_those_of_independent_ones():
    places = spread_over(10, 2_000, "poisson")
    assert stats.kstest(places.ravel(), "uniform").pvalue > 0.001
    assert places.mean(axis=1).var() == pytest.approx(1 / 120, rel=0.15)
    # The first of 10 uniform places.
    assert stats.kstest(places[:, 0], stats.beta(1, 10).cdf).pvalue > 0.001


@pytest.mark.parametrize("cv2", [0.25, 1, 4])
def test_gamma_places_cut_the_second_by_the_dirichlet_law(cv2):
    places = spread_over(5, 4_000, "gamma", cv2)
    for k in range(5):
        law = stats.beta((k + 1) / cv2, (5 - k) / cv2)
        assert stats.kstest(places[:, k], law.cdf).pvalue > 0.001


@pytest.mark.parametrize("cv2", [9.0, 11.0, 200.0])
def test_gamma_places_keep_their_law_where_gaps_underflow(cv2):
    places = spread_over(3, 20_000, "gamma", cv2)
    # By bins: many places are the first or the last nanosecond of the second.
    edges = [0, 1e-3, 0.1, 0.5, 0.9, 0.999, 1]
    for k in range(3):
        seen = np.histogram(places[:, k], edges)[0]
        expected = 20_000 * np.diff(stats.beta((k + 1) / cv2, (3 - k) / cv2).cdf(edges))
        assert stats.chisquare(seen, expected).pvalue > 0.001


def test_gamma_places_are_even_when_the_gaps_do_not_vary():
    assert spread_over(3, 2, "gamma", 1e-9) == pytest.approx(np.tile([0.25, 0.5, 0.75], (2, 1)), abs=1e-3)


def test_even_places_are_the_middles_of_equal_parts():
    trace = PerSecondCounts(np.array([2, 0, 4])).spread("even")
    assert (trace.arrival_ns / NANO).tolist() == [0.25, 0.75, 2.125, 2.375, 2.625, 2.875]


def test_scaling_rounds_half_to_even():
    counts = PerSecondCounts(np.array([1, 3, 5, 0, 10]))
    assert counts.scaled(0.5).requests.tolist() == [0, 2, 2, 0, 5]
    assert counts.scaled(2.5).requests.tolist() == [2, 8, 12, 0, 25]
    assert counts.scaled(30 / counts.peak).peak == 30
    assert counts.scaled(1).requests.tolist() == counts.requests.tolist()


def test_total_and_peak():
    counts = PerSecondCounts(np.array([1, 7, 2]))
    assert (counts.total, counts.peak, len(counts)) == (10, 7, 3)


def test_the_counts_are_a_read_only_copy():
    requests = np.array([1, 2])
    counts = PerSecondCounts(requests)
    requests[0] = 99
    assert counts.requests.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        counts.requests[0] = 3


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "at least one"),
        ([[1]], "one number for each second"),
        ([1.5], "whole numbers, not float64"),
        ([0, 0], "at least one request"),
        ([3, -1], r"second 1: -1 requests; a count lies in \[0, 2\*\*62\]"),
        ([2**62, 2**62, 2**62], "at most"),
    ],
)
def test_what_are_no_counts_is_refused(requests, message):
    with pytest.raises(ValueError, match=message):
        PerSecondCounts(np.array(requests))


def test_scales_and_spreads_out_of_range_are_refused():
    counts = PerSecondCounts(np.array([2, 1]))
    with pytest.raises(ValueError, match="no request is left"):
        counts.scaled(0.2)
    for factor in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"factor is .*; a number above 0"):
            counts.scaled(factor)
    with pytest.raises(ValueError, match="more than"):
        counts.scaled(2.0**62)
    with pytest.raises(ValueError, match="use poisson, gamma or even"):
        counts.spread("uniform")
    with pytest.raises(ValueError, match="cv2 is 0"):
        counts.spread("gamma", cv2=0)
    with pytest.raises(ValueError, match="200,000,001 arrivals are too many"):
        PerSecondCounts(np.array([1, 200_000_000])).spread()
