"""What a few steps of a curve say is never less than what the whole trace says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.calculus import OnlineCurve, Staircase, WholeTrace, max_arrivals, shortest_span

instants = st.lists(st.integers(0, 60), min_size=1, max_size=40).map(lambda each: np.sort(np.array(each)))
grids = st.sets(st.integers(1, 70), min_size=1, max_size=6).map(sorted)
groups, steps = st.integers(1, 6), st.integers(1, 15)


def of_grid(arrivals, windows):
    return Staircase.of_windows(windows, [max_arrivals(arrivals, window) for window in windows])


@settings(deadline=None)
@given(instants, groups, steps)
def test_lag_and_excess_of_a_trace_are_those_of_all_its_spans(arrivals, group, step):
    curve, spans = WholeTrace(arrivals), [shortest_span(arrivals, k) for k in range(arrivals.size)]
    assert curve.lag_ns(group, step) == max(
        k // group * step - span for k, span in enumerate(spans) if k % group == 0
    )
    assert curve.excess(group, step) == max(k + 1 - group * (span // step) for k, span in enumerate(spans))


@settings(deadline=None)
@given(instants, grids, groups, steps)
def test_steps_are_on_the_safe_side_and_more_steps_are_nowhere_worse(arrivals, windows, group, step):
    exact, known = WholeTrace(arrivals), of_grid(arrivals, windows)
    refined = known.refined()
    for window in range(150):
        assert exact.max_arrivals(window) <= refined.max_arrivals(window) <= known.max_arrivals(window)
    for k in range(arrivals.size):
        assert exact.span_ns(k) >= refined.span_ns(k) >= known.span_ns(k)
    assert exact.lag_ns(group, step) <= refined.lag_ns(group, step) <= known.lag_ns(group, step)
    assert exact.excess(group, step) <= refined.excess(group, step) <= known.excess(group, step)


@settings(deadline=None)
@given(instants, grids)
def test_on_its_own_windows_a_grid_is_exact(arrivals, windows):
    known = of_grid(arrivals, windows)
    assert [known.max_arrivals(window) for window in windows] == [max_arrivals(arrivals, each) for each in windows]


@settings(deadline=None)
@given(instants, groups, steps)
def test_all_counts_of_a_trace_say_all_that_its_arrivals_do(arrivals, group, step):
    if arrivals[0] < arrivals[-1]:
        known, exact = Staircase.of_trace(arrivals, range(1, arrivals.size)), WholeTrace(arrivals)
        assert [known.span_ns(k) for k in range(arrivals.size)] == [exact.span_ns(k) for k in range(arrivals.size)]
        if known.settled(group, step) is not None:
            assert known.lag_ns(group, step) == exact.lag_ns(group, step)


@settings(deadline=None)
@given(instants, grids, groups, steps)
def test_the_lag_on_a_grid_takes_each_count_with_the_window_before(arrivals, windows, group, step):
    counts = [max_arrivals(arrivals, window) for window in windows]
    known = of_grid(arrivals, windows)
    by_hand = [(k - 1) // group * step - before for k, before in zip(counts, [0, *windows[:-1]], strict=True)]
    assert known.lag_ns(group, step) <= max(by_hand) or known.settled(group, step) is None


def test_the_lag_is_infinite_only_where_the_windows_tell_of_no_catching_up():
    even = Staircase.of_windows([10, 20, 40], [1, 2, 4])  # one every 10 ns
    assert [even.lag_ns(1, step) for step in (9, 10, 11, 20, 21)] == [0, 0, math.inf, math.inf, math.inf]
    assert [even.lag_ns(2, step) for step in (19, 20, 21, 40)] == [0, 0, math.inf, math.inf]


def test_the_online_curve_is_a_staircase_at_any_time():
    online = OnlineCurve([10, 20, 40], horizon_ns=100)
    online.extend(np.array([0, 5, 30, 31, 32]))
    assert Staircase.of_windows(online.windows_ns, online.max_arrivals()) == Staircase((3, 5), (20, 40))


def test_no_arrival_counts_as_one():
    assert Staircase.of_windows([10, 20, 30], [0, 0, 2]) == Staircase((1, 2), (20, 30))


def test_spans_beyond_the_trace_are_endless_and_so_is_the_window_of_all():
    curve = WholeTrace(np.array([3, 5]))
    assert (curve.span_ns(1), curve.span_ns(2)) == (2, 2**62)
    assert (curve.most, curve.max_arrivals(2**62), curve.lag_ns(5, 100)) == (2, 2, 0)


def test_what_is_no_staircase_is_refused():
    for counts, spans in (((), ()), ((1, 2), (3,)), ((2, 1), (3, 4)), ((1, 2), (4, 4)), ((0, 1), (1, 2))):
        with pytest.raises(ValueError, match="must ascend from 1"):
            Staircase(counts, spans)
    with pytest.raises(ValueError, match="must ascend"):
        Staircase.of_windows([10, 20, 30], [3, 5, 3])
    with pytest.raises(ValueError, match="at least one arrival"):
        WholeTrace(np.empty(0, dtype=np.int64))
    with pytest.raises(ValueError, match="shorten the trace"):
        WholeTrace(np.arange(3)).lag_ns(1, 2**61)
