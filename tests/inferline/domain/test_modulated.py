"""Poisson processes with a changing rate, against their analytic laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from inferline.domain import markov_trace, ramp_trace, square_trace
from inferline.units import NANO

MINUTE = 60 * NANO


def counts_in(trace, window_ns: int) -> np.ndarray:
    windows = trace.duration_ns // window_ns
    return np.bincount(trace.arrival_ns // window_ns, minlength=windows)[:windows]


def is_poisson(count: int, expected: float) -> bool:
    return abs(count - expected) < 5 * np.sqrt(expected)


@pytest.mark.parametrize(("start", "end"), [(0, 400), (400, 0), (50, 350), (350, 50), (200, 200)])
def test_a_ramp_is_uniform_on_the_clock_of_expected_arrivals(start, end):
    trace = ramp_trace(start_rate=start, end_rate=end, duration_ns=100 * NANO, seed=1)
    assert is_poisson(len(trace), 100 * (start + end) / 2)
    t = trace.arrival_ns / trace.duration_ns
    share = (start * t + (end - start) * t * t / 2) / ((start + end) / 2)
    assert stats.kstest(share, "uniform").pvalue > 0.001


def test_the_counts_of_ramps_are_poisson():
    counts = [len(ramp_trace(start_rate=10, end_rate=30, duration_ns=NANO, seed=seed)) for seed in range(2_000)]
    assert abs(np.mean(counts) - 20) < 5 * np.sqrt(20 / 2_000)
    assert abs(np.var(counts) - 20) < 5 * 20 * np.sqrt(2 / 2_000)


@pytest.mark.parametrize("duty", [0.1, 0.5, 0.75])
def test_a_square_wave_is_high_at_the_beginning_of_each_period(duty):
    # The last period is cut after a fifth.
    trace = square_trace(low_rate=20, high_rate=300, period_ns=10 * NANO, duty=duty, duration_ns=502 * NANO, seed=2)
    at_s = trace.arrival_ns % (10 * NANO) / NANO
    high = at_s < 10 * duty
    assert is_poisson(int(high.sum()), 300 * (50 * 10 * duty + min(2, 10 * duty)))
    assert is_poisson(int((~high).sum()), 20 * (50 * 10 * (1 - duty) + max(0, 2 - 10 * duty)))
    whole = trace.arrival_ns < 500 * NANO
    assert stats.kstest(at_s[high & whole] / (10 * duty), "uniform").pvalue > 0.001
    assert stats.kstest((at_s[~high & whole] - 10 * duty) / (10 * (1 - duty)), "uniform").pvalue > 0.001


def test_a_square_wave_with_equal_rates_is_a_poisson_process():
    trace = square_trace(low_rate=50, high_rate=50, period_ns=NANO // 3, duration_ns=400 * NANO, seed=3)
    assert stats.kstest(np.diff(trace.arrival_ns) / NANO, stats.expon(scale=1 / 50).cdf).pvalue > 0.001


def test_the_dispersion_of_markov_counts_is_the_analytic_one():
    """Var / mean of the counts in t of a two-state process (Heffes and Lucantoni, 1986)."""
    low, high, stay_low, stay_high = 10.0, 110.0, 3.0, 1.0
    trace = markov_trace(
        rates=[low, high], stays_ns=[stay_low * NANO, stay_high * NANO], duration_ns=20_000 * NANO, seed=4
    )
    share_high = stay_high / (stay_low + stay_high)
    mean = low + (high - low) * share_high
    decay = 1 / stay_low + 1 / stay_high
    assert trace.mean_qps == pytest.approx(mean, rel=0.05)
    for window_s in (0.1, 1, 5):
        counts = counts_in(trace, round(window_s * NANO))
        memory = 1 - (1 - np.exp(-decay * window_s)) / (decay * window_s)
        expected = 1 + 2 * (high - low) ** 2 * share_high * (1 - share_high) / (mean * decay) * memory
        assert counts.var() / counts.mean() == pytest.approx(expected, rel=0.1)


def test_the_first_stay_is_exponential_and_is_spent_in_the_first_state():
    # The second state is silent and outlasts the trace: the last arrival is where the first stay ends.
    traces = [
        markov_trace(rates=[1_000, 0], stays_ns=[NANO, 10**9 * NANO], duration_ns=MINUTE, seed=seed)
        for seed in range(400)
    ]
    last_s = [trace.arrival_ns[-1] / NANO for trace in traces]
    assert stats.kstest(last_s, stats.expon.cdf).pvalue > 0.001


def test_states_follow_each_other_in_the_given_order():
    # Silent for an instant, busy for about a second, then silent beyond the end.
    trace = markov_trace(rates=[0, 1_000, 0], stays_ns=[1, NANO, 10**9 * NANO], duration_ns=MINUTE, seed=5)
    assert trace.arrival_ns[0] < 0.02 * NANO
    assert trace.arrival_ns[-1] < 20 * NANO


def test_only_what_arrives_within_the_duration_counts_against_the_limit():
    # A stay of 30 years at this rate has 10^11 arrivals.
    trace = markov_trace(rates=[100], stays_ns=[10**9 * NANO], duration_ns=10 * NANO, seed=5)
    assert is_poisson(len(trace), 1_000)


def test_one_state_is_a_poisson_process():
    trace = markov_trace(rates=[30], stays_ns=[NANO], duration_ns=1_000 * NANO, seed=6)
    assert stats.kstest(np.diff(trace.arrival_ns) / NANO, stats.expon(scale=1 / 30).cdf).pvalue > 0.001


@pytest.mark.parametrize(
    "draw",
    [
        lambda duration_ns: markov_trace(
            rates=[10, 0, 90], stays_ns=[NANO, NANO, NANO], duration_ns=duration_ns, seed=7
        ),
        lambda duration_ns: square_trace(
            low_rate=0, high_rate=90, period_ns=3 * NANO, duration_ns=duration_ns, seed=7
        ),
    ],
)
def test_a_longer_trace_keeps_its_beginning(draw):
    long = draw(10 * MINUTE)
    for seconds in (10, 77, 301):
        short = draw(seconds * NANO)
        assert short.arrival_ns.tolist() == long.arrival_ns[long.arrival_ns < seconds * NANO].tolist()


MARKOV = {"rates": [1, 2], "stays_ns": [NANO, NANO], "duration_ns": MINUTE}
RAMP = {"start_rate": 0, "end_rate": 5, "duration_ns": MINUTE}
SQUARE = {"low_rate": 0, "high_rate": 5, "period_ns": NANO, "duration_ns": MINUTE}


@pytest.mark.parametrize(
    ("draw", "parameters", "message"),
    [
        (markov_trace, MARKOV | {"rates": [1]}, "lists of one length"),
        (markov_trace, MARKOV | {"rates": [], "stays_ns": []}, "lists of one length"),
        (markov_trace, MARKOV | {"rates": "12"}, "lists of one length"),
        (markov_trace, MARKOV | {"rates": [1, -2]}, r"rates\[1\] is -2; a number 0 or more"),
        (markov_trace, MARKOV | {"stays_ns": [0, 1]}, r"stays_ns\[0\] is 0; a number above 0"),
        (markov_trace, MARKOV | {"rates": [0, 0]}, "no arrival in 60 s"),
        (markov_trace, MARKOV | {"stays_ns": [1, 1]}, "longer stays are accepted"),
        (markov_trace, MARKOV | {"rates": [1e9, 1e9]}, "are too many; at most 100,000,000"),
        (ramp_trace, RAMP | {"start_rate": -1}, "start_rate is -1; a number 0 or more"),
        (ramp_trace, RAMP | {"end_rate": 0}, "no arrival in 60 s"),
        (ramp_trace, RAMP | {"end_rate": 1e12}, "are too many"),
        (ramp_trace, RAMP | {"duration_ns": -5}, "duration_ns is -5"),
        (square_trace, SQUARE | {"low_rate": 6}, "low_rate 6 is above high_rate 5"),
        (square_trace, SQUARE | {"high_rate": 0}, "no arrival in 60 s"),
        (square_trace, SQUARE | {"duty": 1.0}, r"duty is 1\.0; a share of the period above 0 and below 1"),
        (square_trace, SQUARE | {"duty": 0}, "duty is 0"),
        (square_trace, SQUARE | {"period_ns": 2}, "period_ns is 2; for this duration, a number from 12,000"),
        (square_trace, SQUARE | {"period_ns": 2.5}, "a whole number from 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_is_accepted(draw, parameters, message):
    with pytest.raises(ValueError, match=message):
        draw(**parameters)
