"""Renewal processes: the law of their gaps, and what a longer trace keeps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from inferline.domain import even_trace, gamma_trace, poisson_trace
from inferline.units import MAX_TIME_NS, NANO

# Rates are low where a law is tested: gaps of many nanoseconds leave nothing to the rounding.
RARE = 0.01


def gaps_s(trace) -> np.ndarray:
    return np.diff(trace.arrival_ns, prepend=0) / NANO


@pytest.mark.parametrize("cv2", [0.1, 1, 4])
def test_gamma_gaps_follow_the_gamma_law(cv2):
    gaps = gaps_s(gamma_trace(rate=RARE, cv2=cv2, queries=20_000, seed=1))
    assert stats.kstest(gaps, stats.gamma(a=1 / cv2, scale=cv2 / RARE).cdf).pvalue > 0.001


@pytest.mark.parametrize("cv2", [0.1, 1, 4, 25])
def test_gamma_gaps_have_the_mean_and_the_variation_that_were_asked_for(cv2):
    gaps = gaps_s(gamma_trace(rate=50, cv2=cv2, queries=400_000, seed=2)) * 50
    assert abs(gaps.mean() - 1) < 5 * np.sqrt(cv2 / gaps.size)
    # The variance of a squared deviation of gamma gaps is cv2^2 (2 + 6 cv2).
    assert abs(((gaps - 1) ** 2).mean() - cv2) < 5 * cv2 * np.sqrt((2 + 6 * cv2) / gaps.size)


def test_gamma_gaps_are_independent():
    gaps = gaps_s(gamma_trace(rate=RARE, cv2=4, queries=50_000, seed=3))
    ranks = stats.rankdata(gaps)
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(ranks[:-lag], ranks[lag:])[0, 1]) < 5 / np.sqrt(gaps.size)


def test_poisson_gaps_are_exponential():
    gaps = gaps_s(poisson_trace(rate=RARE, queries=20_000, seed=4))
    assert stats.kstest(gaps, stats.expon(scale=1 / RARE).cdf).pvalue > 0.001


def test_poisson_gaps_have_the_whole_tail():
    gaps = gaps_s(poisson_trace(rate=100, queries=1_000_000, seed=5)) * 100
    # The longest of a million exponential gaps is 13.8 + Gumbel; cut at three sigma it would be 4.
    assert 11 < gaps.max() < 27


def test_poisson_counts_per_second_are_poisson():
    trace = poisson_trace(rate=5, duration_ns=20_000 * NANO, seed=6)
    counts = np.bincount(trace.arrival_ns // NANO, minlength=20_000)
    seen = np.bincount(np.minimum(counts, 13), minlength=14)
    law = stats.poisson(5)
    expected = 20_000 * np.append(law.pmf(np.arange(13)), law.sf(12))
    assert stats.chisquare(seen, expected).pvalue > 0.001


def test_even_arrivals_begin_at_0_and_end_before_the_duration():
    assert even_trace(rate=2, duration_ns=2 * NANO).arrival_ns.tolist() == [0, 5 * 10**8, NANO, 15 * 10**8]
    assert even_trace(rate=3, duration_ns=NANO).arrival_ns.tolist() == [0, 333_333_333, 666_666_667]
    assert len(even_trace(rate=300, duration_ns=600 * NANO)) == 180_000
    assert len(even_trace(rate=0.3, duration_ns=10 * NANO + 1)) == 4


def test_a_number_of_even_arrivals_takes_that_number_of_gaps():
    trace = even_trace(rate=8, queries=16)
    assert (len(trace), trace.duration_ns, trace.mean_qps) == (16, 2 * NANO, 8)


@pytest.mark.parametrize(
    "draw",
    [
        lambda **extent: gamma_trace(rate=100, cv2=4, seed=7, **extent),
        lambda **extent: poisson_trace(rate=100, seed=7, **extent),
        lambda **extent: even_trace(rate=100, **extent),
    ],
)
def test_a_longer_trace_keeps_its_beginning_by_duration_and_by_number(draw):
    long = draw(duration_ns=90 * NANO)
    for seconds in (1, 10, 77):
        short = draw(duration_ns=seconds * NANO)
        assert short.duration_ns == seconds * NANO
        assert short.arrival_ns.tolist() == long.arrival_ns[long.arrival_ns < seconds * NANO].tolist()
    for queries in (1, 100, 5_000):
        counted = draw(queries=queries)
        assert counted.arrival_ns.tolist() == long.arrival_ns[:queries].tolist()
        assert counted.duration_ns > counted.arrival_ns[-1]


def test_very_uneven_gaps_still_make_a_whole_trace():
    trace = gamma_trace(rate=100, cv2=1e5, duration_ns=1_000 * NANO, seed=8)
    assert trace.duration_ns == 1_000 * NANO
    assert len(np.unique(trace.arrival_ns)) < len(trace)


def test_other_seeds_give_other_arrivals_and_the_same_seed_the_same():
    arrivals = [poisson_trace(rate=10, queries=100, seed=seed).arrival_ns.tolist() for seed in (1, 1, 2, -1)]
    assert arrivals[0] == arrivals[1]
    assert len({tuple(each) for each in arrivals}) == 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rate": 0, "cv2": 1}, "rate is 0; a number above 0"),
        ({"rate": float("nan"), "cv2": 1}, "rate is nan"),
        ({"rate": float("inf"), "cv2": 1}, "rate is inf"),
        ({"rate": "fast", "cv2": 1}, "rate is 'fast'"),
        ({"rate": True, "cv2": 1}, "rate is True"),
        ({"rate": 1, "cv2": 0}, "cv2 is 0; a number from 1e-9 to 1e9"),
        ({"rate": 1, "cv2": 1, "duration_ns": 0}, "duration_ns is 0; a whole number from 1"),
        ({"rate": 1, "cv2": 1, "duration_ns": 1.5}, r"duration_ns is 1\.5"),
        ({"rate": 1, "cv2": 1, "queries": 0}, "queries is 0; a whole number from 1 to 100,000,000"),
        ({"rate": 1, "cv2": 1, "queries": 5, "duration_ns": 5}, "either duration_ns or queries"),
        ({"rate": 1, "cv2": 1, "queries": None}, "either duration_ns or queries"),
        ({"rate": 1e9, "cv2": 1, "duration_ns": NANO}, "1,000,000,000 arrivals are too many"),
        ({"rate": 1e-9, "cv2": 1, "duration_ns": NANO}, "no arrival in 1 s"),
        ({"rate": 5e-324, "cv2": 1, "duration_ns": 1}, "no arrival in 1 ns"),
        ({"rate": 1e-9, "cv2": 1, "queries": 1_000}, "longer than 146 years"),
        ({"rate": 5e-324, "cv2": 1, "queries": 1}, "longer than 146 years"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_is_accepted(parameters, message):
    extent = {} if {"queries", "duration_ns"} & parameters.keys() else {"duration_ns": NANO}
    with pytest.raises(ValueError, match=message):
        gamma_trace(**parameters, **extent)


def test_the_extremes_of_time_are_accepted():
    assert even_trace(rate=1e-9, duration_ns=MAX_TIME_NS).arrival_ns.tolist()[:2] == [0, 10**18]
    assert len(even_trace(rate=1e9, queries=3)) == 3
    with pytest.raises(ValueError, match="longer than 146 years"):
        even_trace(rate=1e-300, queries=2)
