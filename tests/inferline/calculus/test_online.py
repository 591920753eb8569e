"""The online curve against the curve of a whole trace, arrival by arrival."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.calculus import OnlineCurve, max_arrivals
from inferline.domain import gamma_trace
from inferline.units import MAX_TIME_NS, NANO

traces = st.lists(st.integers(0, 9), max_size=60).map(lambda gaps: np.cumsum(np.maximum(0, np.array(gaps) - 4)))


@st.composite
def grids(draw):
    """Windows, ascending, and a horizon that is at least the longest."""
    windows = sorted(draw(st.sets(st.integers(1, 40), min_size=1, max_size=5)))
    return windows, windows[-1] + draw(st.integers(0, 40))


def offline(arrivals, windows, horizon, now):
    """The most arrivals per window, and those in the last window, of what lies in (now - horizon, now]."""
    within = arrivals[(arrivals > now - horizon) & (arrivals <= now)].astype(np.int64)
    most = [max_arrivals(within, window) for window in windows]
    return most, [int((within > now - window).sum()) for window in windows]


@settings(deadline=None)
@given(traces, grids())
def test_after_every_arrival_it_is_the_curve_of_the_horizon(arrivals, grid):
    windows, horizon = grid
    curve = OnlineCurve(windows, horizon)
    for k, arrival in enumerate(arrivals.tolist()):
        curve.add(arrival)
        most, last = offline(arrivals[: k + 1], windows, horizon, arrival)
        assert (curve.max_arrivals().tolist(), curve.current().tolist()) == (most, last)


@settings(deadline=None)
@given(traces, grids(), st.lists(st.integers(0, 30), max_size=8), st.integers(0, 60))
def test_in_bulk_or_one_by_one_and_looked_at_later(arrivals, grid, cuts, pause):
    windows, horizon = grid
    curve = OnlineCurve(windows, horizon)
    for place, chunk in enumerate(np.split(arrivals.astype(np.int64), sorted(cuts))):
        if place % 2:
            curve.extend(chunk)
        else:
            for arrival in chunk.tolist():
                curve.add(arrival)
    for now in range(curve.last_ns + pause, curve.last_ns + pause + 3):
        most, last = offline(arrivals, windows, horizon, now)
        assert (curve.max_arrivals(now).tolist(), curve.current(now).tolist()) == (most, last)


def test_a_timeline():
    curve = OnlineCurve([10], horizon_ns=30)
    log = []
    for arrival in (0, 3, 9, 10, 25, 29, 30, 33, 60):
        curve.add(arrival)
        log.append((arrival, curve.max_arrivals().item(), curve.current().item()))
    assert log == [
        (0, 1, 1),
        (3, 2, 2),
        (9, 3, 3),
        (10, 3, 3),  # [0, 10) is over with 3; [3, 13) has 3
        (25, 3, 1),
        (29, 3, 2),
        (30, 3, 3),  # 0 is forgotten; [3, 13) is not
        (33, 4, 4),  # 25, 29, 30, 33
        (60, 1, 1),  # 33 is still there, but not in one window with it
    ]


def test_a_long_bursty_trace_in_rings_that_had_to_grow():
    arrivals = gamma_trace(rate=400, cv2=16, queries=60_000, seed=5).arrival_ns
    windows = [NANO // 50 * 2**power for power in range(10)]
    curve = OnlineCurve(windows, 20 * NANO)
    for begin in range(0, arrivals.size, 7_000):
        chunk = arrivals[begin : begin + 7_000]
        curve.extend(chunk)
        most, last = offline(arrivals[: begin + chunk.size], windows, 20 * NANO, int(chunk[-1]))
        assert curve.max_arrivals().tolist() == most
        assert curve.current().tolist() == last


def test_windows_that_get_emptier_are_all_remembered():
    # Each window that ends is emptier than those before, so that none of them may be dropped.
    arrivals = np.cumsum(np.arange(1500, dtype=np.int64))
    horizon = int(arrivals[-1]) - 100_000
    curve = OnlineCurve([20_000, 40_000], horizon)
    curve.extend(arrivals)
    for now in range(curve.last_ns, curve.last_ns + horizon, horizon // 50):
        most, last = offline(arrivals, [20_000, 40_000], horizon, now)
        assert (curve.max_arrivals(now).tolist(), curve.current(now).tolist()) == (most, last)


def test_looking_changes_nothing():
    curve, other = OnlineCurve([5, 20], 40), OnlineCurve([5, 20], 40)
    for arrival in (0, 2, 4, 9, 30):
        curve.max_arrivals(arrival)
        curve.add(arrival)
        curve.max_arrivals(arrival + 1000)
        other.add(arrival)
    assert curve.max_arrivals().tolist() == other.max_arrivals().tolist() == [3, 4]


def test_nothing_has_arrived_yet():
    curve = OnlineCurve([1, 2])
    curve.extend(np.empty(0, dtype=np.int64))
    assert (curve.max_arrivals(5).tolist(), curve.current(5).tolist()) == ([0, 0], [0, 0])


def test_the_largest_times_do_not_wrap_around():
    curve = OnlineCurve([1, MAX_TIME_NS], MAX_TIME_NS)
    curve.extend(np.array([0, MAX_TIME_NS - 1, MAX_TIME_NS]))
    assert curve.max_arrivals().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("windows", "horizon", "message"),
    [
        ([], 10, "one or more lengths"),
        ([3, 2], 10, "ascending"),
        ([2, 2], 10, "ascending"),
        ([0, 2], 10, "from 0 to 2"),
        ([2, 11], 10, "1 to the horizon 10"),
        ([1], 0, "horizon_ns 0"),
    ],
)
def test_windows_out_of_range_are_refused(windows, horizon, message):
    with pytest.raises(ValueError, match=message):
        OnlineCurve(windows, horizon)


def test_arrivals_out_of_order_are_refused_and_leave_no_trace():
    curve = OnlineCurve([10])
    curve.add(5)
    with pytest.raises(ValueError, match="from the last one, 5"):
        curve.add(4)
    for wrong in ([4, 6], [6, 8, 7], [6, MAX_TIME_NS + 1]):
        with pytest.raises(ValueError, match="must not decrease, from the last arrival 5"):
            curve.extend(np.array(wrong))
    with pytest.raises(ValueError, match="int64"):
        curve.extend(np.array([6.0]))
    with pytest.raises(ValueError, match="now_ns 4"):
        curve.max_arrivals(4)
    assert curve.max_arrivals(6).tolist() == [1]


def test_importing_the_package_does_not_import_numba():
    code = "import sys, inferline.calculus; print('numba' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    )
