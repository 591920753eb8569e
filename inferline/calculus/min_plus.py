"""Min-plus algebra on piecewise-linear curves, exact: convolution, deconvolution, and the two deviations.

Definitions follow Le Boudec & Thiran, Network Calculus, 2001, section 3.1; section 1.4 there says what deviations
bound. Each pair of pieces is convolved by itself, which gives at most two pieces; the result is the envelope of them
all, as in Bouillard & Thierry, An algorithmic toolbox for network calculus, Discrete Event Dynamic Systems 18(1),
2008.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from inferline.calculus.curves import Curve, Extent, Number, Part, Piece, lowest

__all__ = ["convolve", "deconvolve", "horizontal_deviation", "vertical_deviation"]


def convolve(one: Curve, other: Curve) -> Curve:
    """Return the min-plus convolution, inf over 0 <= s <= t of f(s) + g(t - s).

    Two servers in a row with these service curves have it together; arrivals within both curves are within it.

    Notes
    -----
    O(p^2 log p) rational operations, where p is the number of pairs of pieces.

    Examples
    --------
    >>> from inferline.calculus import rate_latency
    >>> convolve(rate_latency(3, 10), rate_latency(2, 5)) == rate_latency(2, 15)
    True
    """
    parts = [Part(start, end, level + other.origin, slope) for start, end, level, slope in one.parts()]
    parts += [Part(start, end, level + one.origin, slope) for start, end, level, slope in other.parts()]
    for f in one.parts():
        for g in other.parts():
            parts += _convolved(f, g)
    return Curve(one.origin + other.origin, lowest(parts))


def deconvolve(one: Curve, other: Curve) -> Curve:
    """Return the min-plus deconvolution, sup over u >= 0 of f(t + u) - g(u).

    The arrival curve of what leaves a server with service curve g, when what enters has arrival curve f.

    Raises
    ------
    ValueError
        When f grows faster than g in the long run, so that the supremum is infinite.

    Examples
    --------
    >>> from inferline.calculus import token_bucket, rate_latency
    >>> deconvolve(token_bucket(1, 10), rate_latency(2, 5)) == Curve(15, [(0, 15, 1)])
    True
    """
    if one.rate > other.rate:
        raise ValueError(f"the first curve grows by {one.rate}, the second by {other.rate}: the supremum is infinite")
    parts = [Part(start, end, level - other.origin, slope) for start, end, level, slope in one.parts()]
    origin = one.origin - other.origin
    for f in one.parts():
        for g in other.parts():
            for start, end, line in _deconvolved(f, g):
                if start < 0 <= end:
                    origin = max(origin, line.at(Fraction(0)))
                if end > 0:
                    begin = max(Fraction(0), start)
                    parts.append(Part(Fraction(begin), end, line.at(Fraction(begin)), line.slope))
    # The upper envelope is the lower one upside down.
    below = lowest([Part(start, end, -level, -slope) for start, end, level, slope in parts])
    return Curve(origin, [Piece(start, -level, -slope) for start, level, slope in below])


def horizontal_deviation(arrival: Curve, service: Curve) -> Extent:
    """Return sup over t of the least d with f(t) <= g(t + d): the bound on delay, first in, first out.

    `math.inf` when arrivals grow faster than the service, or above all of it.

    Examples
    --------
    >>> from inferline.calculus import token_bucket, rate_latency
    >>> horizontal_deviation(token_bucket(1, 10), rate_latency(2, 5))
    Fraction(10, 1)
    """
    if arrival.rate > service.rate:
        return math.inf
    # At a level y, arrivals reach y and pass it; between the levels of corners both times are linear in y.
    furthest: Extent = Fraction(0)
    for level in {*_levels(arrival), *_levels(service)}:
        for time_of in (_reaches, _passes):
            arrived = time_of(arrival, level)
            if arrived != math.inf:
                furthest = max(furthest, time_of(service, level) - arrived)
    return furthest


def vertical_deviation(arrival: Curve, service: Curve) -> Extent:
    """Return sup over t of f(t) - g(t): the bound on the backlog.

    Examples
    --------
    >>> from inferline.calculus import token_bucket, rate_latency
    >>> vertical_deviation(token_bucket(1, 10), rate_latency(2, 5))
    Fraction(15, 1)
    """
    if arrival.rate > service.rate:
        return math.inf
    times = {piece.start for curve in (arrival, service) for piece in curve.pieces}
    return max(max(arrival(time) - service(time), arrival.after(time) - service.after(time)) for time in times)


def _convolved(f: Part, g: Part) -> Iterator[Part]:
    """Yield the convolution of two parts: their lines one after the other, the flatter one first."""
    flat, steep = (f, g) if f.slope <= g.slope else (g, f)
    start, level = f.start + g.start, f.level + g.level
    middle: Extent = start + (flat.end - flat.start)
    yield Part(start, middle, level, flat.slope)
    if middle != math.inf:
        corner = Fraction(middle)
        yield Part(corner, corner + (steep.end - steep.start), level + flat.slope * (corner - start), steep.slope)


def _deconvolved(f: Part, g: Part) -> Iterator[tuple[Extent, Extent, Part]]:
    """Yield the deconvolution of two parts: bounds (start, end] of time, below 0 too, and a line to read there.

    The supremum over u in (g.start, g.end] with t + u in (f.start, f.end] is at one end of what u may be: the right
    one when f is as steep as g, else the left one. So the lines follow each other, the steeper one first.
    """
    first, end = f.start - g.end, f.end - g.start
    if f.slope < g.slope or f.end == g.end == math.inf:
        corner = f.start - g.start
        yield first, corner, Part(corner, corner, f.level - g.level, g.slope)
        yield corner, end, Part(corner, corner, f.level - g.level, f.slope)
        return
    # One of the two ends is finite; where both are, the lines meet at their difference.
    if g.end == math.inf:
        corner = Fraction(f.end) - g.start
        yield first, corner, Part(corner, corner, f.at(Fraction(f.end)) - g.level, g.slope)
        return
    last = Fraction(g.end)
    middle = f.end - last
    corner = f.start - last
    yield first, middle, Part(corner, corner, f.level - g.at(last), f.slope)
    if middle != math.inf:
        corner = Fraction(middle)
        yield middle, end, Part(corner, corner, f.at(Fraction(f.end)) - g.at(last), g.slope)


def _levels(curve: Curve) -> Iterator[Fraction]:
    """Yield the levels of all corners."""
    yield curve.origin
    for part in curve.parts():
        yield part.level
        if part.end != math.inf:
            yield part.at(Fraction(part.end))


def _reaches(curve: Curve, level: Number) -> Extent:
    """Return the infimum of the times at which the curve is at the level or above."""
    if curve.origin >= level:
        return Fraction(0)
    for part in curve.parts():
        if part.level >= level:
            return part.start
        if part.slope > 0 and part.start + (level - part.level) / part.slope <= part.end:
            return part.start + (level - part.level) / part.slope
    return math.inf


def _passes(curve: Curve, level: Number) -> Extent:
    """Return the infimum of the times at which the curve is above the level."""
    if curve.origin > level:
        return Fraction(0)
    for part in curve.parts():
        if part.level > level:
            return part.start
        if part.slope > 0 and part.start + (level - part.level) / part.slope < part.end:
            return part.start + (level - part.level) / part.slope
    return math.inf
