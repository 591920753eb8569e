"""The algebra of curves: its laws, and every operation against its definition, exactly."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inferline.calculus import (
    Curve,
    Staircase,
    convolve,
    deconvolve,
    from_staircase,
    horizontal_deviation,
    minimum,
    rate_latency,
    stairs,
    token_bucket,
    vertical_deviation,
)

zero, small = st.just(0), st.integers(0, 4)
rates = st.sampled_from([0, Fraction(1, 2), 1, 2, 3])
HALVES = [Fraction(k, 2) for k in range(41)]


@st.composite
def curves(draw, origin=zero, most=3):
    """A curve with jumps, flats and slopes in any order."""
    begin = draw(origin)
    pieces, start, level = [], 0, Fraction(begin)
    for _ in range(draw(st.integers(1, most))):
        level += draw(small)
        slope, length = draw(rates), draw(st.integers(1, 4))
        pieces.append((start, level, slope))
        start, level = start + length, level + slope * length
    return Curve(begin, pieces)


def least(each):
    result = each[0]
    for other in each[1:]:
        result = minimum(result, other)
    return result


concave = st.lists(st.builds(token_bucket, rates, small), min_size=1, max_size=3).map(least)


def starts(curve):
    return [piece.start for piece in curve.pieces]


def convolved_at(f, g, time):
    """The infimum is at a corner of f, or where g has one: both are continuous from the left."""
    splits = {Fraction(0), time, *starts(f), *(time - start for start in starts(g))}
    return min(f(split) + g(time - split) for split in splits if 0 <= split <= time)


def deconvolved_at(f, g, time):
    """The supremum is at a corner, at it or just after it."""
    splits = {u for u in (Fraction(0), *starts(g), *(start - time for start in starts(f))) if u >= 0}
    return max(max(f(time + u) - g(u), f.after(time + u) - g.after(u)) for u in splits)


def delay_at(f, g, time, after):
    """The least d with f(t) <= g(t + d); or that for times just after t, when f may be rising."""
    level = f.after(time) if after else f(time)
    rising = after and next(piece.slope for piece in reversed(f.pieces) if piece.start <= time) > 0

    def enough(height):
        return height > level if rising else height >= level

    ends = [Fraction(0), *(start - time for start in starts(g) if start > time)]
    for begin, end in zip(ends, [*ends[1:], None], strict=True):
        if enough(g(time + begin)) or enough(low := g.after(time + begin)):
            return begin
        slope = (g(time + end) - low) / (end - begin) if end is not None else g.rate
        if slope > 0 and (end is None or enough(low + slope * (end - begin))):
            return begin + (level - low) / slope
    return math.inf


@settings(deadline=None)
@given(curves(origin=small), curves(origin=small))
def test_sums_and_minima_are_pointwise(f, g):
    total, least = f + g, minimum(f, g)
    for time in HALVES:
        assert total(time) == f(time) + g(time)
        assert least(time) == min(f(time), g(time))
        assert least.after(time) == min(f.after(time), g.after(time))


@settings(deadline=None)
@given(curves(origin=small), curves(origin=small))
def test_convolution_is_the_least_over_all_ways_to_split_the_time(f, g):
    both = convolve(f, g)
    for time in HALVES:
        assert both(time) == convolved_at(f, g, time)


@settings(deadline=None)
@given(curves(), curves())
def test_deconvolution_is_the_most_over_all_delays(f, g):
    assume(f.rate <= g.rate)
    output = deconvolve(f, g)
    for time in HALVES:
        assert output(time) == deconvolved_at(f, g, time)


@settings(deadline=None)
@given(curves(), curves(), curves())
def test_convolution_commutes_associates_and_distributes_over_the_minimum(f, g, h):
    assert convolve(f, g) == convolve(g, f)
    assert convolve(convolve(f, g), h) == convolve(f, convolve(g, h))
    assert convolve(minimum(f, g), h) == minimum(convolve(f, h), convolve(g, h))


@settings(deadline=None)
@given(curves(), curves(), curves())
def test_convolution_is_monotone_and_below_both(f, g, h):
    lower = minimum(f, g)
    one, other, below = convolve(lower, h), convolve(f, h), convolve(f, g)
    for time in HALVES:
        assert one(time) <= other(time)
        assert below(time) <= lower(time)


@settings(deadline=None)
@given(concave, concave)
def test_convolution_of_concave_curves_through_the_origin_is_their_minimum(f, g):
    assert convolve(f, g) == minimum(f, g)


@settings(deadline=None)
@given(rates, small, rates, small)
def test_servers_in_a_row_have_the_lower_rate_and_both_latencies(rate, latency, other_rate, other_latency):
    row = convolve(rate_latency(rate, latency), rate_latency(other_rate, other_latency))
    assert row == rate_latency(min(rate, other_rate), latency + other_latency)


@settings(deadline=None)
@given(curves(), curves(), curves())
def test_deconvolution_is_dual_to_convolution(f, g, h):
    # f / g <= h exactly when f <= h * g (Le Boudec & Thiran, theorem on the duality of the two).
    assume(f.rate <= g.rate)
    output, onwards = deconvolve(f, g), convolve(h, g)
    corners = [time for curve in (f, g, h, output, onwards) for time in starts(curve)]
    times = sorted({*HALVES, *corners})
    below = all(output(time) <= h(time) and output.after(time) <= h.after(time) for time in times)
    other = all(f(time) <= onwards(time) and f.after(time) <= onwards.after(time) for time in times)
    assert (below and output.rate <= h.rate) == (other and f.rate <= onwards.rate)


@settings(deadline=None)
@given(curves(), curves(), curves())
def test_deconvolving_twice_is_deconvolving_by_both(f, g, h):
    assume(f.rate <= min(g.rate, h.rate))
    assert deconvolve(deconvolve(f, g), h) == deconvolve(f, convolve(g, h))


@settings(deadline=None)
@given(curves(origin=small), curves())
def test_deviations_are_the_longest_distances(f, g):
    assume(f.rate <= g.rate)
    times = sorted({*HALVES, *starts(f), *starts(g)})
    vertical, horizontal = vertical_deviation(f, g), horizontal_deviation(f, g)
    assert vertical == max(max(f(time) - g(time), f.after(time) - g.after(time)) for time in times)
    delays = [delay_at(f, g, time, after) for time in times for after in (False, True)]
    assert horizontal >= max(delays)
    # It is attained where arrivals cross a level at which the service has a corner, which is not always on the grid.
    if horizontal != math.inf:
        levels = {g(start) for start in starts(g)} | {g.after(start) for start in starts(g)}
        crossings = [time for level in levels for time in crossed(f, level)]
        assert horizontal == max([*delays, *(delay_at(f, g, time, after) for time in crossings for after in (0, 1))])


def crossed(curve, level):
    """Times at which a rising piece is at a level."""
    for piece, following in zip(curve.pieces, [*starts(curve)[1:], math.inf], strict=True):
        if piece.slope:
            time = piece.start + (level - piece.level) / piece.slope
            if piece.start <= time <= following:
                yield time


def test_the_textbook_bounds():
    arrival, service = token_bucket(2, 6), rate_latency(3, 4)
    assert horizontal_deviation(arrival, service) == 4 + Fraction(6, 3)
    assert vertical_deviation(arrival, service) == 6 + 2 * 4
    assert deconvolve(arrival, service) == Curve(14, [(0, 14, 2)])


def test_faster_arrivals_than_service_have_no_bound():
    arrival, service = token_bucket(2, 0), rate_latency(1, 0)
    assert horizontal_deviation(arrival, service) == vertical_deviation(arrival, service) == math.inf
    with pytest.raises(ValueError, match="grows by 2, the second by 1"):
        deconvolve(arrival, service)
    assert horizontal_deviation(token_bucket(0, 3), rate_latency(0, 0)) == math.inf


def test_stairs_rise_just_after_each_period_and_end_in_a_line_on_one_side():
    above, below = stairs(5, 10, 3, tail="above", delay=2), stairs(5, 10, 3, tail="below", delay=2)
    exact = [5 * math.ceil((time - 2) / 10) if time > 2 else 0 for time in range(80)]
    assert [above(time) for time in range(33)] == [below(time) for time in range(33)] == exact[:33]
    assert all(below(time) <= exact[time] <= above(time) for time in range(80))
    assert all(below(32 + 10 * k) == exact[32 + 10 * k] == above.after(22 + 10 * k) for k in range(2, 5))


def test_the_curve_of_a_staircase_is_its_own_and_stays_above_what_it_implies():
    known = Staircase((2, 3, 7), (4, 10, 15))
    curve = from_staircase(known)
    assert [curve(time) for time in range(16)] == [known.max_arrivals(time) for time in range(16)]
    assert all(known.max_arrivals(time) <= curve(time) <= known.max_arrivals(time) + 7 for time in range(100))


def test_pieces_in_one_line_are_one():
    assert Curve(0, [(0, 1, 2), (3, 7, 2), (4, 9, 0)]) == Curve(0, [(0, 1, 2), (4, 9, 0)])


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "must start at 0"),
        ([(1, 0, 0)], "must start at 0"),
        ([(0, 0, 0), (0, 1, 0)], "must ascend"),
        ([(0, 1, 1), (5, 5, 0)], "decreases at 5"),
        ([(0, 1, -1)], "decreases at 0"),
        ([(0, -1, 0)], "decreases at 0"),
    ],
)
def test_what_is_no_curve_is_refused(pieces, message):
    with pytest.raises(ValueError, match=message):
        Curve(0, pieces)
