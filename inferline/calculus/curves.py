"""Piecewise-linear curves in exact rationals, and the named ones.

A curve is a function of time that does not decrease, continuous from the left, with finitely many pieces of which
the last goes on for ever. Arrival curves are continuous from the left because their windows are half-open; a service
curve that is not may be made so, on the safe side, by lowering it at its jumps. Sums, minima, min-plus convolutions
and deconvolutions of such curves are such curves (`inferline.calculus.min_plus`).

Definitions follow Le Boudec & Thiran, Network Calculus, 2001: section 1.2 for arrival curves, 1.3 for service curves.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal, NamedTuple

from inferline.calculus.staircase import Staircase

__all__ = [
    "Curve",
    "Extent",
    "Number",
    "Part",
    "Piece",
    "from_staircase",
    "lowest",
    "minimum",
    "rate_latency",
    "stairs",
    "token_bucket",
]

Number = int | Fraction
"""An exact number; curves keep fractions."""

Extent = Fraction | float
"""A fraction, or an infinity: an end of a piece, or a deviation."""


class Piece(NamedTuple):
    """The line level + slope (t - start), from just after ``start`` up to and with the start of the next piece."""

    start: Fraction
    level: Fraction
    slope: Fraction


class Part(NamedTuple):
    """A line on (start, end], with its level just after the start."""

    start: Fraction
    end: Extent
    level: Fraction
    slope: Fraction

    def at(self, time: Fraction) -> Fraction:
        """Return the level of the line at a time."""
        return self.level + self.slope * (time - self.start)


@dataclass(frozen=True, slots=True, init=False)
class Curve:
    """A curve: equal curves compare equal, since pieces that lie in one line are joined.

    Parameters
    ----------
    origin
        f(0).
    pieces
        (start, level just after it, slope), in order; the first starts at 0.

    Raises
    ------
    ValueError
        When the first piece does not start at 0, starts do not ascend, or the curve would decrease.

    Examples
    --------
    >>> curve = Curve(0, [(0, 5, 1), (10, 20, 0)])
    >>> [int(curve(time)) for time in (0, 1, 10, 11)], int(curve.after(0)), int(curve.after(10))
    ([0, 6, 15, 20], 5, 20)
    """

    origin: Fraction
    pieces: tuple[Piece, ...]

    def __init__(self, origin: Number, pieces: Sequence[tuple[Number, Number, Number]]) -> None:
        given = [Piece(*map(Fraction, piece)) for piece in pieces]
        if not given or given[0].start != 0 or any(one.start >= other.start for one, other in pairwise(given)):
            raise ValueError("the first piece must start at 0, and starts must ascend")
        joined: list[Piece] = []
        end = Fraction(origin)
        for piece in given:
            if joined:
                before = joined[-1]
                end = before.level + before.slope * (piece.start - before.start)
            if piece.level < end or piece.slope < 0:
                raise ValueError(f"the curve decreases at {piece.start}; levels and slopes that do not are accepted")
            if not joined or piece.level > end or piece.slope != joined[-1].slope:
                joined.append(piece)
        object.__setattr__(self, "origin", Fraction(origin))
        object.__setattr__(self, "pieces", tuple(joined))

    @property
    def rate(self) -> Fraction:
        """Slope of the last piece."""
        return self.pieces[-1].slope

    def __call__(self, time: Number) -> Fraction:
        """Return f(t), t at least 0."""
        if time <= 0:
            return self.origin
        piece = self.pieces[bisect_left(self.pieces, time, key=lambda piece: piece.start) - 1]
        return piece.level + piece.slope * (time - piece.start)

    def after(self, time: Number) -> Fraction:
        """Return the limit of f from the right, f(t+)."""
        piece = self.pieces[bisect_right(self.pieces, time, key=lambda piece: piece.start) - 1]
        return piece.level + piece.slope * (time - piece.start)

    def parts(self) -> Iterator[Part]:
        """Yield every piece with its end."""
        ends: list[Extent] = [piece.start for piece in self.pieces[1:]]
        for piece, end in zip(self.pieces, [*ends, math.inf], strict=True):
            yield Part(piece.start, end, piece.level, piece.slope)

    def __add__(self, other: Curve) -> Curve:
        starts = sorted({piece.start for curve in (self, other) for piece in curve.pieces})
        slopes = zip(_slopes(self, starts), _slopes(other, starts), strict=True)
        pieces = [
            (start, self.after(start) + other.after(start), one + another)
            for start, (one, another) in zip(starts, slopes, strict=True)
        ]
        return Curve(self.origin + other.origin, pieces)


def token_bucket(rate: Number, burst: Number) -> Curve:
    """Return the arrival curve of ``burst`` at once and ``rate`` in the long run: burst + rate t for t > 0."""
    return Curve(0, [(0, burst, rate)])


def rate_latency(rate: Number, latency: Number) -> Curve:
    """Return the service curve of nothing for ``latency``, then ``rate``: rate max(0, t - latency)."""
    return Curve(0, [(0, 0, 0), (latency, 0, rate)] if latency else [(0, 0, rate)])


def stairs(
    height: Number, period: Number, steps: int, *, tail: Literal["above", "below"], delay: Number = 0
) -> Curve:
    """Return stairs of equal steps: height ceil((t - delay) / period) for t > delay.

    Parameters
    ----------
    height, period
        Of each step; the first one rises just after ``delay``.
    steps
        How many are written out, at least 1.
    tail
        On which side of the stairs the straight line lies that stands for all later ones: ``above`` for arrivals,
        ``below`` for service.
    delay
        0 or more.
    """
    starts = [delay + step * period for step in range(steps + 1)]
    pieces: list[tuple[Number, Number, Number]] = [(0, 0, 0)] if delay else []
    pieces += [(start, (step + 1) * height, 0) for step, start in enumerate(starts[:-1])]
    pieces.append((starts[-1], (steps + (tail == "above")) * height, Fraction(height) / period))
    return Curve(0, pieces)


def from_staircase(staircase: Staircase) -> Curve:
    """Return an arrival curve in counts over nanoseconds from its known steps, and the line above what they imply."""
    most, longest_ns = staircase.most, staircase.spans_ns[-1]
    starts = (0, *staircase.spans_ns[:-1])
    rate = Fraction(most, longest_ns)
    above = max(k - rate * start for k, start in zip(staircase.counts, starts, strict=True))
    steps = [(start, k, 0) for start, k in zip(starts, staircase.counts, strict=True)]
    return Curve(0, [*steps, (longest_ns, most + above, rate)])


def minimum(one: Curve, other: Curve) -> Curve:
    """Return the pointwise minimum."""
    return Curve(min(one.origin, other.origin), lowest([*one.parts(), *other.parts()]))


def lowest(parts: Sequence[Part]) -> list[Piece]:
    """Return the lower envelope of parts that together leave no gap; O(p^2) for p parts, mostly."""
    times = sorted({part.start for part in parts} | {Fraction(part.end) for part in parts if part.end != math.inf})
    ends: list[Extent] = [*times[1:], math.inf]
    pieces: list[Piece] = []
    for left, right in zip(times, ends, strict=True):
        lines = [(part.at(left), part.slope) for part in parts if part.start <= left and right <= part.end]
        pieces += _lowest_lines(lines, left, right)
    return pieces


def _lowest_lines(lines: Sequence[tuple[Fraction, Fraction]], left: Fraction, right: Extent) -> Iterator[Piece]:
    """Yield the lower envelope of lines, given by their levels at ``left`` and slopes, up to ``right``."""
    level, slope = min(lines)
    start = left
    while True:
        yield Piece(start, level + slope * (start - left), slope)
        crossings = [(left + (high - level) / (slope - flat), flat, high) for high, flat in lines if flat < slope]
        start, slope, level = min(crossings, default=(left, slope, level))
        if start == left or start >= right:
            return


def _slopes(curve: Curve, starts: Sequence[Fraction]) -> list[Fraction]:
    """Return the slope of a curve just after each time."""
    known = [piece.start for piece in curve.pieces]
    return [curve.pieces[bisect_right(known, start) - 1].slope for start in starts]
