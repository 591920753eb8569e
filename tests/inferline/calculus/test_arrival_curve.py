"""Arrival curves against a count of every window, and the laws that they obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.calculus import envelope_windows_ns, max_arrivals, shortest_span, traffic_envelope
from inferline.domain import Trace, even_trace, gamma_trace
from inferline.units import MAX_TIME_NS, NANO

instants = st.lists(st.integers(0, 60), min_size=1, max_size=40).map(lambda each: np.sort(np.array(each)))
windows = st.integers(0, 70)


def fullest(arrivals: np.ndarray, window_ns: int) -> int:
    """Count the arrivals in every half-open window that begins at a whole nanosecond."""
    return max(int(((arrivals >= t) & (arrivals < t + window_ns)).sum()) for t in range(-1, 62))


@settings(deadline=None)
@given(instants, windows)
def test_the_curve_is_the_fullest_of_all_windows(arrivals, window_ns):
    assert max_arrivals(arrivals, window_ns) == fullest(arrivals, window_ns)


@settings(deadline=None)
@given(instants, windows, windows)
def test_the_curve_is_subadditive_and_does_not_decrease(arrivals, one, other):
    together = max_arrivals(arrivals, one + other)
    assert together <= max_arrivals(arrivals, one) + max_arrivals(arrivals, other)
    assert together >= max(max_arrivals(arrivals, one), max_arrivals(arrivals, other))


@settings(deadline=None)
@given(instants)
def test_the_two_staircases_are_dual(arrivals):
    spans = [shortest_span(arrivals, k) for k in range(arrivals.size)]
    assert spans == sorted(spans)
    for k, span in enumerate(spans):
        assert max_arrivals(arrivals, span) <= k < max_arrivals(arrivals, span + 1)


@settings(deadline=None)
@given(instants)
def test_the_shortest_span_is_that_of_some_consecutive_arrivals(arrivals):
    for k in range(arrivals.size):
        assert shortest_span(arrivals, k) == min(arrivals[i + k] - arrivals[i] for i in range(arrivals.size - k))


def test_agrees_with_searching_each_window_on_a_long_bursty_trace():
    arrivals = gamma_trace(rate=200, cv2=16, queries=50_000, seed=3).arrival_ns
    for window_ns in (1, 1_000, NANO // 7, NANO, 60 * NANO, 10_000 * NANO):
        ends = np.searchsorted(arrivals, arrivals + window_ns)
        assert max_arrivals(arrivals, window_ns) == (ends - np.arange(arrivals.size)).max()


def test_a_window_is_open_at_its_end():
    arrivals = np.array([5, 15])
    assert [max_arrivals(arrivals, window_ns) for window_ns in (9, 10, 11)] == [1, 1, 2]


def test_simultaneous_arrivals_fit_in_the_shortest_window_but_not_in_none():
    arrivals = np.array([7, 7, 7, 9])
    assert [max_arrivals(arrivals, window_ns) for window_ns in (0, 1, 2, 3)] == [0, 3, 3, 4]
    assert [shortest_span(arrivals, k) for k in range(4)] == [0, 0, 0, 2]


def test_the_largest_times_do_not_wrap_around():
    arrivals = np.array([0, MAX_TIME_NS])
    assert max_arrivals(arrivals, MAX_TIME_NS) == 1
    assert max_arrivals(arrivals, MAX_TIME_NS + 1) == 2


def test_nothing_arrives_in_an_empty_trace():
    assert max_arrivals(np.empty(0, dtype=np.int64), NANO) == 0


def test_windows_and_counts_out_of_range_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        max_arrivals(np.array([1]), -1)
    for k in (-1, 2):
        with pytest.raises(ValueError, match=r"k in \[0, 2\)"):
            shortest_span(np.array([1, 2]), k)
    with pytest.raises(ValueError, match="first_window_ns is 0"):
        envelope_windows_ns(0)


@pytest.mark.parametrize(
    ("first_s", "expected_s"),
    [
        (7, [7, 14, 28, 56, 60]),
        (15, [15, 30, 60]),
        (30, [30, 60]),
        (59, [59, 60]),
        (60, [60]),
        (61, [61]),
    ],
)
def test_envelope_windows_double_below_a_minute(first_s, expected_s):
    assert [window_ns / NANO for window_ns in envelope_windows_ns(first_s * NANO)] == expected_s


def test_the_envelope_of_even_arrivals_is_rate_times_window_rounded_up():
    envelope = traffic_envelope(even_trace(rate=10, duration_ns=100 * NANO), 250_000_000)
    assert envelope.window_s == (0.25, 0.5, 1, 2, 4, 8, 16, 32, 60)
    assert envelope.max_queries == (3, 5, 10, 20, 40, 80, 160, 320, 600)


def test_windows_longer_than_the_trace_hold_all_of_it():
    assert traffic_envelope(Trace(np.array([3, 4]), NANO), 45 * NANO).max_queries == (2, 2)
