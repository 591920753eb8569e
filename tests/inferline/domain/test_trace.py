"""Traces: what is refused, and how they are cut and scaled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import Trace, even_trace
from inferline.units import MAX_TIME_NS, NANO


def trace(*arrivals: int, duration_ns: int = 100) -> Trace:
    return Trace(np.array(arrivals, dtype=np.int64), duration_ns)


def test_length_and_rates():
    busy = trace(0, NANO - 1, NANO, NANO, NANO + 5, 4 * NANO, duration_ns=5 * NANO)
    assert (len(busy), busy.mean_qps, busy.peak_qps()) == (6, 1.2, 3)


def test_the_peak_of_a_trace_of_years_is_that_of_its_busiest_second():
    year = 365 * 86_400 * NANO
    assert trace(0, 5, year, 3 * year, duration_ns=3 * year).peak_qps() == 2


@pytest.mark.parametrize(
    ("arrivals", "duration_ns", "message"),
    [
        ([], 5, "at least one arrival"),
        ([[1, 2]], 5, "at least one arrival"),
        ([2, 1], 5, "must not decrease"),
        ([2**63 - 1, -(2**63)], MAX_TIME_NS, "must not decrease"),
        ([-1, 3], 5, r"lie in \[0, duration\]"),
        ([1, 6], 5, r"lie in \[0, duration\]"),
        ([1], MAX_TIME_NS + 1, "at most 2"),
    ],
)
def test_what_is_no_trace_is_refused(arrivals, duration_ns, message):
    with pytest.raises(ValueError, match=message):
        Trace(np.array(arrivals, dtype=np.int64), duration_ns)


def test_arrivals_are_a_read_only_copy():
    arrivals = np.array([1, 2])
    made = Trace(arrivals, 5)
    arrivals[0] = 9
    assert made.arrival_ns.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        made.arrival_ns[0] = 0


def test_first_and_rest_cut_the_duration_and_an_arrival_at_the_cut_is_in_the_rest():
    whole = trace(0, 24, 25, 25, 99)
    first, rest = whole.first(0.25), whole.rest(0.25)
    assert (first.arrival_ns.tolist(), first.duration_ns) == ([0, 24], 25)
    assert (rest.arrival_ns.tolist(), rest.duration_ns) == ([0, 0, 74], 75)
    assert whole.first(1.0) is whole


def test_the_cut_is_where_the_decimal_share_says():
    # 0.29 * 100 is 28.999999999999996.
    first = even_trace(rate=1, duration_ns=100 * NANO).first(0.29)
    assert (first.duration_ns, len(first)) == (29 * NANO, 29)


@settings(deadline=None)
@given(st.lists(st.integers(0, 1_000), min_size=2, max_size=30).map(sorted), st.floats(0.01, 0.99))
def test_first_and_rest_are_the_whole(arrivals, share):
    whole = trace(*arrivals, duration_ns=1_001)
    parts, durations = [], []
    for part in (whole.first, whole.rest):
        try:
            piece = part(share)
        except ValueError:
            continue
        parts += (piece.arrival_ns + sum(durations)).tolist()
        durations.append(piece.duration_ns)
    if len(durations) == 2:
        assert parts == arrivals
        assert sum(durations) == 1_001


def test_shares_without_a_part_or_without_an_arrival_are_refused():
    late = trace(60, 70)
    for share in (0, -0.5, 1.5, float("nan")):
        for part in (late.first, late.rest):
            with pytest.raises(ValueError, match=r"outside \(0, 1\]"):
                part(share)
    with pytest.raises(ValueError, match="at least one arrival"):
        late.first(0.5)
    with pytest.raises(ValueError, match="at least one arrival"):
        late.rest(0.9)


def test_scaling_divides_the_times():
    faster = trace(0, 5, 15, 25, 100).scaled(10)
    # Half to even: 0.5 is 0, 1.5 is 2, 2.5 is 2.
    assert (faster.arrival_ns.tolist(), faster.duration_ns) == ([0, 0, 2, 2, 10], 10)
    slower = trace(1, 2).scaled(0.25)
    assert (slower.arrival_ns.tolist(), slower.duration_ns) == ([4, 8], 400)
    assert even_trace(rate=10, duration_ns=60 * NANO).scaled(2.5).mean_qps == pytest.approx(25)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**12), min_size=1).map(sorted), st.floats(1e-3, 1e3))
def test_a_scaled_trace_is_a_trace_of_as_many_queries(arrivals, factor):
    scaled = trace(*arrivals, duration_ns=arrivals[-1]).scaled(factor)
    assert len(scaled) == len(arrivals)
    assert scaled.arrival_ns == pytest.approx(np.array(arrivals) / factor, abs=0.5001)


def test_scales_out_of_range_are_refused():
    for factor in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not a finite number above 0"):
            trace(1).scaled(factor)
    for factor in (1e-18, 1e-300):
        with pytest.raises(ValueError, match="longer than 146 years"):
            trace(1).scaled(factor)
